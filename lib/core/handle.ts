// A handle of SQLite with every PRAGMA that it needs, for writing and for reading.
import { readSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSyncOptions } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { readDatabaseBytes } from '../values/descriptors.ts';
import { codeOf, StoreError } from '../values/errors.ts';
import { syncFolder } from '../values/folders.ts';
import { pauseSync } from '../values/pause.ts';
import { DatabaseSync } from './sqlite.ts';

/**
 * Refuses SQLite 3.7.0 to 3.51.2, which can damage a WAL database that two connections use
 * (https://www.sqlite.org/wal.html#walresetbug).
 */
export function checkVersion(): void {
  using db = new DatabaseSync(':memory:');
  const version = String(readValue(db, 'SELECT sqlite_version()'));
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major * 1e6 + minor * 1e3 + patch >= 3_051_003) return;
  const needed = '3.51.3 or later is needed (Node 24.15 and 26 bundle it)';
  const message = `SQLite ${version} can damage a database that two processes use; ${needed}`;
  throw new StoreError('ERR_STORE_UNSUPPORTED', message);
}

/** Refuses Node's permission model, which disables fsync, so that no write would be durable. */
export function checkSync(): void {
  if (!process.permission) return;
  const why = "Node's permission model disables fsync, without which no write is durable";
  throw new StoreError('ERR_STORE_PERMISSION', `${why}: the store can only be read under it`);
}

/**
 * Opens a database as SQLite advises for files from elsewhere (https://www.sqlite.org/security.html); closes the handle
 * again if that fails. The path is given as a `file:` URL with these `parameters`, so that it needs no escaping.
 */
export function openHandle(
  path: string, parameters: Record<string, string>, options: DatabaseSyncOptions,
): DatabaseSync {
  const url = pathToFileURL(path);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  // defensive: no SQL can write to the schema table or corrupt the file on purpose.
  const db = new DatabaseSync(url, { ...options, defensive: true });
  try {
    harden(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Sets the PRAGMAs that hold for every handle. */
export function harden(db: DatabaseSync): void {
  // trusted_schema: a view or trigger planted in the file may not call functions with side effects.
  // cell_size_check: a damaged page is noticed when it is loaded, and not when it has led somewhere.
  // temp_store: sorting happens in memory, because a temporary file would wear the card and could fill it.
  db.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY');
}

// psow=0: otherwise SQLite trusts the device not to touch bytes beside the ones it writes, and does not pad commits in
// the WAL to whole sectors; SD cards program whole pages. mode=rw: otherwise SQLite would make a new database, with the
// umask's mode, where somebody has moved the file away meanwhile.
export const writing = { psow: '0', mode: 'rw' };

/** Sets every PRAGMA that a write relies on and reads it back: SQLite ignores a value that it cannot honour. */
export function setPragmas(db: DatabaseSync): void {
  // synchronous FULL: fsync of the WAL at every commit; NORMAL loses the latest commits in a power cut.
  // foreign_keys: the modules' tables rely on them.
  // recursive_triggers: REPLACE deletes rows without firing their delete triggers otherwise.
  // wal_autocheckpoint 0: SQLite's own checkpoints would swallow their errors; lib/core/checkpoints.ts runs them.
  const pragmas = { synchronous: 2, foreign_keys: 1, recursive_triggers: 1, wal_autocheckpoint: 0 };
  for (const [name, value] of Object.entries(pragmas)) {
    db.exec(`PRAGMA ${name} = ${value}`);
    const answer = readValue(db, `PRAGMA ${name}`);
    if (answer === value) continue;
    throw new StoreError('ERR_STORE_DATABASE', `PRAGMA ${name} = ${value} was not accepted: SQLite answers ${answer}`);
  }
}

/** The first value of the first row that `sql` gives; `undefined` where it gives no row. */
export function readValue(db: DatabaseSync, sql: string): unknown {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return (statement.get() as unknown[] | undefined)?.[0];
}

/**
 * Reads what changes with each change of the schema, and with a step of a newer version that changes no table: SQLite's
 * own number of the schema, and the version in the header.
 */
export const schemaMarkSql =
  "SELECT schema_version || ' ' || user_version FROM pragma_schema_version, pragma_user_version";

/** Refuses a page size or encoding with which this package cannot keep its promises. Throws `ERR_STORE_DATABASE`. */
export function checkFormat(db: DatabaseSync, path: string): void {
  const [size, encoding] = [Number(readValue(db, 'PRAGMA page_size')), readValue(db, 'PRAGMA encoding')];
  // A page smaller than what a memory card programs at once would put more neighbours at risk with every write.
  const needed = '4096 or more are needed (VACUUM with another page_size changes them)';
  if (size < 4096) throw new StoreError('ERR_STORE_DATABASE', `${path} has pages of ${size} bytes; ${needed}`);
  if (encoding === 'UTF-8') return;
  throw new StoreError('ERR_STORE_DATABASE', `${path} stores its texts in ${encoding}; this package needs UTF-8`);
}

/** Runs `fn` as one write transaction of a handle, past its `Connection` or where there is none yet. */
export function inTransaction<T>(db: DatabaseSync, fn: () => T): T {
  return transact(db, 'BEGIN IMMEDIATE', fn);
}

/**
 * Runs several reads on one state of the database, because another process may migrate it between two of them: the
 * tables of one version and the number of another would look like damage. Such reads nest.
 */
export function readTogether<T>(db: DatabaseSync, fn: () => T): T {
  return db.isTransaction ? fn() : transact(db, 'BEGIN', fn);
}

function transact<T>(db: DatabaseSync, begin: string, fn: () => T): T {
  db.exec(begin);
  try {
    const result = fn();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** Switches the file to WAL: a commit is then one sequential write and one fsync. Only a file system can refuse it. */
export function switchToWal(db: DatabaseSync, path: string, busyTimeoutMs: number): void {
  const deadline = Date.now() + busyTimeoutMs;
  for (;;) {
    try {
      const mode = readValue(db, 'PRAGMA journal_mode = WAL');
      if (mode === 'wal') break;
      const why = `SQLite cannot use a WAL there (journal mode ${mode}); the file must be on a local disk`;
      throw new StoreError('ERR_STORE_IO', `failed to open ${path}: ${why}`);
    } catch (error) {
      // The switch needs the file to itself and does not wait: of two processes that open a new file, one tries again.
      if (codeOf(error) !== 'ERR_STORE_BUSY' || Date.now() >= deadline) throw error;
      pauseSync(10);
    }
  }
  // Makes the name of a new database durable, and the deletion of the journal that made it: a journal that reappeared
  // would be rolled back into the database.
  syncFolder(dirname(path));
}

/** The first bytes of a database; zeros behind its end. */
export function readHeader(path: string, bytes: number): Buffer {
  const header = Buffer.alloc(bytes);
  readDatabaseBytes(path, (fd) => readSync(fd, header, 0, bytes, 0));
  return header;
}

/** A database to read from, which may have to be opened again between two reads. */
export interface Reader {
  readonly db: DatabaseSync;
  read<T>(fn: () => T): T;
  close(): void;
}

/** The readers of this process that have a running service's files open. */
export const liveReaders: Set<Reader> = new Set();

/**
 * Closes this process's readers of a running service's files; each opens them again at its next read. All handles of a
 * process share one -shm, and a reader that has it open read-only would make a writing handle fail.
 */
export function releaseReaders(): void {
  for (const reader of liveReaders) reader.close();
}
