// A -wal that was there before the database was opened: whether it is an orphan, and how it gets into the database.
import { fstatSync, fsyncSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { openHandle, releaseReaders, writing } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { readJournalBytes } from '../values/descriptors.ts';
import { codeOf, StoreError } from '../values/errors.ts';
import { copyBytes } from '../values/files.ts';
import { syncFolder } from '../values/folders.ts';
import { makeLike } from '../values/owner.ts';

/**
 * Whether there is a -wal beside an absent or empty database. SQLite would delete it, and its data may be wanted. The
 * -wal must be checked first: a process that makes the database writes its first page before it makes a -wal.
 */
export function isOrphanWal(path: string): boolean {
  if (!hasWal(path)) return false;
  const database = lstatSync(path, { throwIfNoEntry: false });
  return !database || database.size === 0;
}

export function hasWal(path: string): boolean {
  const wal = lstatSync(`${path}-wal`, { throwIfNoEntry: false });
  return wal !== undefined && wal.isFile() && wal.size > 0;
}

/**
 * Replaces the -wal with a copy of it; nobody else may have the database open. After a failed fsync and a restart, the
 * page cache can show frames that are not on the disk, and no fsync writes them any more. If the database then has
 * these frames and a power cut brings back only the older ones, old pages would overwrite new ones.
 */
export function renewWal(path: string): void {
  const copy = `${path}-wal.new`;
  rmSync(copy, { force: true }); // a copy that a power cut interrupted
  try {
    copyWal(`${path}-wal`, copy);
    renameSync(copy, `${path}-wal`);
  } catch (error) {
    rmSync(copy, { force: true });
    // A service must start on a full disk too. Without the copy, only the power cut above is not covered.
    if (codeOf(error) === 'ERR_STORE_DISK_FULL') return;
    throw error;
  }
  syncFolder(dirname(path));
}

/** Copies a -wal durably by reading it, because a clone would share the disk's data and not the page cache's. */
export function copyWal(path: string, target: string): void {
  readJournalBytes(path, (from) => copyBytes(from, target, (to) => {
    makeLike(to, fstatSync(from)); // SQLite gives a -wal the mode and owner of its database
    return () => fsyncSync(to);
  }));
  syncFolder(dirname(target));
}

/**
 * Opens a handle that may write to an existing database; it has read nothing yet. `check` throws if another file took
 * its place: SQLite finds a -wal by path and would use the other file's. `isKept` says that the database will be moved
 * aside with its -wal, which must then stay as it is.
 */
export function openToWrite(
  path: string, { busyTimeoutMs: timeout }: CheckedOptions, check: () => void, isKept = false,
): DatabaseSync {
  releaseReaders();
  // With psow=0, SQLite deletes a journal shorter than a sector as empty. A journal that was written without psow=0
  // while a database was made can be that short, so a handle without psow=0 rolls it back first.
  if (lstatSync(`${path}-journal`, { throwIfNoEntry: false })?.isFile()) {
    using db = openHandle(path, { mode: 'rw' }, { timeout });
    db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
  }
  if (!isKept && lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.isFile()) secureWal(path, check);
  return openHandle(path, writing, { timeout });
}

/**
 * Replaces a found -wal with a copy that is certainly on the disk, and brings it into the database. Exclusive locking
 * keeps other processes out meanwhile. If another process has the database open, nothing is done here and
 * `checkpointFound` has to be enough.
 */
function secureWal(path: string, check: () => void): void {
  using db = openHandle(path, writing, { timeout: 0 });
  if (!lockAlone(db)) return;
  check();
  if (hasWal(path)) renewWal(path);
}

/** Locks every other process out until the handle is closed; gives false where one has the database open. */
function lockAlone(db: DatabaseSync): boolean {
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
    return true;
  } catch (error) {
    if (codeOf(error) === 'ERR_STORE_BUSY') return false;
    throw error;
  }
}

/** Whether another process has a database open at this moment. */
export function isOpenElsewhere(path: string): boolean {
  using db = openHandle(path, writing, { timeout: 0 });
  return !lockAlone(db);
}

/**
 * Checkpoints a -wal that was found at open. After a failed fsync and a restart, the page cache can hold frames that
 * were never written to the disk. SQLite would trust them and append new commits, which a power cut would lose with
 * them. The checkpoint writes the frames into the database.
 */
export function checkpointFound(db: DatabaseSync, path: string): void {
  if (!hasWal(path)) return;
  const row = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
  const { busy, log, checkpointed } = row as Record<'busy' | 'log' | 'checkpointed', number>;
  // A reader that keeps the WAL from being truncated is no problem once every frame is in the database.
  if (busy === 0 || log === checkpointed) return;
  const why = 'another process keeps reading it, so that its WAL cannot be secured first';
  throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: ${why}`);
}
