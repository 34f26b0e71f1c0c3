// Files on their way to their names: where a copy or a rebuilt file is made, and what becomes of it when its maker is
// killed.
import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileLock } from '../recovery/lock.ts';
import { StoreError, toStoreError } from '../values/errors.ts';

const prefix = '.shepherd-store-';
// A second dot stands before what is made beside a temporary file and has a temporary name itself: its snapshot file,
// its lock.
const pattern = /^\.?\.shepherd-store-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\./;

/**
 * A name in the folder of a file that is to be made, which is this object's until it is disposed of; then everything
 * under it is removed. Whose it is says a lock beside it, which the kernel gives back however its process ends. A
 * process id would not: in containers every process has the same, and those of another container, which may share the
 * folder, are not seen.
 */
export class TemporaryFile implements Disposable {
  readonly path: string;
  readonly #id: string;
  readonly #lock: FileLock;

  /** A new one, after everything was removed from the folder whose maker was killed. Throws the system's errors. */
  static beside(target: string): TemporaryFile {
    const folder = dirname(target);
    removeDead(folder);
    const id = randomUUID(); // unpredictable, so that nobody can plant a file under it
    return new TemporaryFile(join(folder, `${prefix}${id}.tmp`), id, lock(folder, id));
  }

  private constructor(path: string, id: string, held: FileLock) {
    this.path = path;
    this.#id = id;
    this.#lock = held;
  }

  [Symbol.dispose](): void {
    try {
      remove(dirname(this.path), this.#id);
    } finally {
      this.#lock.release();
    }
  }
}

function lock(folder: string, id: string): FileLock {
  return FileLock.acquire(join(folder, `${prefix}${id}.lock`), 0, 'removes what was left in the folder');
}

/**
 * Whatever has a name of this kind, and a lock that nobody holds, or none: the lock is taken first and given back last.
 */
function removeDead(folder: string): void {
  const ids = new Set(readdirSync(folder).flatMap((name) => pattern.exec(name)?.[1] ?? []));
  for (const id of ids) {
    try {
      using _lock = lock(folder, id);
      remove(folder, id);
    } catch (error) {
      // Somebody lives who holds it, or another user's file may not be locked or removed: it is not in the way of what
      // is made.
      if (!(toStoreError(error, 'clear up') instanceof StoreError)) throw error;
    }
  }
}

function remove(folder: string, id: string): void {
  const isLock = (name: string): boolean => name === `${prefix}${id}.lock`;
  for (const name of readdirSync(folder)) {
    if (pattern.exec(name)?.[1] === id && !isLock(name)) rmSync(join(folder, name), { force: true });
  }
}
