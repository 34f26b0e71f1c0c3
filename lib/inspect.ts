// What stands at a path, found out without changing a byte of it or beside it: what is refused is left as it was.
import { accessSync, constants, lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { StoreError } from './errors.ts';
import { refuseSecondName } from './names.ts';
import { openHandle, readHeader, ReadOnlyFile } from './read-only.ts';
import { compareHead } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { applicationId, identify, isOwnTable, readPragma, schemaVersion } from './schema.ts';
import type { FileKind } from './schema.ts';
import type { SnapshotFile } from './snapshot-file.ts';
import { DatabaseSync } from './sqlite.ts';

/** What a file is, and of a store its identity. */
export interface Found {
  file: FileKind;
  uuid?: string;
  /** What the file beside it has and it has not, where that could be seen. */
  loss?: Recovery['found'] | undefined;
}

/**
 * Looks at a file that is to be opened for writing. Throws `ERR_STORE_PERMISSION`, `ERR_STORE_READ_ONLY`, and
 * `ERR_STORE_NOT_A_STORE` or `ERR_STORE_CORRUPT` where nothing can be read.
 */
export function inspect(path: string, snapshot: SnapshotFile, busyTimeoutMs: number): Found {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return { file: { kind: 'empty' } };
  if (stat.isSymbolicLink()) throw new StoreError('ERR_STORE_PERMISSION', `failed to open ${path}: it is a symbolic link; give the path that it leads to`);
  if (!stat.isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to open ${path}: it is not a regular file`);
  refuseSecondName(path);
  accessSync(path, constants.R_OK | constants.W_OK);
  accessSync(dirname(path), constants.W_OK | constants.X_OK);
  const [wal, shm, journal] = ['-wal', '-shm', '-journal'].map((suffix) => lstatSync(path + suffix, { throwIfNoEntry: false }));
  if (stat.size === 0 && !journal) return { file: { kind: 'empty' } };
  // SQLite takes a file of one byte for an empty one, and would write over it.
  if (stat.size === 1) return { file: { kind: 'other', holds: 'a single byte' } };
  const found = wal && !shm && !journal ? examineWithoutWal(path) : undefined;
  return found ? { ...found, loss: lossBehindWal(path, found, snapshot, busyTimeoutMs) } : examineFile(path, snapshot, busyTimeoutMs);
}

function examineFile(path: string, snapshot: SnapshotFile, busyTimeoutMs: number): Found {
  const reader = new ReadOnlyFile(path, busyTimeoutMs);
  try {
    return reader.read(() => {
      const found = examine(reader.db, path);
      if (found.uuid === undefined) return found;
      // What opening reads is read once here: damage is found before anything was written.
      for (const table of ['audit_log ORDER BY id DESC LIMIT 1', 'snapshot']) reader.db.prepare(`SELECT * FROM ${table}`).get();
      const loss = snapshot.state === 'whole' && snapshot.content.store === found.uuid ? compareHead(getFrom(reader.db), snapshot.content) : undefined;
      return { ...found, loss };
    });
  } finally {
    reader.close();
  }
}

/**
 * After a power cut there may be a -wal and no -shm, and reading would take a copy of it all. The mark, the version and the
 * identity are in the database file itself, whatever else the WAL has: a migration is checkpointed at once.
 */
function examineWithoutWal(path: string): Found | undefined {
  try {
    using db = openHandle(path, { immutable: '1' }, { readOnly: true });
    const found = examine(db, path);
    return found.file.kind === 'store' ? found : undefined;
  } catch {
    return undefined; // whoever reads on says why
  }
}

/**
 * What the -wal of a store of ours has lost, before opening empties it. SQLite makes the -shm that is missing for that, as
 * opening would in a moment; a connection that only reads leaves the -wal as it is.
 */
function lossBehindWal(path: string, { file, uuid }: Found, snapshot: SnapshotFile, timeout: number): Found['loss'] {
  if (file.kind !== 'store' || file.version > schemaVersion || snapshot.state !== 'whole' || snapshot.content.store !== uuid) return undefined;
  using db = openHandle(path, {}, { readOnly: true, timeout });
  return compareHead(getFrom(db), snapshot.content);
}

function examine(db: DatabaseSync, path: string): Found {
  const file = identify(db);
  if (file.kind === 'other' || (file.kind === 'store' && file.version > schemaVersion)) return { file };
  // What a power cut left of a database in the making was undone by its journal; the size is what stood in its first page.
  if (file.kind === 'empty' && readPragma(db, 'page_count') === 0) return { file };
  // A page smaller than what a card programs at once would put more neighbours at risk with every write.
  const size = Number(readPragma(db, 'page_size'));
  if (size < 4096) throw new StoreError('ERR_STORE_DATABASE', `${path} has pages of ${size} bytes; 4096 or more are needed (VACUUM with another page_size changes them)`);
  const encoding = readPragma(db, 'encoding');
  if (encoding !== 'UTF-8') throw new StoreError('ERR_STORE_DATABASE', `${path} stores its texts in ${encoding}; this package needs UTF-8`);
  if (file.kind !== 'store') return { file };
  if (lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.size) checkTables(db);
  const uuid = db.prepare('SELECT uuid FROM store_meta WHERE id = 1').get()?.['uuid'];
  if (typeof uuid !== 'string') throw new StoreError('ERR_STORE_CORRUPT', `${path} is marked as a store and has lost its identity`);
  return { file, uuid };
}

/**
 * Where it only reads, SQLite overlooks a CHECK that names no column. Where it writes it refuses the file, and has by then
 * brought the -wal into a database that is to stay as it is.
 */
function checkTables(db: DatabaseSync): void {
  using copy = new DatabaseSync(':memory:');
  for (const { name, sql } of db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").all()) {
    if (!isOwnTable(name)) continue;
    try {
      copy.exec(String(sql));
    } catch (cause) {
      throw new StoreError('ERR_STORE_CORRUPT', `the table ${String(name)} cannot be read as it stands in the file: ${(cause as Error).message}`, { cause });
    }
  }
}

/** `Connection.get` of a plain handle. */
function getFrom(db: DatabaseSync): Parameters<typeof compareHead>[0] {
  return {
    get: (sql, ...values) => {
      const statement = db.prepare(sql);
      statement.setReturnArrays(true);
      return statement.get(...values) as never;
    },
  };
}

/** Whether the header of a file that SQLite does not read has this package's mark: bytes 68 to 71, big-endian. */
export function hasMark(path: string): boolean {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return false;
  return readHeader(path, 72).readUInt32BE(68) === applicationId;
}
