// A database or snapshot file that is damaged or another store's: how that is known, and how it is moved aside.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { openHandle, releaseReaders, writing } from '../core/handle.ts';
import type { Identity } from '../core/identity.ts';
import type { CheckedOptions } from '../core/options.ts';
import type { SnapshotFile } from '../core/snapshot-file.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import type { FileWatch } from '../core/watch.ts';
import { readClock } from '../values/checks.ts';
import { codeOf, StoreError } from '../values/errors.ts';
import { freeName, renameTo } from '../values/files.ts';
import { existsAt } from '../values/place.ts';
import { hasWal } from './found-wal.ts';
import type { Recovery } from './heal.ts';
import { hasMark, newerInHeader } from './inspect.ts';
import { refuseMounted } from './names.ts';
import { writeNote } from './note.ts';

/**
 * Opens a handle that locks every other process out of a damaged database until it is closed, and changes nothing.
 * Throws `ERR_STORE_BUSY` if the database is open elsewhere, which SQLite notices before it reads the first page.
 */
function lockDamaged(path: string, { busyTimeoutMs: timeout }: CheckedOptions): DatabaseSync {
  releaseReaders();
  const db = openHandle(path, writing, { timeout });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE'); // keeps the -wal index in memory, so no -shm is made
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    if (codeOf(error) !== 'ERR_STORE_BUSY') return db; // the damage made the read fail, as expected
    db.close();
    const message = `${path} is damaged, and a process that has it open goes on with it: stop that first`;
    throw new StoreError('ERR_STORE_BUSY', message, { cause: error });
  }
  return db;
}

/** The state of an open of a store while it is not finished. */
export interface Opening {
  path: string;
  snapshotPath: string;
  snapshot: SnapshotFile;
  options: CheckedOptions;
  /** Whether this process holds the turn, and so alone may repair what is wrong. */
  hasTurn: boolean;
  /** The loss that was found before the database was opened for writing. */
  found?: Recovery['found'];
  /** The new paths of files that were moved or copied aside. */
  moved: string[];
  /** Whether a note beside the database records `found` and `moved`. */
  isNoted: boolean;
  /** Whether the database must be created. */
  isNew: boolean;
  /** Watches whether the database is still the file that was there at first. */
  watch: FileWatch;
}

/**
 * Thrown when a repair is needed, which only one process at a time may do because another may be half way through it.
 * The class does not extend Error, so no layer maps it.
 */
export class TurnNeeded {}

/**
 * Throws `TurnNeeded` unless this process has the turn. Without `recover` a missing folder is only refused: to wait for
 * the turn would make that folder.
 */
export function requireTurn({ path, options, hasTurn }: Opening): void {
  if (!hasTurn && (options.recover || existsAt(dirname(path)))) throw new TurnNeeded();
}

/** Renames a file to a name that says when and why. The note is written first, because the event comes only later. */
export function setAside(
  opening: Opening, file: string, why: string, found: Recovery['found'], place: typeof renameTo = renameTo,
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

/** The identity of a lost database, as far as the files beside it have it. */
export function identityLeft({ snapshot, options }: Opening): Identity | undefined {
  const { store, created, renewed } = options.ledger?.refresh() ?? {};
  if (store !== undefined && created !== undefined) return { uuid: store, createdAt: created, renewed };
  return snapshot.state === 'whole' ? { uuid: snapshot.content.store } : undefined;
}

/**
 * With `recover`, moves another store's snapshot file aside; without it, open has refused that file. A damaged file is
 * moved only if it `isNeeded`, because nothing else has the state; otherwise it stays a finding until the next save.
 */
export function setAsideSnapshotFile(opening: Opening, isNeeded: boolean): void {
  const { snapshotPath, snapshot, options } = opening;
  if (!options.recover || (snapshot.state === 'damaged' && !isNeeded)) return;
  setAside(opening, snapshotPath, snapshot.state === 'whole' ? 'other-store' : 'damaged', 'other-file');
}

/** Whether an error means that the database is damaged, and not that it is a whole file of something else. */
export function isDamage(error: unknown): error is StoreError {
  if (!(error instanceof StoreError)) return false;
  if (error.code === 'ERR_STORE_DATABASE') return isSchemaDamage(error.cause);
  return error.code === 'ERR_STORE_CORRUPT' || (error.code === 'ERR_STORE_NOT_A_STORE' && error.cause !== undefined);
}

/** With `recover`, moves an unreadable database aside if its files show that it was a store; otherwise throws. */
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
  const version = newerInHeader(path);
  if (version !== undefined) {
    const why = `it has schema version ${version}, and only a version that knows it may move it aside`;
    throw new StoreError('ERR_STORE_CORRUPT', `${error.message}: ${why}`, { cause: error });
  }
  // SQLite would roll a journal back before it takes the lock. Only a process that holds the turn makes a journal here.
  using _locked = existsAt(path) && !existsAt(`${path}-journal`) ? lockDamaged(path, options) : undefined;
  opening.found = 'damaged';
  // The -wal is moved last. If this is interrupted, it is an orphan -wal beside a missing database, which open handles.
  for (const suffix of ['', '-journal', '-shm']) {
    if (existsAt(path + suffix)) setAside(opening, path + suffix, 'damaged', 'damaged');
  }
  if (hasWal(path)) setAside(opening, `${path}-wal`, 'damaged', 'damaged');
  else rmSync(`${path}-wal`, { force: true }); // an empty -wal has no data; taking the lock makes one
}

/** Whether SQLite cannot find a name in SQL of this package (SQLITE_ERROR), so that the stored schema is damaged. */
export function isSchemaDamage(error: unknown): boolean {
  return (error as { errcode?: number } | undefined)?.errcode === 1;
}
