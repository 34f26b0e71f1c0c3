// What stands at a path, found out without changing a byte of it or beside it: what is refused is left as it was.
import { accessSync, constants, lstatSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { checkFormat, openHandle, readHeader, readTogether, readValue } from '../core/handle.ts';
import { formerIdentities, isSameStore, type Origin } from '../core/identity.ts';
import { newestRowSql, readHead } from '../core/log.ts';
import { readUuid } from '../core/open.ts';
import { applicationId, type FileKind, identify, isOwnTable, schemaVersion } from '../core/schema.ts';
import { originOf, type SnapshotFile } from '../core/snapshot-file.ts';
import { compareHead } from '../core/snapshot-findings.ts';
import { DatabaseSync } from '../core/sqlite.ts';
import { Statements } from '../core/statements.ts';
import { type NewerSchema, newerSchema } from '../reading/newer.ts';
import { ReadOnlyFile } from '../reading/reader.ts';
import { readJournalBytes } from '../values/descriptors.ts';
import { StoreError } from '../values/errors.ts';
import { companionsOf, existsAt } from '../values/place.ts';
import { hasWal } from './found-wal.ts';
import type { Recovery } from './heal.ts';
import { refuseSecondName } from './names.ts';

/** What kind of file was found, and the identity if it is a store. */
export interface Found {
  file: FileKind;
  origin?: Origin;
  /** What may be done with a store of a newer version. */
  newer?: NewerSchema | undefined;
  /** Whether the snapshot file is this store's; absent where there is none to compare. */
  ownsSnapshot?: boolean;
  /** What the database lacks that the snapshot file has, if this could be seen. */
  loss?: Recovery['found'] | undefined;
}

/**
 * Examines a file that will be opened for writing. Throws `ERR_STORE_PERMISSION`, `ERR_STORE_READ_ONLY`, and
 * `ERR_STORE_NOT_A_STORE` or `ERR_STORE_CORRUPT` if the file cannot be read.
 */
export function inspect(path: string, snapshot: SnapshotFile, busyTimeoutMs: number): Found {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return { file: { kind: 'empty' } };
  const what = `failed to open ${path}`;
  if (stat.isSymbolicLink()) {
    throw new StoreError('ERR_STORE_PERMISSION', `${what}: it is a symbolic link; give the path that it leads to`);
  }
  if (!stat.isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `${what}: it is not a regular file`);
  refuseSecondName(path);
  accessSync(path, constants.R_OK | constants.W_OK);
  accessSync(dirname(path), constants.W_OK | constants.X_OK);
  const [wal, shm, journal] = companionsOf(path).map(existsAt);
  if (stat.size === 0 && !journal) return { file: { kind: 'empty' } };
  // SQLite treats a file of one byte as empty and would overwrite it.
  if (stat.size === 1) return { file: { kind: 'other', holds: 'a single byte' } };
  const isAlone = wal && !shm && !journal && newerInHeader(path) === undefined;
  const found = isAlone ? examineWithoutWal(path) : undefined;
  if (!found) return examineFile(path, snapshot, busyTimeoutMs);
  return { ...found, ...compareBehindWal(path, found, snapshot, busyTimeoutMs) };
}

function examineFile(path: string, snapshot: SnapshotFile, busyTimeoutMs: number): Found {
  const reader = new ReadOnlyFile(path, busyTimeoutMs);
  try {
    return reader.read(() => readTogether(reader.db, () => {
      const found = examine(reader.db, path);
      if (found.origin === undefined || found.newer?.access === 'none') return found;
      // The rows that open will read are read here first, so that damage is found before anything is written.
      readValue(reader.db, newestRowSql);
      readValue(reader.db, 'SELECT data, generation FROM snapshot');
      return { ...found, ...compareSnapshot(reader.db, found, snapshot) };
    }));
  } finally {
    reader.close();
  }
}

/**
 * Examines a database without its -wal. After a power cut there may be a -wal and no -shm, and reading both would need
 * a copy. The application id, version and identity are in the database file itself, because a migration is checkpointed
 * at once.
 */
function examineWithoutWal(path: string): Found | undefined {
  try {
    using db = openHandle(path, { immutable: '1' }, { readOnly: true });
    const found = examine(db, path);
    return found.file.kind === 'store' ? found : undefined;
  } catch {
    return undefined; // examineFile then gives the reason
  }
}

/**
 * Compares a store and its -wal with the snapshot file before open empties the -wal. SQLite makes the missing -shm for
 * it, as open will anyway; a read-only connection leaves the -wal as it is.
 */
function compareBehindWal(path: string, found: Found, snapshot: SnapshotFile, timeout: number): Compared {
  if (snapshot.state !== 'whole') return {};
  using db = openHandle(path, {}, { readOnly: true, timeout });
  return compareSnapshot(db, found, snapshot);
}

type Compared = Pick<Found, 'ownsSnapshot' | 'loss'>;

function compareSnapshot(db: DatabaseSync, { origin }: Found, snapshot: SnapshotFile): Compared {
  if (snapshot.state !== 'whole' || !origin) return {};
  const { content } = snapshot;
  if (!isSameStore(originOf(content), origin)) return { ownsSnapshot: false };
  const loss = compareHead(new Statements(db), content);
  // A file of the time before the store got its UUID was written with a row that the log has, or it is another copy's.
  if (content.store !== origin.store && loss === 'forked') return { ownsSnapshot: false };
  return { ownsSnapshot: true, loss };
}

function examine(db: DatabaseSync, path: string): Found {
  const file = identify(db);
  const newer = newerSchema(db, path, file);
  if (file.kind === 'other') return { file };
  if (newer?.access === 'none') return { file, newer, ...identityIn(db) };
  // The journal has undone a database that a power cut interrupted while it was made, so no page is left.
  if (file.kind === 'empty' && readValue(db, 'PRAGMA page_count') === 0) return { file };
  checkFormat(db, path);
  if (file.kind !== 'store') return { file };
  if (hasWal(path)) checkTables(db);
  return { file, newer, origin: originIn(db, path) };
}

/** The identity of a store that this code cannot read otherwise. */
function identityIn(db: DatabaseSync): Pick<Found, 'origin'> {
  try {
    return { origin: originIn(db, 'it') };
  } catch {
    return {}; // a newer version may keep it elsewhere
  }
}

function originIn(db: DatabaseSync, path: string): Origin {
  const statements = new Statements(db);
  const lastId = readHead(statements)?.id ?? 0;
  return { store: readUuid(db, path), renewed: formerIdentities(statements), lastId };
}

/**
 * Refuses a table whose CHECK names an unknown column. SQLite overlooks that while it reads; when it writes, it refuses
 * the file, but only after it has brought the -wal into a database that must stay as it is.
 */
function checkTables(db: DatabaseSync): void {
  using copy = new DatabaseSync(':memory:');
  for (const { name, sql } of db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").all()) {
    if (!isOwnTable(name)) continue;
    try {
      copy.exec(String(sql));
    } catch (cause) {
      const why = (cause as Error).message;
      const message = `the table ${String(name)} cannot be read as it stands in the file: ${why}`;
      throw new StoreError('ERR_STORE_CORRUPT', message, { cause });
    }
  }
}

/** Whether a file that SQLite cannot read has this package's application id: bytes 68 to 71, big-endian. */
export function hasMark(path: string): boolean {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return false;
  return readHeader(path, 72).readUInt32BE(68) === applicationId;
}

/**
 * The newer version that stands in the header of a marked file, or in one of the headers in its -wal (bytes 60 to 63 of
 * the first page), found out without SQLite.
 */
export function newerInHeader(path: string): number | undefined {
  if (!hasMark(path)) return undefined;
  for (const header of [readHeader(path, 72), ...headersInWal(path)]) {
    const version = header.readInt32BE(60);
    if (version > schemaVersion && header.readUInt32BE(68) === applicationId) return version;
  }
  return undefined;
}

/**
 * The beginnings of the first pages in a -wal: behind its own 32 bytes each page has 24, which begin with its number
 * (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
 */
function headersInWal(path: string): Buffer[] {
  if (!hasWal(path)) return [];
  return readJournalBytes(`${path}-wal`, (fd) => {
    const found: Buffer[] = [];
    const frame = Buffer.alloc(24 + 72);
    readSync(fd, frame, 0, 32, 0);
    const pageBytes = frame.readUInt32BE(8);
    if (pageBytes < 512) return found; // no header of a -wal
    for (let at = 32; readSync(fd, frame, 0, frame.length, at) === frame.length; at += 24 + pageBytes) {
      if (frame.readUInt32BE(0) === 1) found.push(Buffer.from(frame.subarray(24)));
    }
    return found;
  });
}
