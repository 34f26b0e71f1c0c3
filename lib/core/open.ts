// The plain open: from a path to a sound connection, for a store of the current version that was closed as it should
// be. lib/opening/ sees to every other file.
import { accessSync, constants, lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { readClock } from '../values/checks.ts';
import { codeOf, StoreError } from '../values/errors.ts';
import { existsAt } from '../values/place.ts';
import { Connection } from './connection.ts';
import { Cooldowns } from './cooldowns.ts';
import {
  checkFormat, openHandle, readValue, releaseReaders, schemaMarkSql, setPragmas, switchToWal, writing,
} from './handle.ts';
import { behindSql, Limits } from './limits.ts';
import { AuditLog } from './log.ts';
import { type CheckedOptions, snapshotPathFor } from './options.ts';
import type { StoreParts } from './parts.ts';
import { identify, schemaVersion } from './schema.ts';
import { originOf, readSnapshotFile, type SnapshotFile } from './snapshot-file.ts';
import { compareHead } from './snapshot-findings.ts';
import { SnapshotPair } from './snapshot.ts';
import type { DatabaseSync } from './sqlite.ts';
import { Usage } from './usage.ts';
import { FileWatch, StoreWatch } from './watch.ts';

/** The parts of an open store. */
export interface Opened extends StoreParts {
  pair: SnapshotPair;
}

/**
 * Makes the subjects of a store for a connection. `snapshotPath` is absent for a store in memory; `found` is the
 * snapshot file where it has been read already. Throws `ERR_STORE_CORRUPT` for a database that has lost its identity.
 */
export function assemble(
  connection: Connection, db: DatabaseSync, snapshotPath?: string, found?: SnapshotFile,
): Opened {
  const watch = new StoreWatch(connection, db);
  const log = new AuditLog(connection, readUuid(db, connection.path ?? 'the database'));
  const cooldowns = new Cooldowns(connection, log);
  const usage = new Usage(connection, log, cooldowns);
  const limits = new Limits(connection, log, usage);
  connection.attend(watch, log, limits);
  const parts = { connection, watch, log, usage, cooldowns, limits };
  return { ...parts, pair: new SnapshotPair(parts, snapshotPath, found) };
}

/** The store's UUID. Throws `ERR_STORE_CORRUPT` where it is lost. */
export function readUuid(db: DatabaseSync, path: string): string {
  const uuid = readValue(db, 'SELECT uuid FROM store_meta WHERE id = 1');
  if (typeof uuid === 'string') return uuid;
  throw new StoreError('ERR_STORE_CORRUPT', `${path} is marked as a store and has lost its identity`);
}

/**
 * Opens a store that is just as it was closed: no other file of the database beside it, and a snapshot file of its own
 * or none. Gives `undefined` for anything else, and has changed nothing then.
 */
export function openPlain(path: string, options: CheckedOptions): Opened | undefined {
  const snapshotPath = snapshotPathFor(path, options);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (options.recover || options.ledger || !stat?.isFile() || stat.nlink > 1 || stat.size === 0) return undefined;
  if (existsAt(`${path}-wal`) || existsAt(`${path}-journal`)) return undefined;
  readClock(options); // a clock that gives no time is refused before anything is opened
  const watch = new FileWatch([path]);
  let db: DatabaseSync | undefined;
  try {
    accessSync(path, constants.R_OK | constants.W_OK); // SQLite would open an unwritable file read-only
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    // The snapshot file is read first, because a save is in the database before its file is in place.
    const found = readSnapshotFile(snapshotPath);
    const mark = lookAtPlain(path);
    if (mark === undefined || found.state === 'damaged') return undefined;
    releaseReaders();
    db = openHandle(path, writing, { timeout: 0 });
    setPragmas(db);
    const isSame = watch.problem() === undefined && readValue(db, schemaMarkSql) === mark;
    const opened = isSame ? connectPlain(db, path, snapshotPath, found, options) : undefined;
    if (opened) db = undefined;
    return opened;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined; // lib/opening/ meets the error again, and reports it
  } finally {
    db?.close();
  }
}

/**
 * The mark of the schema; `undefined` unless this is a complete store of the current version without a ledger, whose
 * limits are those of its log.
 */
function lookAtPlain(path: string): unknown {
  // immutable: a file that is refused stays as it is, and gets no -wal and no -shm beside it.
  using db = openHandle(path, { immutable: '1' }, { readOnly: true });
  const file = identify(db);
  if (file.kind !== 'store' || file.version !== schemaVersion || file.lacking.length > 0) return undefined;
  checkFormat(db, path);
  const isPlainSql = `SELECT has_ledger = 0 AND NOT EXISTS (SELECT 1 ${behindSql}) FROM store_meta WHERE id = 1`;
  return readValue(db, `SELECT (${schemaMarkSql}) WHERE (${isPlainSql})`);
}

function connectPlain(
  db: DatabaseSync, path: string, snapshotPath: string, found: SnapshotFile, options: CheckedOptions,
): Opened | undefined {
  switchToWal(db, path, 0);
  const connection = new Connection(db, { clock: options.clock, path });
  const opened = assemble(connection, db, snapshotPath, found);
  // Another process may have opened the file since `lookAtPlain`, and left frames in the WAL that nobody has secured
  // (lib/recovery/found-wal.ts).
  if (lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.size) return undefined;
  if (found.state === 'whole') {
    if (!opened.log.owns(originOf(found.content)) || compareHead(connection, found.content)) return undefined;
  }
  if (found.state === 'absent') opened.log.head(); // so that damage there is found before the first write
  db.exec(`PRAGMA busy_timeout = ${options.busyTimeoutMs}`); // up to here, no other process was waited for
  opened.pair.placeAgain();
  opened.pair.removeTemporaries();
  opened.pair.check();
  return opened;
}
