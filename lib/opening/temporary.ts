// Temporary files: where a copy or a rebuilt file is made before it gets its name, and how one is removed whose maker
// was killed.
import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileLock } from '../recovery/lock.ts';
import { codeOf } from '../values/errors.ts';

const prefix = '.shepherd-store-';
// A name begins with two dots if the file was made beside a temporary file and has a temporary name of its own, as its
// snapshot file and its lock do.
const pattern = /^\.?\.shepherd-store-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\./;

/**
 * A temporary name in the folder of a file that is being made. The name belongs to this object until it is disposed of;
 * then all files with this name are removed. A lock beside it shows that its process is alive, because the kernel
 * releases the lock however the process ends. A process id would not show that: processes in different containers can
 * have the same id, and a container that shares the folder cannot see the processes of another.
 */
export class TemporaryFile implements Disposable {
  readonly path: string;
  readonly #id: string;
  readonly #lock: FileLock;

  /** Makes a new name after removing the files of killed processes from the folder. Throws the system's errors. */
  static beside(target: string): TemporaryFile {
    const folder = dirname(target);
    removeDead(folder);
    const id = randomUUID(); // unpredictable, so that nobody can plant a file under it
    return new TemporaryFile(join(folder, `${prefix}${id}.tmp`), id, lock(folder, id, 5_000));
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

/** Waits for a process that takes a file without its lock for one that was left, and lets go of it at once. */
function lock(folder: string, id: string, timeoutMs = 0): FileLock {
  return FileLock.acquire(join(folder, `${prefix}${id}.lock`), timeoutMs, 'removes what was left in the folder');
}

/** Removes the temporary files in a folder whose lock nobody holds. Each lock is taken first and released last. */
export function removeDead(folder: string): void {
  const ids = new Set(readdirSync(folder).flatMap((name) => pattern.exec(name)?.[1] ?? []));
  for (const id of ids) {
    try {
      using _lock = lock(folder, id);
      remove(folder, id);
    } catch (error) {
      // A living process holds the lock, or the files are another user's. They are not in the way of the new file.
      if (codeOf(error) === undefined) throw error;
    }
  }
}

function remove(folder: string, id: string): void {
  const isLock = (name: string): boolean => name === `${prefix}${id}.lock`;
  for (const name of readdirSync(folder)) {
    if (pattern.exec(name)?.[1] === id && !isLock(name)) rmSync(join(folder, name), { force: true });
  }
}
