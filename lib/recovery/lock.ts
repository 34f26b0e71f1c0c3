// A lock on a path between processes, which dies with the process that holds it.
import { rmSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { openHandle } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import { hasCode, StoreError, toStoreError } from '../values/errors.ts';
import { createFile, existsAt } from '../values/files.ts';
import { pathBeside } from '../values/stem.ts';

/**
 * An exclusive lock, held until it is released or its process ends. The lock file is empty and stays so: what locks is
 * SQLite's own file lock on it, which the kernel gives back however a process ends and SQLite keeps apart between
 * threads. It is removed when the lock is released; one that a killed process left locks nobody out.
 */
export class FileLock implements Disposable {
  readonly #db: DatabaseSync;
  readonly #path: string;

  /**
   * Takes the lock that the file `path` stands for, and waits up to `timeoutMs` for whoever has it. Throws
   * `ERR_STORE_BUSY` after that, with `what` is going on then, and the system's errors where no such file can be made.
   * `store` are the files that the lock is for: whoever may open those must be able to wait for it.
   */
  static acquire(path: string, timeoutMs: number, what: string, store?: readonly string[]): FileLock {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const lock = tryToLock(path, Math.max(0, deadline - performance.now()), store);
      if (lock) return lock;
      if (performance.now() >= deadline) throw new StoreError('ERR_STORE_BUSY', `another process ${what}`);
    }
  }

  /** Removes the file that a killed process left, if nobody holds the lock. */
  static removeLeft(path: string): void {
    if (existsAt(path)) tryToLock(path, 0)?.release();
  }

  /** Of a handle that holds the lock. */
  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = path;
  }

  release(): void {
    if (!this.#db.isOpen) return;
    // While it is still locked: whoever waits for it finds then that it has another file than stands at the path, or
    // none.
    rmSync(this.#path, { force: true });
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** `undefined` where somebody else has the lock, or has removed the file meanwhile. */
function tryToLock(path: string, timeoutMs: number, store?: readonly string[]): FileLock | undefined {
  createFile(path, store);
  const before = identityOf(path);
  let db: DatabaseSync | undefined;
  try {
    // mode=rw: SQLite would make a file that is gone by now, with the umask's mode.
    db = openHandle(path, { mode: 'rw' }, { timeout: Math.ceil(timeoutMs) });
    // Kept in memory: the first transaction of an empty database makes a journal file otherwise.
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    if (before !== undefined && identityOf(path) === before) return new FileLock(db, path);
  } catch (error) {
    const couldNotOpen = (error as { errcode?: number }).errcode === 14; // SQLITE_CANTOPEN
    const isGone = couldNotOpen && (before === undefined || identityOf(path) !== before);
    if (!isGone && !hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY')) {
      db?.close();
      throw error;
    }
  }
  db?.close();
  return undefined;
}

function identityOf(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}

/**
 * Takes the turn to recover or restore a path. Throws `ERR_STORE_BUSY` where another process has it for longer than the
 * timeout.
 */
export function takeTurn(path: string, { busyTimeoutMs }: CheckedOptions): FileLock {
  return FileLock.acquire(lockPathOf(path), busyTimeoutMs, `recovers or restores ${path}`, [path]);
}

export function lockPathOf(path: string): string {
  return pathBeside(path, '-lock');
}
