// Whether the store works, and everything an operator would ask next.
import { statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { auditHeadOf } from './audit.ts';
import type { Connection } from './connection.ts';
import type { StoreErrorCode } from './errors.ts';
import type { HealthFinding } from './faults.ts';
import { reportNames } from './names.ts';
import { readHeader, ReadOnlyFile } from './read-only.ts';
import { schemaVersion } from './schema.ts';
import type { SnapshotCopy, SnapshotPair } from './snapshot.ts';
import { systemZone, timeZoneInUse } from './time-zone.ts';
import { parseInstant } from './values.ts';

/** What `health()` gives. Sizes are in bytes. */
export interface StoreHealth {
  /** Whether there is no finding. A store with findings may well work: `isHealthy()` says whether it does. */
  ok: boolean;
  findings: HealthFinding[];
  schemaVersion: number;
  sqliteVersion: string;
  journalMode: string;
  databaseBytes: number;
  walBytes: number;
  /** Free space on the file system; absent for a store in memory. */
  freeBytes?: number;
  snapshot: { row: SnapshotCopy; file: SnapshotCopy };
  /** How far the clock is behind the newest event; absent where it is not. */
  clockBehindMs?: number;
  /** The zone that days are of where none is given: an IANA name, or a difference such as `UTC+01:00`. */
  timeZone: string;
  /** The last error that an operation of this store object threw. */
  lastError?: { code: StoreErrorCode; message: string; at: Date };
}

/** The findings that mean that the store does not work. */
const fatal: readonly HealthFinding['kind'][] = ['stopped', 'replaced', 'unreadable', 'schema-changed'];

/** Whether reading and writing work: asks the disk and not the page cache of the open connection. */
export function isWorking(connection: Connection): boolean {
  if (!connection.isOpen) return false;
  checkDisk(connection);
  return !connection.faults.list().some(({ kind }) => fatal.includes(kind));
}

/** `failed` is why something else than the head could not be read. */
function checkDisk(connection: Connection, failed?: unknown): void {
  const { faults, path } = connection;
  const replaced = connection.files.problem();
  if (replaced !== undefined) return faults.report('replaced', replaced);
  faults.clear('replaced');
  try {
    // A SELECT on the open connection is answered from its cache without a single read call.
    if (path !== undefined) readAnew(connection, path);
    else auditHeadOf(connection);
    if (failed !== undefined) throw failed;
    faults.clear('unreadable');
  } catch (error) {
    faults.report('unreadable', `the store cannot be read: ${(error as Error).message}`, error);
  }
}

// A writer that opens or closes the file holds it for an instant; that is not ill health.
const headTimeoutMs = 1_000;

/** The schema, and the head of the log. */
function readAnew(connection: Connection, path: string): void {
  const reader = new ReadOnlyFile(path, headTimeoutMs);
  try {
    const isSame = reader.read(() => connection.schema.isAsBefore(reader.db));
    if (isSame) connection.faults.clear('schema-changed');
    else connection.faults.report('schema-changed', 'another process has changed the tables: close the store, and open it again');
    reader.read(() => reader.db.prepare('SELECT * FROM audit_log ORDER BY id DESC LIMIT 1').get());
  } finally {
    reader.close();
  }
}

/** Everything at once. What cannot be read is a finding and shown as absent or damaged. */
export function describeHealth(connection: Connection, pair: SnapshotPair): StoreHealth {
  const now = connection.now();
  let failed: unknown;
  const told = <T>(read: () => T): T | undefined => {
    try {
      return connection.read('read the state of the store', read);
    } catch (error) {
      failed ??= error;
      return undefined;
    }
  };
  const clockBehindMs = told(() => clockBehind(connection, now));
  const health = {
    schemaVersion,
    sqliteVersion: told(() => connection.get<[string]>('SELECT sqlite_version()')![0]) ?? 'unknown',
    journalMode: told(() => journalMode(connection)) ?? 'unknown',
    ...(told(() => sizes(connection)) ?? { databaseBytes: 0, walBytes: 0 }),
    snapshot: pair.copies(now, told),
    ...(clockBehindMs === undefined ? undefined : { clockBehindMs }),
    timeZone: timeZoneInUse(),
  };
  checkDisk(connection, failed);
  checkTimeZone(connection);
  const findings = connection.faults.list();
  const { lastError } = connection;
  return {
    ok: findings.length === 0,
    findings,
    ...health,
    ...(lastError ? { lastError: { code: lastError.error.code, message: lastError.error.message, at: lastError.at } } : undefined),
  };
}

/** A handle that reads a closed store takes the file for one that nobody writes, and has no journal then: the file's header says. */
function journalMode(connection: Connection): string {
  const [mode] = connection.get<[string]>('PRAGMA journal_mode')!;
  const { reader, path } = connection;
  if (!reader || path === undefined || mode === 'wal') return mode;
  return readHeader(path, 20)[18] === 2 ? 'wal' : mode;
}

/** A kiosk without a battery starts in 1970, or where it was switched off; new events then look older than old ones. */
function clockBehind(connection: Connection, now: Date): number | undefined {
  const [timestamp] = connection.get<[string]>('SELECT timestamp FROM audit_log ORDER BY id DESC LIMIT 1') ?? [];
  const newest = parseInstant(timestamp);
  if (!newest || newest <= now) {
    connection.faults.clear('clock-behind');
    return undefined;
  }
  connection.faults.report('clock-behind', `the clock says ${now.toISOString()} and the newest event is of ${newest.toISOString()}`);
  return newest.getTime() - now.getTime();
}

function checkTimeZone({ faults }: Connection): void {
  const problem = systemZone.problem(process.env['TZ']);
  if (problem === undefined) faults.clear('time-zone');
  else faults.report('time-zone', problem);
}

function sizes(connection: Connection): Pick<StoreHealth, 'databaseBytes' | 'walBytes' | 'freeBytes'> {
  const { path } = connection;
  if (path === undefined) {
    const [pages] = connection.get<[number]>('PRAGMA page_count')!;
    const [pageBytes] = connection.get<[number]>('PRAGMA page_size')!;
    return { databaseBytes: pages * pageBytes, walBytes: 0 };
  }
  const folder = dirname(path);
  const { bavail, bsize } = statfsSync(folder);
  if ((statSync(folder).mode & 0o002) !== 0) connection.faults.report('folder-shared', `every user may write to ${folder} and so replace the store`);
  else connection.faults.clear('folder-shared');
  reportNames(connection.faults, path);
  // stat only: closing a descriptor of the database or its WAL would drop SQLite's locks on it.
  return {
    databaseBytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0,
    walBytes: statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    freeBytes: bavail * bsize,
  };
}
