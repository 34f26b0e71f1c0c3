// A -wal that was there before the database was opened: whether it is an orphan, and how it gets into the database.
import { fstatSync, fsyncSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { openHandle, releaseReaders, writing } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { readJournalBytes } from '../values/descriptors.ts';
import { hasCode, StoreError, toStoreError } from '../values/errors.ts';
import { copyBytes } from '../values/files.ts';
import { syncFolder } from '../values/folders.ts';
import { makeLike } from '../values/owner.ts';

/**
 * SQLite deletes a -wal that it finds beside an absent or empty database; somebody may still want what is in it. The
 * -wal is looked at first: while another process makes the database, there is none before the database has its first
 * page.
 */
export function isOrphanWal(path: string): boolean {
  if (!hasWal(path)) return false;
  const database = lstatSync(path, { throwIfNoEntry: false });
  return !database || database.size === 0;
}

/** Whether there is a -wal that has something. */
export function hasWal(path: string): boolean {
  const wal = lstatSync(`${path}-wal`, { throwIfNoEntry: false });
  return wal !== undefined && wal.isFile() && wal.size > 0;
}

/**
 * Puts a copy of the -wal in its place, while nobody else has the database open. After a failed fsync and a restart the
 * page cache can show frames that are not on the disk, and no fsync writes them any more: once the database has them, a
 * power cut that brings back the older frames alone would lay old pages over new ones.
 */
export function renewWal(path: string): void {
  const copy = `${path}-wal.new`;
  rmSync(copy, { force: true }); // what a power cut left of one
  try {
    copyWal(`${path}-wal`, copy);
    renameSync(copy, `${path}-wal`);
  } catch (error) {
    rmSync(copy, { force: true });
    // A service must start on a full disk; without the copy only that power cut is not covered.
    if (hasCode(toStoreError(error, ''), 'ERR_STORE_DISK_FULL')) return;
    throw error;
  }
  syncFolder(dirname(path));
}

/** Copies a -wal durably, by reading it: a clone shares what is on the disk, and not what the page cache shows. */
export function copyWal(path: string, target: string): void {
  readJournalBytes(path, (from) => copyBytes(from, target, (to) => {
    makeLike(to, fstatSync(from)); // SQLite gives a -wal what its database has
    return () => fsyncSync(to);
  }));
  syncFolder(dirname(target));
}

/**
 * A handle that may write to a database that is there; it has read nothing yet. `check` throws where the file was
 * exchanged for another: SQLite finds a -wal by the path, and would take that of the other file. `isKept`: the database
 * is to be moved aside with its -wal, damaged or not.
 */
export function openToWrite(
  path: string, { busyTimeoutMs: timeout }: CheckedOptions, check: () => void, isKept = false,
): DatabaseSync {
  releaseReaders();
  // With psow=0 SQLite takes a journal shorter than a sector for none, and deletes it. A journal that was written
  // without psow=0 can be as short while a database is made, and is rolled back by its own rules.
  if (lstatSync(`${path}-journal`, { throwIfNoEntry: false })?.isFile()) {
    using db = openHandle(path, { mode: 'rw' }, { timeout });
    db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
  }
  if (!isKept && lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.isFile()) secureWal(path, check);
  return openHandle(path, writing, { timeout });
}

/**
 * Brings a found -wal into the database, by way of a copy that is on the disk for certain. With exclusive locking
 * nobody else has the database open meanwhile; where somebody has, the -wal is in use and `checkpointFound` has to be
 * enough.
 */
function secureWal(path: string, check: () => void): void {
  using db = openHandle(path, writing, { timeout: 0 });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
  } catch (error) {
    if (hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY')) return;
    throw error;
  }
  check();
  if (lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.size) renewWal(path);
}

/**
 * After a failed fsync and a restart the page cache can hold frames of the WAL that were never written. SQLite would
 * trust them and chain new commits onto them, which a power cut then takes along. A checkpoint writes them into the
 * database.
 */
export function checkpointFound(db: DatabaseSync, path: string): void {
  const wal = lstatSync(`${path}-wal`, { throwIfNoEntry: false });
  if (!wal || wal.size === 0) return;
  const row = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
  const { busy, log, checkpointed } = row as Record<'busy' | 'log' | 'checkpointed', number>;
  // A reader that holds it up is fine where every frame has been written.
  if (busy === 0 || log === checkpointed) return;
  const why = 'another process keeps reading it, so that its WAL cannot be secured first';
  throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: ${why}`);
}
