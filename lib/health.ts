// Whether the store works, and everything an operator would ask next.
import { statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Connection } from './core/connection.ts';
import type { HealthFinding } from './core/faults.ts';
import { readHeader } from './core/handle.ts';
import { archivedRow, newestRowSql } from './core/log.ts';
import { reportMachine } from './core/machine.ts';
import type { Opened } from './core/open.ts';
import { schemaVersion } from './core/schema.ts';
import type { SnapshotCopy } from './core/snapshot-findings.ts';
import { ReadOnlyFile } from './reading/reader.ts';
import { reportNames } from './recovery/names.ts';
import { parseInstant } from './values/checks.ts';
import type { StoreErrorCode } from './values/errors.ts';
import { systemZone, timeZoneInUse } from './values/time-zone.ts';

/** The result of `health()`. Sizes are in bytes. */
export interface StoreHealth {
  /** Whether there is no finding. A store with findings may well work: `isHealthy()` says whether it does. */
  ok: boolean;
  findings: HealthFinding[];
  /** That of the file, which a newer version of this package may have migrated. */
  schemaVersion: number;
  sqliteVersion: string;
  journalMode: string;
  databaseBytes: number;
  walBytes: number;
  /** How much of the database is free pages: they are used again, and the file gets smaller by `VACUUM` alone. */
  freePageBytes: number;
  /** The last row that went into an archive: the log begins behind it. Absent where none did. */
  archivedId?: number;
  /** Free space on the file system; absent for a store in memory. */
  freeBytes?: number;
  snapshot: { row: SnapshotCopy; file: SnapshotCopy };
  /** How far the clock is behind the newest event, in milliseconds; absent if it is not behind. */
  clockBehindMs?: number;
  /** The time zone of days for which none is given: an IANA name, or an offset such as `UTC+01:00`. */
  timeZone: string;
  /** The last error that an operation of this store object threw. */
  lastError?: { code: StoreErrorCode; message: string; at: Date };
}

/** The kinds of findings with which the store does not work. */
const fatal: readonly HealthFinding['kind'][] = ['stopped', 'replaced', 'unreadable', 'schema-changed'];

/** Whether reading and writing work. The disk is read, not the page cache of the open connection. */
export function isWorking(opened: Opened): boolean {
  const { connection } = opened;
  if (!connection.isOpen || connection.refusal) return false;
  checkDisk(opened);
  return !connection.faults.list().some(({ kind }) => fatal.includes(kind));
}

/** Reports or clears the findings about the database file. `failed` is the error of an earlier read, if one failed. */
function checkDisk(opened: Opened, failed?: unknown): void {
  const { faults, path } = opened.connection;
  try {
    const replaced = opened.watch.files.problem();
    if (replaced !== undefined) return faults.report('replaced', replaced);
    faults.clear('replaced');
    // The open connection would answer a SELECT from its cache, without a single read of the disk.
    if (path !== undefined) readAnew(opened, path);
    else opened.log.head();
    if (failed !== undefined) throw failed;
    faults.clear('unreadable');
  } catch (error) {
    faults.report('unreadable', `the store cannot be read: ${(error as Error).message}`, error);
  }
}

// A writer locks the file for an instant when it opens or closes it, which must not count as a failure.
const lookTimeoutMs = 1_000;

/** Reads the schema and the head of the log through a new handle. */
function readAnew({ connection, watch }: Opened, path: string): void {
  const reader = new ReadOnlyFile(path, lookTimeoutMs);
  try {
    const isSame = reader.read(() => watch.schema.isAsBefore(reader.db));
    const advice = 'close the store, and open it again';
    if (isSame) connection.faults.clear('schema-changed');
    else connection.faults.report('schema-changed', `another process has changed the tables: ${advice}`);
    reader.read(() => reader.db.prepare(newestRowSql).get());
  } finally {
    reader.close();
  }
}

/** Collects everything that `health()` returns. What cannot be read is a finding and is shown as absent or damaged. */
export function describeHealth(opened: Opened): StoreHealth {
  const { connection, pair } = opened;
  let failed: unknown;
  const readIfPossible = <T>(read: () => T): T | undefined => {
    try {
      return connection.read('read the state of the store', read);
    } catch (error) {
      failed ??= error;
      return undefined;
    }
  };
  const newest = readIfPossible(() => newestTime(connection));
  // The clock is read last, because an event that another process appends meanwhile would seem to be still to come.
  const clockBehindMs = newest === undefined ? undefined : clockBehind(connection, newest, connection.now());
  const archived = readIfPossible(() => archivedRow(connection));
  const health = {
    schemaVersion: connection.newerVersion ?? schemaVersion,
    sqliteVersion: readIfPossible(() => connection.get<[string]>('SELECT sqlite_version()')![0]) ?? 'unknown',
    journalMode: readIfPossible(() => journalMode(connection)) ?? 'unknown',
    ...(readIfPossible(() => sizes(connection)) ?? { databaseBytes: 0, walBytes: 0 }),
    freePageBytes: readIfPossible(() => freePageBytes(connection)) ?? 0,
    ...(archived ? { archivedId: archived.id } : undefined),
    snapshot: pair.copies(readIfPossible),
    ...(clockBehindMs === undefined ? undefined : { clockBehindMs }),
    timeZone: timeZoneInUse(),
  };
  readIfPossible(() => checkPlace(connection));
  readIfPossible(() => reportMachine(connection));
  checkDisk(opened, failed);
  checkTimeZone(connection);
  const findings = connection.faults.list();
  const { lastError: last } = connection;
  return {
    ok: findings.length === 0,
    findings,
    ...health,
    ...(last ? { lastError: { code: last.error.code, message: last.error.message, at: last.at } } : undefined),
  };
}

/**
 * Returns the journal mode. A handle that reads a closed store opens the file as immutable and answers that it has no
 * journal, so the mode is then read from the file's header.
 */
function journalMode(connection: Connection): string {
  const [mode] = connection.get<[string]>('PRAGMA journal_mode')!;
  const { reader, path } = connection;
  if (!reader || path === undefined || mode === 'wal') return mode;
  return readHeader(path, 20)[18] === 2 ? 'wal' : mode;
}

/** When the newest event was recorded; null where there is none, or its time cannot be read. */
function newestTime(connection: Connection): Date | null {
  const [timestamp] = connection.get<[string]>('SELECT timestamp FROM audit_log ORDER BY id DESC LIMIT 1') ?? [];
  return parseInstant(timestamp) ?? null;
}

/** Finds a clock that is behind: without a battery it restarts in 1970 or at the power-off, and events look too old. */
function clockBehind({ faults }: Connection, newest: Date | null, now: Date): number | undefined {
  if (!newest || newest <= now) {
    faults.clear('clock-behind');
    return undefined;
  }
  const message = `the clock says ${now.toISOString()} and the newest event is of ${newest.toISOString()}`;
  faults.report('clock-behind', message);
  return newest.getTime() - now.getTime();
}

function checkTimeZone({ faults }: Connection): void {
  const problem = systemZone.problem(process.env['TZ']);
  if (problem === undefined) faults.clear('time-zone');
  else faults.report('time-zone', problem);
}

/** Reports or clears the findings about the database's folder and names. */
function checkPlace({ faults, path }: Connection): void {
  if (path === undefined) return;
  const folder = dirname(path);
  const isShared = (statSync(folder).mode & 0o002) !== 0;
  if (isShared) faults.report('folder-shared', `every user may write to ${folder} and so replace the store`);
  else faults.clear('folder-shared');
  reportNames(faults, path);
}

function freePageBytes(connection: Connection): number {
  const [pages] = connection.get<[number]>('PRAGMA freelist_count')!;
  const [pageBytes] = connection.get<[number]>('PRAGMA page_size')!;
  return pages * pageBytes;
}

function sizes(connection: Connection): Pick<StoreHealth, 'databaseBytes' | 'walBytes' | 'freeBytes'> {
  const { path } = connection;
  if (path === undefined) {
    const [pages] = connection.get<[number]>('PRAGMA page_count')!;
    const [pageBytes] = connection.get<[number]>('PRAGMA page_size')!;
    return { databaseBytes: pages * pageBytes, walBytes: 0 };
  }
  const { bavail, bsize } = statfsSync(dirname(path));
  // The sizes come from stat, because closing a descriptor of the database or its WAL would drop SQLite's locks.
  return {
    databaseBytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0,
    walBytes: statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    freeBytes: bavail * bsize,
  };
}
