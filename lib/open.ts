// Everything between a path and a sound connection that may write.
import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Connection } from './connection.ts';
import { attempt, StoreError, toStoreError } from './errors.ts';
import { copyWalAside, createFile, existsAt, moveAside, moveOrphanWal, prepareFolder, removeTemporaries, snapshotPathOf } from './files.ts';
import { checkpointFound, checkVersion, inTransaction, openToWrite, setPragmas, switchToWal } from './handle.ts';
import { hasMark, inspect } from './inspect.ts';
import { readClock } from './options.ts';
import type { CheckedOptions } from './options.ts';
import { harden, openHandle } from './read-only.ts';
import { Mirroring } from './mirroring.ts';
import { auditHeadOf } from './audit.ts';
import { compareHead, heal, isSchemaDamage, rehearse } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { checkKnown, createSchema, identify, lackingObjects, mendObjects, migrateSchema, schemaVersion } from './schema.ts';
import { SnapshotPair } from './snapshot.ts';
import { readSnapshotFile } from './snapshot-file.ts';
import type { SnapshotFile } from './snapshot-file.ts';
import { invalid } from './values.ts';
import { FileWatch } from './watch.ts';

/** What a store is made of. */
export interface Opened {
  connection: Connection;
  uuid: string;
  pair: SnapshotPair;
  mirroring?: Mirroring | undefined;
  recovery: Recovery | undefined;
}

/** What is known of a file on its way to becoming a store. */
interface Opening {
  path: string;
  snapshotPath: string;
  snapshot: SnapshotFile;
  options: CheckedOptions;
  /** What was found before the database was opened for writing. */
  found?: Recovery['found'];
  /** Where the files are that were moved or copied aside. */
  moved: string[];
  /** The database that was there at first. */
  watch: FileWatch;
}

/** Opens a store in a file, making, adopting, migrating or healing it first where that is due. */
export function openFile(path: string, options: CheckedOptions): Opened {
  const what = `open ${path}`;
  return attempt(what, () => {
    checkVersion();
    checkSync();
    const snapshotPath = snapshotPathFor(path, options);
    const watch = new FileWatch(existsAt(path) ? [path] : []);
    const opening: Opening = { path, snapshotPath, snapshot: readSnapshotFile(snapshotPath), options, moved: [], watch };
    try {
      lookFirst(opening);
      return connect(opening);
    } catch (error) {
      const mapped = toStoreError(error, what);
      if (!isDamage(mapped)) throw mapped;
      moveDamaged(opening, mapped);
      return connect({ ...opening, found: 'damaged', watch: new FileWatch([]) });
    }
  });
}

/** The plain file is read and renamed by itself: it must not be one of the database's own. */
export function snapshotPathFor(path: string, options: CheckedOptions): string {
  const snapshotPath = options.snapshotPath ?? snapshotPathOf(path);
  if (['', '-wal', '-shm', '-journal'].some((suffix) => snapshotPath === path + suffix)) {
    throw invalid('options.snapshotPath', snapshotPath, 'another file than the database');
  }
  return snapshotPath;
}

/** Node disables fsync with its permission model: nothing could be promised then, so nothing is begun. */
function checkSync(): void {
  if (process.permission) throw new StoreError('ERR_STORE_PERMISSION', "Node's permission model disables fsync, without which no write is durable: the store can only be read under it");
}

/** Refuses what is not to be opened before anything is written; then moves aside what SQLite would delete. */
function lookFirst(opening: Opening): void {
  const { path, snapshotPath, snapshot, options } = opening;
  const { file, uuid, loss } = inspect(path, snapshot, options.busyTimeoutMs);
  if (file.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is another program's file (${file.holds}); to take over a service's data use "shepherd-store import"`);
  if (file.kind === 'store') checkKnown(path, file.version);
  const { ledger } = options;
  if (ledger && ['', '-wal', '-shm', '-journal'].map((suffix) => path + suffix).concat(snapshotPath).includes(ledger.path)) throw invalid('options.ledger', ledger.path, 'another file than those of the store');
  const mirrored = ledger?.refresh();
  if (mirrored?.store !== undefined && uuid !== undefined && mirrored.store !== uuid && (mirrored.head || mirrored.torn)) throw new StoreError('ERR_STORE_CONFLICT', `${ledger!.path} is the ledger of another store (${mirrored.store}, not ${uuid})`);
  if (file.kind === 'empty' && (snapshot.state !== 'absent' || mirrored?.head)) {
    if (!options.recover) throw new StoreError('ERR_STORE_CORRUPT', `${path} is missing or empty, and ${snapshot.state === 'absent' ? ledger!.path : snapshotPath} says that there was a store`);
    opening.found = 'missing';
  } else if (snapshot.state === 'whole' && snapshot.content.store !== uuid && !options.recover) {
    throw notOurs(snapshotPath, snapshot.content.store, uuid ?? 'one that has no identity yet');
  }
  opening.moved.push(...moveOrphanWal(path, readClock(options)));
  if (opening.moved.length > 0) opening.found ??= 'orphan-wal';
  if (loss) opening.moved.push(...copyWalAside(path, loss, readClock(options)));
}

function notOurs(snapshotPath: string, theirs: string, ours: string): StoreError {
  return new StoreError('ERR_STORE_CONFLICT', `${snapshotPath} belongs to another store (${theirs}, not ${ours}): move it away, or open with recover to have it moved aside`);
}

function connect(opening: Opening): Opened {
  const { path, snapshotPath, options, watch } = opening;
  for (const file of [path, snapshotPath]) prepareFolder(dirname(file));
  createFile(path);
  const db = openToWrite(path, options);
  let connection: Connection | undefined;
  try {
    setPragmas(db);
    checkpointFound(db, path);
    prepareSchema(db, path, opening.found === 'missing' || opening.found === 'damaged' ? identityLeft(opening) : undefined, options);
    switchToWal(db, path, options);
    connection = new Connection(db, { clock: options.clock, path });
    // While this waited for a lock, a backup may have been restored: what was read is of the files that were moved aside.
    const replaced = watch.problem();
    if (replaced !== undefined) throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: ${replaced}`);
    return settle(connection, opening);
  } catch (error) {
    if (connection) connection.close();
    else db.close();
    throw error;
  }
}

/** Who a lost database was, as far as the files beside it know. */
function identityLeft({ snapshot, options }: Opening): { uuid: string; createdAt?: string } | undefined {
  const { store, created } = options.ledger?.refresh() ?? {};
  if (store !== undefined && created !== undefined) return { uuid: store, createdAt: created };
  return snapshot.state === 'whole' ? { uuid: snapshot.content.store } : undefined;
}

/** Makes, adopts or migrates the tables in one transaction, under the write lock; finds nothing to do in most cases. */
function prepareSchema(db: DatabaseSync, path: string, lost: { uuid: string; createdAt?: string } | undefined, options: CheckedOptions): void {
  const kind = identify(db);
  if (kind.kind === 'store' && kind.version === schemaVersion && lackingObjects(db).length === 0) return;
  const now = readClock(options);
  // NORMAL locking and a rollback journal: for a file that is not in WAL mode yet, nothing of it changes if a step fails.
  inTransaction(db, () => {
    const found = identify(db); // another process may have been faster
    if (found.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} has become another program's database (${found.holds})`);
    if (found.kind === 'empty') return createSchema(db, now, lost?.uuid, lost?.createdAt);
    const from = found.kind === 'store' ? found.version : 0;
    checkKnown(path, from);
    migrateSchema(db, from, schemaVersion, now, false);
    mendObjects(db);
  });
  // The mark, the version and the identity are looked for in the database file itself (lib/inspect.ts).
  checkpointFound(db, path);
}

/** With the connection there: finds out whether the database has lost something, and heals it. */
function settle(connection: Connection, opening: Opening): Opened {
  const { path, snapshotPath, snapshot, moved } = opening;
  const [uuid] = connection.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1') ?? [];
  if (uuid === undefined) throw new StoreError('ERR_STORE_CORRUPT', `${path} is marked as a store and has lost its identity`);
  const content = snapshot.state === 'whole' && snapshot.content.store === uuid ? snapshot.content : undefined;
  const pair = new SnapshotPair(connection, snapshotPath, uuid, content?.generation ?? 0);
  if (opening.options.recover) rehearse(connection, uuid, pair);
  let { found } = opening;
  const had = auditHeadOf(connection)?.id ?? 0;
  const mirroring = attachMirror(connection, uuid, opening.options);
  const replayed = mirroring?.replayed ?? 0;
  if (content) found ??= compareHead(connection, content);
  else if (snapshot.state !== 'absent' && moveForeign(opening, uuid, found !== undefined || !pair.storedRow()?.state)) found ??= 'other-file';
  const recovery = found && heal(connection, uuid, pair, { found, moved, replayed, lastId: had + replayed }, content);
  if (!recovery && snapshot.state !== 'damaged') pair.placeAgain(content?.generation ?? 0);
  removeTemporaries(connection, snapshotPath);
  pair.check();
  return { connection, uuid, pair, mirroring: mirroring?.mirroring, recovery };
}

/** The ledger before the file: what it has is the database's own. */
function attachMirror(connection: Connection, uuid: string, { ledger }: CheckedOptions): { mirroring: Mirroring; replayed: number } | undefined {
  const [hasLedger] = connection.get<[number]>('SELECT has_ledger FROM store_meta WHERE id = 1')!;
  if (!ledger && hasLedger === 1) throw new StoreError('ERR_STORE_CONFLICT', 'the store has a ledger and is not opened for writing without it; "shepherd-store detach-ledger" ends it');
  if (!ledger) return undefined;
  const mirroring = new Mirroring(connection, uuid, ledger);
  return { mirroring, replayed: mirroring.attach() };
}

/**
 * What to do with a snapshot file that is not this store's: another store's is refused, or moved aside; a damaged one is
 * moved aside by `recover` if nothing else has the state, and is a finding until the next save otherwise.
 */
function moveForeign({ snapshotPath, snapshot, options, moved }: Opening, uuid: string, isNeeded: boolean): boolean {
  if (snapshot.state === 'whole' && !options.recover) throw notOurs(snapshotPath, snapshot.content.store, uuid);
  if (!options.recover || (snapshot.state === 'damaged' && !isNeeded)) return false;
  moved.push(moveAside(snapshotPath, snapshot.state === 'whole' ? 'other-store' : 'damaged', readClock(options)));
  return true;
}

/** Whether an error says that the file is damaged, as opposed to whole and somebody else's. */
export function isDamage(error: unknown): error is StoreError {
  if (!(error instanceof StoreError)) return false;
  return error.code === 'ERR_STORE_CORRUPT' || (error.code === 'ERR_STORE_DATABASE' && isSchemaDamage(error.cause)) || (error.code === 'ERR_STORE_NOT_A_STORE' && error.cause !== undefined);
}

/** Moves a database that cannot be read aside, where `recover` asks for it and it is known to be ours. */
function moveDamaged({ path, snapshot, options, moved }: Opening, error: StoreError): void {
  const isOurs = snapshot.state === 'whole' || options.ledger?.refresh().head !== undefined || hasMark(path);
  if (!isOurs && !options.recover) throw error;
  if (!isOurs) throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} cannot be read as a database, and nothing says that it was a store: it stays where it is`, { cause: error });
  if (!options.recover) throw new StoreError('ERR_STORE_CORRUPT', `${error.message}: restore a backup, or open with recover to go on with what is left`, { cause: error });
  // The -wal last: if this is cut short, the rest is an orphan -wal beside a missing database, and handled as one.
  for (const suffix of ['', '-journal', '-shm', '-wal']) {
    if (lstatSync(path + suffix, { throwIfNoEntry: false })) moved.push(moveAside(path + suffix, 'damaged', readClock(options)));
  }
}

/** Makes an empty store with the identity of one that was lost, in a file that must not be there yet. */
export function makeStore(path: string, identity: { uuid: string; createdAt: string }, now: Date): void {
  checkVersion();
  createFile(path);
  using db = openHandle(path, { psow: '0' }, {});
  setPragmas(db);
  inTransaction(db, () => createSchema(db, now, identity.uuid, identity.createdAt));
}

/** Opens a store that lives and dies with the process. */
export function openMemory(options: CheckedOptions): Opened {
  checkVersion();
  const db = new DatabaseSync(':memory:', { defensive: true });
  harden(db);
  setPragmas(db);
  inTransaction(db, () => createSchema(db, readClock(options)));
  const connection = new Connection(db, { clock: options.clock });
  return describeStore(connection, undefined);
}

export function describeStore(connection: Connection, snapshotPath: string | undefined): Opened {
  const [uuid] = connection.read('read the identity', () => connection.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1')) ?? [];
  if (uuid === undefined) throw new StoreError('ERR_STORE_CORRUPT', 'the database is marked as a store and has lost its identity');
  return { connection, uuid, pair: new SnapshotPair(connection, snapshotPath, uuid, 0), recovery: undefined };
}
