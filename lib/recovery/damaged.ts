// A database or snapshot file that is damaged or another store's: how that is known, and how it is moved aside.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { openHandle, releaseReaders, writing } from '../core/handle.ts';
import { type CheckedOptions, readClock } from '../core/options.ts';
import type { SnapshotFile } from '../core/snapshot-file.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import type { FileWatch } from '../core/watch.ts';
import { hasCode, StoreError, toStoreError } from '../values/errors.ts';
import { existsAt, freeName, renameTo } from '../values/files.ts';
import { hasWal } from './found-wal.ts';
import type { Recovery } from './heal.ts';
import { hasMark } from './inspect.ts';
import { refuseMounted } from './names.ts';
import { writeNote } from './note.ts';

/**
 * A handle that locks every other process out of a damaged database until it is closed, and changes nothing. Throws
 * `ERR_STORE_BUSY` where somebody has the database open, which is found out before its first page is read.
 */
function lockDamaged(path: string, { busyTimeoutMs: timeout }: CheckedOptions): DatabaseSync {
  releaseReaders();
  const db = openHandle(path, writing, { timeout });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE'); // with the -wal index in memory: no -shm is made
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    if (!hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY')) return db; // damaged, as expected
    db.close();
    const message = `${path} is damaged, and a process that has it open goes on with it: stop that first`;
    throw new StoreError('ERR_STORE_BUSY', message, { cause: error });
  }
  return db;
}

/** What is known of a file on its way to becoming a store. */
export interface Opening {
  path: string;
  snapshotPath: string;
  snapshot: SnapshotFile;
  options: CheckedOptions;
  /** Whether this process alone may see to what is amiss. */
  hasTurn: boolean;
  /** What was found before the database was opened for writing. */
  found?: Recovery['found'];
  /** Where the files are that were moved or copied aside. */
  moved: string[];
  /** Whether a note beside the database says what was found and moved. */
  isNoted: boolean;
  /** Whether a database is to be made. */
  isNew: boolean;
  /** The database that was there at first. */
  watch: FileWatch;
}

/**
 * Says that something is amiss, which only one process at a time may see to: another process may be half way through
 * it. Not an Error, so that no layer on the way maps it.
 */
export class TurnNeeded {}

/**
 * Throws `TurnNeeded` unless this process has its turn. A refusal makes no folder, not even to wait for others in it.
 */
export function requireTurn({ path, options, hasTurn }: Opening): void {
  if (!hasTurn && (options.recover || existsAt(dirname(path)))) throw new TurnNeeded();
}

export function notOurs(snapshotPath: string, theirs: string, ours: string): StoreError {
  const advice = 'move it away, or open with recover to have it moved aside';
  const message = `${snapshotPath} belongs to another store (${theirs}, not ${ours}): ${advice}`;
  return new StoreError('ERR_STORE_CONFLICT', message);
}

/** Gives a file a name that says when and why, once it is noted: the event that tells of it comes later. */
export function setAside(
  opening: Opening, file: string, why: string, found: Recovery['found'], place = renameTo,
): void {
  requireTurn(opening);
  refuseMounted(opening.path, 'recovered');
  const target = freeName(file, why, readClock(opening.options));
  opening.found ??= found;
  opening.moved.push(target);
  writeNote(opening.path, { found: opening.found, moved: opening.moved });
  opening.isNoted = true;
  place(file, target);
}

/** Who a lost database was, as far as the files beside it know. */
export function identityLeft({ snapshot, options }: Opening): { uuid: string; createdAt?: string } | undefined {
  const { store, created } = options.ledger?.refresh() ?? {};
  if (store !== undefined && created !== undefined) return { uuid: store, createdAt: created };
  return snapshot.state === 'whole' ? { uuid: snapshot.content.store } : undefined;
}

/**
 * With `recover`, moves a snapshot file aside that is not this store's. Another store's was refused without `recover`;
 * a damaged one stays, and is a finding until the next save, unless it `isNeeded` because nothing else has the state.
 */
export function setAsideSnapshotFile(opening: Opening, isNeeded: boolean): void {
  const { snapshotPath, snapshot, options } = opening;
  if (!options.recover || (snapshot.state === 'damaged' && !isNeeded)) return;
  setAside(opening, snapshotPath, snapshot.state === 'whole' ? 'other-store' : 'damaged', 'other-file');
}

/** Whether an error says that the file is damaged, as opposed to whole and somebody else's. */
export function isDamage(error: unknown): error is StoreError {
  if (!(error instanceof StoreError)) return false;
  if (error.code === 'ERR_STORE_DATABASE') return isSchemaDamage(error.cause);
  return error.code === 'ERR_STORE_CORRUPT' || (error.code === 'ERR_STORE_NOT_A_STORE' && error.cause !== undefined);
}

/** Moves a database that cannot be read aside, where `recover` asks for it and it is known to be ours. */
export function moveDamaged(opening: Opening, error: StoreError): void {
  requireTurn(opening);
  const { path, snapshot, options } = opening;
  const isOurs = snapshot.state === 'whole' || options.ledger?.refresh().head !== undefined || hasMark(path);
  if (!isOurs && !options.recover) throw error;
  if (!isOurs) {
    const message = `${path} cannot be read as a database, and nothing says that it was a store: it stays where it is`;
    throw new StoreError('ERR_STORE_NOT_A_STORE', message, { cause: error });
  }
  if (!options.recover) {
    const advice = 'restore a backup, or open with recover to go on with what is left';
    throw new StoreError('ERR_STORE_CORRUPT', `${error.message}: ${advice}`, { cause: error });
  }
  // SQLite would play a rollback journal back to ask for the lock. Whoever has one is making the database, in its turn.
  using _locked = existsAt(path) && !existsAt(`${path}-journal`) ? lockDamaged(path, options) : undefined;
  opening.found = 'damaged';
  // The -wal last: if this is cut short, the rest is an orphan -wal beside a missing database, and handled as one.
  for (const suffix of ['', '-journal', '-shm']) {
    if (existsAt(path + suffix)) setAside(opening, path + suffix, 'damaged', 'damaged');
  }
  if (hasWal(path)) setAside(opening, `${path}-wal`, 'damaged', 'damaged');
  else rmSync(`${path}-wal`, { force: true }); // an empty one has nothing; asking for the lock makes one
}

/** Whether SQLite does not find what SQL of this package names: that never changes, so the stored schema is damaged. */
export function isSchemaDamage(error: unknown): boolean {
  return (error as { errcode?: number } | undefined)?.errcode === 1;
}
