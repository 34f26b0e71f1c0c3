// Everything between a path and a sound connection that may write.
import { accessSync, closeSync, constants, lstatSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Connection } from './connection.ts';
import { attempt, hasCode, StoreError, toStoreError } from './errors.ts';
import { createFile, moveAside, moveOrphanWal, prepareFolder, removeTemporaries, snapshotPathOf } from './files.ts';
import { harden, openHandle, ReadOnlyFile } from './read-only.ts';
import { compareHead, heal } from './recovery.ts';
import type { Loss, Recovery } from './recovery.ts';
import { applicationId, checkKnown, createSchema, identify, migrateSchema, readPragma, schemaVersion } from './schema.ts';
import type { FileKind } from './schema.ts';
import { SnapshotPair } from './snapshot.ts';
import { readSnapshotFile, syncFolder } from './snapshot-file.ts';
import type { SnapshotFile } from './snapshot-file.ts';
import { checkFunction, checkInteger, checkOptions, checkText, invalid } from './values.ts';

/** How to open a store. */
export interface OpenOptions {
  /** Where the time comes from; the system's clock by default. */
  clock?: () => Date;
  /** A clock that only goes forward, in milliseconds, for elapsed time; `performance.now` by default. */
  monotonicMs?: () => number;
  /** How long to wait for another process that writes, in milliseconds; 5,000 by default. */
  busyTimeoutMs?: number;
  /** The plain file of the snapshot pair; by default beside the database: `x.db` → `x.snapshot.json`. */
  snapshotPath?: string;
  /** Whether a lost or damaged database is moved aside and made anew from what is left, instead of refused. */
  recover?: boolean;
}

export type CheckedOptions = Required<Omit<OpenOptions, 'snapshotPath'>> & { snapshotPath: string | undefined };

/** What a store is made of. */
export interface Opened {
  connection: Connection;
  uuid: string;
  pair: SnapshotPair;
  recovery: Recovery | undefined;
}

/** Refuses an unknown option by name. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkOpenOptions(options: OpenOptions | undefined, known: readonly (keyof OpenOptions)[] = ['clock', 'monotonicMs', 'busyTimeoutMs', 'snapshotPath', 'recover']): CheckedOptions {
  const { clock, monotonicMs, busyTimeoutMs = 5_000, snapshotPath, recover = false } = checkOptions('options', options, known);
  if (typeof recover !== 'boolean') throw invalid('options.recover', recover, 'true or false');
  return {
    clock: checkFunction('options.clock', clock) ?? ((): Date => new Date()),
    monotonicMs: checkFunction('options.monotonicMs', monotonicMs) ?? ((): number => performance.now()),
    // SQLite keeps the timeout in 32 bits.
    busyTimeoutMs: checkInteger('options.busyTimeoutMs', busyTimeoutMs, 0, 2 ** 31 - 1),
    snapshotPath: snapshotPath === undefined ? undefined : resolve(checkText('options.snapshotPath', snapshotPath)),
    recover,
  };
}

// Closing a file descriptor drops every POSIX lock that the process has on the file, SQLite's too. So a damaged header is
// only read with fs where no handle of this module has the file open.
const openHere = new Map<string, number>();

/** Opens a store in a file, making, adopting, migrating or healing it first where that is due. */
export function openFile(path: string, options: CheckedOptions): Opened {
  const what = `open ${path}`;
  return attempt(what, () => {
    checkVersion();
    prepareFolder(dirname(path));
    const snapshotPath = options.snapshotPath ?? snapshotPathOf(path);
    const file = readSnapshotFile(snapshotPath);
    try {
      return openFound(path, snapshotPath, file, options);
    } catch (error) {
      const mapped = toStoreError(error, what);
      if (!isDamage(mapped)) throw mapped;
      return recoverDamaged(path, snapshotPath, file, mapped, options);
    }
  });
}

/** SQLite 3.7.0 to 3.51.2 can damage a WAL database that two connections use (https://www.sqlite.org/wal.html#walresetbug). */
function checkVersion(): void {
  const db = new DatabaseSync(':memory:');
  const version = String(db.prepare('SELECT sqlite_version() AS version').get()?.['version']);
  db.close();
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major * 1e6 + minor * 1e3 + patch >= 3_051_003) return;
  throw new StoreError('ERR_STORE_UNSUPPORTED', `SQLite ${version} can damage a database that two processes use; 3.51.3 or later is needed (Node 24.15 and 26 bundle it)`);
}

function openFound(path: string, snapshotPath: string, file: SnapshotFile, options: CheckedOptions): Opened {
  const { uuid, ...found } = inspect(path, options);
  if (found.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is another program's database (${found.holds}); to take over a service's data use "shepherd-store import"`);
  if (found.kind === 'store') checkKnown(path, found.version);
  if (found.kind === 'empty' && file.state !== 'absent' && !options.recover) throw missing(path, snapshotPath);
  if (found.kind !== 'empty' && uuid !== undefined && file.state === 'whole' && file.content.store !== uuid && !options.recover) throw notOurs(snapshotPath, file.content.store, uuid);
  const moved = moveOrphanWal(path, options.clock());
  let loss: Loss | undefined;
  if (found.kind === 'empty' && file.state !== 'absent') loss = { found: 'missing', moved };
  else if (moved.length > 0) loss = { found: 'orphan-wal', moved };
  return connect(path, snapshotPath, file, loss, options);
}

function missing(path: string, snapshotPath: string): StoreError {
  return new StoreError('ERR_STORE_CORRUPT', `${path} is missing or empty, and ${snapshotPath} says that there was a store`);
}

function notOurs(snapshotPath: string, theirs: string, ours: string): StoreError {
  return new StoreError('ERR_STORE_CONFLICT', `${snapshotPath} belongs to another store (${theirs}, not ${ours}): move it away, or open with recover to have it moved aside`);
}

/** What the file is and its identity, found out without changing a byte of it or beside it. */
function inspect(path: string, options: CheckedOptions): FileKind & { uuid?: string } {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return { kind: 'empty' };
  if (stat.isSymbolicLink()) throw new StoreError('ERR_STORE_PERMISSION', `failed to open ${path}: it is a symbolic link; give the path that it leads to`);
  if (!stat.isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to open ${path}: it is not a regular file`);
  accessSync(path, constants.R_OK | constants.W_OK);
  accessSync(dirname(path), constants.W_OK | constants.X_OK);
  const [shm, journal] = ['-shm', '-journal'].map((suffix) => lstatSync(path + suffix, { throwIfNoEntry: false }));
  if (stat.size === 0 && !journal) return { kind: 'empty' };
  // After a power cut there often is no -shm; reading would take a copy then. The mark is in the database file from the
  // first, whatever else is in the WAL only.
  if (!shm && !journal && markOf(path) === applicationId) return { kind: 'store', version: schemaVersion };
  const reader = new ReadOnlyFile(path, options.busyTimeoutMs);
  try {
    return reader.read(() => {
      const found = identify(reader.db);
      // An adopted file gets an identity of its own, which no file beside it can have.
      if (found.kind !== 'store') return { ...found, uuid: '(none yet)' };
      return { ...found, uuid: String(reader.db.prepare('SELECT uuid FROM store_meta').get()?.['uuid']) };
    });
  } finally {
    reader.close();
  }
}

function markOf(path: string): unknown {
  try {
    using db = openHandle(path, { immutable: '1' }, { readOnly: true });
    return readPragma(db, 'application_id');
  } catch {
    return undefined; // whoever reads on says why
  }
}

function connect(path: string, snapshotPath: string, file: SnapshotFile, loss: Loss | undefined, options: CheckedOptions): Opened {
  createFile(path);
  // psow=0: without it SQLite trusts the device not to touch bytes beside the ones it writes, and does not pad commits in
  // the WAL to whole sectors. SD cards program whole pages.
  const db = openHandle(path, { psow: '0' }, { timeout: options.busyTimeoutMs });
  let connection: Connection | undefined;
  try {
    setPragmas(db);
    checkpointFound(db, path);
    const isLost = loss?.found === 'missing' || loss?.found === 'damaged';
    prepareSchema(db, path, isLost && file.state === 'whole' ? file.content.store : undefined, options);
    switchToWal(db, path, options);
    connection = new Connection(db, { clock: options.clock, path });
    openHere.set(path, (openHere.get(path) ?? 0) + 1);
    return settle(connection, snapshotPath, file, loss, options);
  } catch (error) {
    if (connection) closeFile(connection);
    else db.close();
    throw error;
  }
}

/** Ends what `openFile` began. */
export function closeFile(connection: Connection): void {
  if (!connection.isOpen) return;
  connection.close();
  const { path } = connection;
  if (path !== undefined && !connection.reader) openHere.set(path, (openHere.get(path) ?? 1) - 1);
}

/** Every PRAGMA that a write relies on, set and read back: SQLite ignores a value that it cannot honour. */
function setPragmas(db: DatabaseSync): void {
  const pragmas: [name: string, value: number, answer?: number][] = [
    ['synchronous', 2], // FULL: fsync of the WAL at every commit; NORMAL loses the latest commits in a power cut
    ['foreign_keys', 1], // the modules' tables rely on them
    ['recursive_triggers', 1], // REPLACE deletes rows without firing their delete triggers otherwise
    ['wal_autocheckpoint', 0], // it would swallow its errors; lib/connection.ts checkpoints
    ['trusted_schema', 0],
    ['cell_size_check', 1],
  ];
  for (const [name, value] of pragmas) {
    db.exec(`PRAGMA ${name} = ${value}`);
    const answer = readPragma(db, name);
    if (answer !== value) throw new StoreError('ERR_STORE_DATABASE', `PRAGMA ${name} = ${value} was not accepted: SQLite answers ${answer}`);
  }
}

/**
 * After a failed fsync and a restart the page cache can hold frames of the WAL that were never written. SQLite would trust
 * them and chain new commits onto them, which a power cut then takes along. A checkpoint writes them into the database.
 */
function checkpointFound(db: DatabaseSync, path: string): void {
  const wal = lstatSync(`${path}-wal`, { throwIfNoEntry: false });
  if (!wal || wal.size === 0) return;
  const { busy, log, checkpointed } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number; log: number; checkpointed: number };
  // Held up by a reader is fine as long as every frame has been written.
  if (busy !== 0 && log !== checkpointed) {
    throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: another process keeps reading it, so that its WAL cannot be secured first`);
  }
}

/** Makes, adopts or migrates the tables in one transaction, under the write lock; finds nothing to do in most cases. */
function prepareSchema(db: DatabaseSync, path: string, uuid: string | undefined, options: CheckedOptions): void {
  const kind = identify(db);
  if (kind.kind !== 'empty') checkPageSize(db, path);
  if (kind.kind === 'store' && kind.version === schemaVersion) return;
  // NORMAL locking and a rollback journal: for a file that is not in WAL mode yet, nothing of it changes if a step fails.
  inTransaction(db, () => {
    const found = identify(db); // another process may have been faster
    if (found.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} has become another program's database (${found.holds})`);
    if (found.kind === 'empty') return createSchema(db, options.clock(), uuid);
    const from = found.kind === 'store' ? found.version : 0;
    checkKnown(path, from);
    migrateSchema(db, from, schemaVersion, options.clock(), false);
  });
}

/** All or nothing, before there is a `Connection`. */
function inTransaction(db: DatabaseSync, fn: () => void): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    fn();
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** A page smaller than what a card programs at once would put more neighbours at risk with every write. */
function checkPageSize(db: DatabaseSync, path: string): void {
  const size = Number(readPragma(db, 'page_size'));
  if (size < 4096) throw new StoreError('ERR_STORE_DATABASE', `${path} has pages of ${size} bytes; 4096 or more are needed (VACUUM with another page_size changes them)`);
}

/** WAL: a commit is one sequential write and one fsync. The mode is kept in the file; only a file system can refuse it. */
function switchToWal(db: DatabaseSync, path: string, options: CheckedOptions): void {
  const deadline = Date.now() + options.busyTimeoutMs;
  for (;;) {
    try {
      const mode = readPragma(db, 'journal_mode = WAL');
      if (mode !== 'wal') throw new StoreError('ERR_STORE_IO', `failed to open ${path}: SQLite cannot use a WAL there (journal mode ${mode}); the file must be on a local disk`);
      break;
    } catch (error) {
      // Two processes that open a new file at once: the switch needs the file alone and does not wait for it.
      if (!hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY') || Date.now() >= deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
  // The name of a new database, and the removal of the journal that made it: one that comes back would be played back.
  syncFolder(dirname(path));
}

/** With the connection there: finds out whether the database has lost something, and heals it. */
function settle(connection: Connection, snapshotPath: string, file: SnapshotFile, known: Loss | undefined, options: CheckedOptions): Opened {
  const [uuid] = connection.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1') ?? [''];
  let content = file.state === 'whole' ? file.content : undefined;
  let loss = known;
  if (content && content.store !== uuid) {
    if (!options.recover) throw notOurs(snapshotPath, content.store, uuid);
    const moved = moveAside(snapshotPath, 'other-store', options.clock());
    loss = { found: loss?.found ?? 'other-file', moved: [...(loss?.moved ?? []), moved] };
    content = undefined;
  } else if (content && !loss) {
    const found = compareHead(connection, content);
    if (found) loss = { found, moved: [] };
  } else if (file.state === 'damaged' && loss) {
    loss.moved.push(moveAside(snapshotPath, 'damaged', options.clock()));
  }
  removeTemporaries(connection, snapshotPath);
  const pair = new SnapshotPair(connection, snapshotPath, uuid, content?.generation ?? 0);
  const recovery = loss && heal(connection, uuid, pair, loss, content);
  pair.check();
  return { connection, uuid, pair, recovery };
}

/** Whether an error says that the file is damaged, as opposed to whole and somebody else's. */
function isDamage(error: unknown): error is StoreError {
  if (!(error instanceof StoreError)) return false;
  return error.code === 'ERR_STORE_CORRUPT' || (error.code === 'ERR_STORE_NOT_A_STORE' && error.cause !== undefined);
}

/** A database that cannot be read: moved aside and made anew where `recover` asks for it and it is known to be ours. */
function recoverDamaged(path: string, snapshotPath: string, file: SnapshotFile, error: StoreError, options: CheckedOptions): Opened {
  const isOurs = file.state === 'whole' || headerMark(path) === applicationId;
  if (!isOurs && !options.recover) throw error;
  if (!isOurs) throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is damaged and nothing says that it is a store: it stays where it is`, { cause: error });
  if (!options.recover) throw new StoreError('ERR_STORE_CORRUPT', `${error.message}: restore a backup, or open with recover to go on with what is left`, { cause: error });
  const moved: string[] = [];
  // The -wal last: if this is cut short, the rest is an orphan -wal beside a missing database, and handled as one.
  for (const suffix of ['', '-journal', '-shm', '-wal']) {
    if (lstatSync(path + suffix, { throwIfNoEntry: false })) moved.push(moveAside(path + suffix, 'damaged', options.clock()));
  }
  return connect(path, snapshotPath, file, { found: 'damaged', moved }, options);
}

/** The application id in the header of a file that SQLite does not read: bytes 68 to 71, big-endian. */
function headerMark(path: string): number | undefined {
  if ((openHere.get(path) ?? 0) > 0 || !lstatSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const header = Buffer.alloc(100);
    return readSync(fd, header, 0, 100, 0) === 100 ? header.readUInt32BE(68) : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Moves the schema of a file that is there; see `SqliteStore.migrate`. */
export function migrateFile(path: string, version: number, force: boolean, options: CheckedOptions): void {
  attempt(`migrate ${path} to version ${version}`, () => {
    checkVersion();
    if (version > schemaVersion) throw new StoreError('ERR_STORE_MIGRATION', `there is no schema version ${version}; the newest is ${schemaVersion}`);
    statSync(path);
    const found = inspect(path, options);
    if (found.kind === 'other' || found.kind === 'empty') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is not a store: it holds ${found.kind === 'other' ? found.holds : 'nothing'}`);
    using db = openHandle(path, { psow: '0' }, { timeout: options.busyTimeoutMs });
    setPragmas(db);
    checkpointFound(db, path);
    inTransaction(db, () => {
      const kind = identify(db);
      const from = kind.kind === 'store' ? kind.version : 0;
      checkKnown(path, from);
      migrateSchema(db, from, version, options.clock(), force);
    });
    if (version > 0) switchToWal(db, path, options);
  });
}

/** Opens a store that lives and dies with the process. */
export function openMemory(options: CheckedOptions): Opened {
  checkVersion();
  const db = new DatabaseSync(':memory:', { defensive: true });
  harden(db);
  setPragmas(db);
  inTransaction(db, () => createSchema(db, options.clock()));
  const connection = new Connection(db, { clock: options.clock });
  return describeStore(connection, undefined);
}

/** Opens a store to look at, changing nothing and leaving nothing behind. */
export function openToRead(path: string, options: CheckedOptions): Opened {
  const what = `open ${path} read-only`;
  return attempt(what, () => {
    checkVersion();
    const stat = statSync(path);
    if (!stat.isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to ${what}: it is not a regular file`);
    accessSync(path, constants.R_OK);
    const reader = new ReadOnlyFile(path, options.busyTimeoutMs);
    try {
      const kind = stat.size === 0 ? { kind: 'other' as const, holds: 'nothing' } : reader.read(() => identify(reader.db));
      if (kind.kind === 'four-tables') throw new StoreError('ERR_STORE_SCHEMA_TOO_OLD', `${path} is to be adopted first: open it for writing once`);
      if (kind.kind !== 'store') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is not a store: it holds ${kind.kind === 'other' ? kind.holds : 'nothing'}`);
      checkKnown(path, kind.version);
      if (kind.version < schemaVersion) throw new StoreError('ERR_STORE_SCHEMA_TOO_OLD', `${path} has schema version ${kind.version}: open it for writing once to migrate it to ${schemaVersion}`);
      const connection = new Connection(reader.db, { clock: options.clock, path, reader });
      return describeStore(connection, options.snapshotPath ?? snapshotPathOf(path));
    } catch (error) {
      reader.close();
      throw error;
    }
  });
}

function describeStore(connection: Connection, snapshotPath: string | undefined): Opened {
  const [uuid] = connection.read('read the identity', () => connection.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1')) ?? [''];
  return { connection, uuid, pair: new SnapshotPair(connection, snapshotPath, uuid, 0), recovery: undefined };
}
