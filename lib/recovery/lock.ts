// A lock on a path between processes, which dies with the process that holds it.
import { rmSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { openHandle } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import { codeOf, StoreError } from '../values/errors.ts';
import { createFile } from '../values/files.ts';
import { existsAt } from '../values/place.ts';
import { pathBeside } from '../values/stem.ts';

/**
 * An exclusive lock, held until it is released or its process ends. The lock is SQLite's own file lock on an empty
 * file: the kernel releases it however a process ends, and SQLite also keeps threads apart. The file is removed with
 * the lock; a file that a killed process left locks nobody out.
 */
export class FileLock implements Disposable {
  readonly #db: DatabaseSync;
  readonly #path: string;

  /**
   * Takes the lock of the file `path` and waits up to `timeoutMs` for another holder. Then throws `ERR_STORE_BUSY` with
   * `what` the holder does, and the system's errors if the file cannot be made. `store` lists the files that the lock
   * protects, whose mode the lock file gets: every user who may open them must be able to wait for it.
   */
  static acquire(path: string, timeoutMs: number, what: string, store?: readonly string[]): FileLock {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const lock = tryToLock(path, Math.max(0, deadline - performance.now()), store);
      if (lock) return lock;
      if (performance.now() >= deadline) throw new StoreError('ERR_STORE_BUSY', `another process ${what}`);
    }
  }

  /** Removes the lock file that a killed process left, if nobody holds the lock. */
  static removeLeft(path: string): void {
    if (existsAt(path)) tryToLock(path, 0)?.release();
  }

  /** `db` must be a handle that holds the lock on the file `path`. */
  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = path;
  }

  release(): void {
    if (!this.#db.isOpen) return;
    // The file is removed while it is locked, so that a process that gets the lock later sees another file at the path
    // or none.
    rmSync(this.#path, { force: true });
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

// How often in a row a lock file may go away before it is opened; one that cannot be opened at all fails each time.
const mostRemovals = 100;

/** Returns `undefined` if somebody else has the lock, or has removed the lock file meanwhile. */
function tryToLock(path: string, timeoutMs: number, store?: readonly string[], removals = 0): FileLock | undefined {
  createFile(path, store);
  const before = identityOf(path);
  let db: DatabaseSync | undefined;
  try {
    // Without mode=rw, SQLite would make a file that was removed meanwhile, with the umask's mode.
    db = openHandle(path, { mode: 'rw' }, { timeout: Math.ceil(timeoutMs) });
    // Otherwise the first transaction of an empty database would make a journal file.
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    if (before !== undefined && identityOf(path) === before) return new FileLock(db, path);
    db.close();
  } catch (error) {
    db?.close();
    // SQLITE_CANTOPEN: the file was removed meanwhile. Whether one is there again says nothing: the next process that
    // wants the lock makes it, and most file systems give that file the number of the inode that was freed last.
    const couldNotOpen = (error as { errcode?: number }).errcode === 14;
    if (couldNotOpen && removals < mostRemovals) return tryToLock(path, timeoutMs, store, removals + 1);
    if (codeOf(error) !== 'ERR_STORE_BUSY') throw error;
  }
  return undefined;
}

function identityOf(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}

/** Takes the turn to recover or restore a path. Throws `ERR_STORE_BUSY` if another process keeps it for too long. */
export function takeTurn(path: string, { busyTimeoutMs }: CheckedOptions): FileLock {
  return FileLock.acquire(lockPathOf(path), busyTimeoutMs, `recovers or restores ${path}`, [path]);
}

export function lockPathOf(path: string): string {
  return pathBeside(path, '-lock');
}
