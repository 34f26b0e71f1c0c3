// Everything between a path and a sound connection that may write.
import { rmSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { attachFirst } from './alone.ts';
import { Connection } from './connection.ts';
import { isOpenHere } from './descriptors.ts';
import { attempt, hasCode, StoreError, toStoreError } from './errors.ts';
import { copyWal, createFile, existsAt, freeName, hasWal, isOrphanWal, prepareFolder, removeTemporaries, renameTo, snapshotPathOf } from './files.ts';
import { checkpointFound, checkVersion, inTransaction, lockDamaged, openToWrite, setPragmas, switchToWal } from './handle.ts';
import { hasMark, inspect } from './inspect.ts';
import { FileLock } from './lock.ts';
import { hasSecondName, refuseMounted, removeOwnNames, reportNames } from './names.ts';
import { readClock } from './options.ts';
import type { CheckedOptions } from './options.ts';
import { TemporaryCopyError } from './read-only.ts';
import type { MirrorEnd } from './mirror-port.ts';
import { Mirroring } from './mirroring.ts';
import type { Attached } from './mirroring.ts';
import { auditHeadOf } from './audit.ts';
import { compareHead, heal, isSchemaDamage, isTold, rehearse, withSetAside } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { companionsOf, isExchangeOpen, settleExchange } from './place.ts';
import { readNote, removeNote, writeNote } from './recovery-note.ts';
import { checkKnown, createSchema, identify, lackingObjects, mendObjects, migrateSchema, readPragma, schemaVersion } from './schema.ts';
import { SnapshotPair } from './snapshot.ts';
import { readSnapshotFile } from './snapshot-file.ts';
import type { SnapshotContent, SnapshotFile } from './snapshot-file.ts';
import { readSql } from './sql-files.ts';
import { DatabaseSync } from './sqlite.ts';
import { pathBeside } from './stem.ts';
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
 * Says that something is amiss, which only one process at a time may see to; it may also be the half of what another one is
 * doing. Not an Error: no layer on the way maps it.
 */
class TurnNeeded {}

/** Opens a store in a file, making, adopting, migrating or healing it first where that is due. */
export function openFile(path: string, options: CheckedOptions): Opened {
  return attempt(`open ${path}`, () => {
    checkVersion();
    checkSync();
    readSql('schema.sql'); // before an empty file is made, that nothing could fill
    try {
      return openOnce(path, options, false);
    } catch (error) {
      if (!(error instanceof TurnNeeded)) throw nameRoom(path, error, false);
    }
    try {
      prepareFolder(dirname(path)); // a ledger in another folder may be all that is left
      using _turn = takeTurn(path, options);
      return openOnce(path, options, true);
    } catch (error) {
      throw nameRoom(path, error, true);
    }
  });
}

/** Recovering and restoring one path take turns. Throws `ERR_STORE_BUSY` where somebody else's takes longer than the timeout. */
export function takeTurn(path: string, { busyTimeoutMs }: CheckedOptions): FileLock {
  return FileLock.acquire(lockPathOf(path), busyTimeoutMs, `recovers or restores ${path}`, [path]);
}

function lockPathOf(path: string): string {
  return pathBeside(path, '-lock');
}

/** Looks at everything anew, and opens what is there. */
function openOnce(path: string, options: CheckedOptions, hasTurn: boolean): Opened {
  const snapshotPath = snapshotPathFor(path, options);
  if (isExchangeOpen(path)) {
    if (!hasTurn) throw new TurnNeeded();
    settleExchange(path, freeName(path, 'replaced', readClock(options)));
  }
  const watch = new FileWatch(existsAt(path) ? [path] : []);
  // Read before the database is: a save is in the database before its file is in place.
  const snapshot = readSnapshotFile(snapshotPath);
  const opening: Opening = { path, snapshotPath, snapshot, options, hasTurn, moved: [], isNoted: false, isNew: false, watch };
  try {
    lookFirst(opening);
    return connect(opening);
  } catch (error) {
    // What was seen was partly of one file and partly of another.
    if (!hasTurn && opening.watch.problem() !== undefined) throw new TurnNeeded();
    const mapped = toStoreError(error, `open ${path}`);
    if (!isDamage(mapped)) throw mapped;
    moveDamaged(opening, mapped);
    return connect({ ...opening, isNew: true, watch: new FileWatch([]) });
  }
}

/** Throws `TurnNeeded` unless this process has its turn. A refusal makes no folder, not even to wait for others in it. */
function requireTurn({ path, options, hasTurn }: Opening): void {
  if (!hasTurn && (options.recover || existsAt(dirname(path)))) throw new TurnNeeded();
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
  readClock(options); // one that gives no time is refused before anything is made
  checkNames(opening);
  const { file, uuid, loss } = inspect(path, snapshot, options.busyTimeoutMs);
  if (file.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is another program's file (${file.holds}); to take over a service's data use "shepherd-store import"`);
  if (file.kind === 'store') checkKnown(path, file.version);
  opening.isNew = file.kind === 'empty';
  resume(opening);
  const mirrored = lookAtLedger(opening, uuid);
  if (file.kind === 'empty' && (snapshot.state !== 'absent' || mirrored?.head || opening.isNoted)) {
    requireTurn(opening);
    if (!options.recover) throw new StoreError('ERR_STORE_CORRUPT', `${path} is missing or empty, and ${snapshot.state !== 'absent' ? snapshotPath : mirrored?.head ? options.ledger!.path : 'a recovery that was cut short'} says that there was a store`);
    opening.found ??= 'missing';
  } else if (snapshot.state === 'whole' && snapshot.content.store !== uuid && !options.recover) {
    requireTurn(opening);
    throw notOurs(snapshotPath, snapshot.content.store, uuid ?? 'one that has no identity yet');
  }
  if (isOrphanWal(path)) setAside(opening, `${path}-wal`, 'orphan', 'orphan-wal');
  if (loss && hasWal(path)) setAside(opening, `${path}-wal`, loss, loss, copyWal);
}

/**
 * Every name of a file has a -wal of its own, and what is written by one is lost by the other. A name that this package's own
 * exchange of two files left when it was cut short goes away.
 */
function checkNames(opening: Opening): void {
  if (!hasSecondName(opening.path)) return;
  requireTurn(opening);
  removeOwnNames(opening.path);
}

/** Goes on with a recovery that was cut short: what it has found and moved is to be told. */
function resume(opening: Opening): void {
  const note = readNote(opening.path); // after the look at the database: a note is there before anything is moved
  if (!note) return;
  requireTurn(opening);
  opening.isNoted = true;
  if (note.moved.length === 0) return; // cut short before anything was moved: everything is found again
  opening.found = note.found;
  opening.moved.push(...note.moved);
}

/** What stands at the end of the ledger. It must be a file of its own and this store's. */
function lookAtLedger(opening: Opening, uuid: string | undefined): MirrorEnd | undefined {
  const { path, snapshotPath, options: { ledger } } = opening;
  if (!ledger) return undefined;
  const own = ['', '-wal', '-shm', '-journal'].map((suffix) => path + suffix).concat(snapshotPath);
  if (own.includes(ledger.path)) throw invalid('options.ledger', ledger.path, 'another file than those of the store');
  attempt(`open the ledger ${ledger.path} to append to it`, () => ledger.checkWritable()); // or the first event would stop the store
  const end = ledger.refresh();
  if (end.isSigned && ledger.publicKey === undefined && !ledger.unsigned) {
    throw new StoreError('ERR_STORE_CONFLICT', `the events of ${ledger.path} are signed: open it with its signingKey, or with unsigned: true`);
  }
  if (end.torn || (end.head?.id ?? 0) > end.groupEnd) requireTurn(opening);
  if (end.store !== undefined && uuid !== undefined && end.store !== uuid && (end.head || end.torn)) {
    requireTurn(opening);
    throw new StoreError('ERR_STORE_CONFLICT', `${ledger.path} is the ledger of another store (${end.store}, not ${uuid})`);
  }
  return end;
}

function notOurs(snapshotPath: string, theirs: string, ours: string): StoreError {
  return new StoreError('ERR_STORE_CONFLICT', `${snapshotPath} belongs to another store (${theirs}, not ${ours}): move it away, or open with recover to have it moved aside`);
}

/** Gives a file a name that says when and why, once it is noted: the event that tells of it comes later. */
function setAside(opening: Opening, file: string, why: string, found: Recovery['found'], place = renameTo): void {
  requireTurn(opening);
  refuseMounted(opening.path, 'recovered');
  const target = freeName(file, why, readClock(opening.options));
  opening.found ??= found;
  opening.moved.push(target);
  writeNote(opening.path, { found: opening.found, moved: opening.moved });
  opening.isNoted = true;
  place(file, target);
}

function connect(opening: Opening): Opened {
  const { path, snapshotPath, options } = opening;
  for (const file of [path, snapshotPath]) prepareFolder(dirname(file));
  if (opening.isNew) {
    const { ledger } = options;
    createFile(path, [...opening.moved, ...companionsOf(path), snapshotPath, ...(ledger ? [ledger.path] : [])]);
    opening.watch = new FileWatch([path]);
  }
  const check = (): void => checkSame(opening);
  let db: DatabaseSync | undefined;
  let connection: Connection | undefined;
  try {
    db = openToWrite(path, options, check);
    setPragmas(db);
    check();
    checkpointFound(db, path);
    const cookie = prepareSchema(db, path, opening.found === undefined ? undefined : identityLeft(opening), options);
    switchToWal(db, path, options);
    connection = new Connection(db, { clock: options.clock, path });
    check();
    if (connection.schema.cookie !== cookie) checkVersionStays(db, path);
    return settle(connection, opening);
  } catch (error) {
    connection?.mirroring?.close();
    if (connection) connection.close();
    else db?.close();
    if (error instanceof TurnNeeded) throw error;
    check(); // whatever it was, it was about a file that is not the store's any more
    throw hasCode(toStoreError(error, ''), 'ERR_STORE_READ_ONLY') && isOpenHere(`${path}-shm`) ? readElsewhere(path, error) : error;
  }
}

/** Between the look at the schema and the connection that watches it, another process has changed it: made it, or migrated it. */
function checkVersionStays(db: DatabaseSync, path: string): void {
  const kind = identify(db);
  if (kind.kind === 'store' && kind.version === schemaVersion) return;
  throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: another process migrates it`);
}

/** All handles of a process share one -shm, as the first one opened it. */
function readElsewhere(path: string, cause: unknown): StoreError {
  return new StoreError('ERR_STORE_BUSY', `failed to open ${path}: another thread of this process, or another copy of this package, has it open read-only; close that first`, { cause });
}

/** While this waited for a lock, the database may have been exchanged: what was read is of the files that were moved aside. */
function checkSame({ path, watch }: Opening): void {
  const replaced = watch.problem();
  if (replaced !== undefined) throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: ${replaced}`);
}

/** Who a lost database was, as far as the files beside it know. */
function identityLeft({ snapshot, options }: Opening): { uuid: string; createdAt?: string } | undefined {
  const { store, created } = options.ledger?.refresh() ?? {};
  if (store !== undefined && created !== undefined) return { uuid: store, createdAt: created };
  return snapshot.state === 'whole' ? { uuid: snapshot.content.store } : undefined;
}

/**
 * Makes, adopts or migrates the tables in one transaction, under the write lock; finds nothing to do in most cases. Gives
 * SQLite's cookie of the schema as it was found or made.
 */
function prepareSchema(db: DatabaseSync, path: string, lost: { uuid: string; createdAt?: string } | undefined, options: CheckedOptions): unknown {
  const cookie = readPragma(db, 'schema_version');
  const kind = identify(db);
  if (kind.kind === 'store' && kind.version === schemaVersion && lackingObjects(db).length === 0) return cookie;
  const now = readClock(options);
  // NORMAL locking and a rollback journal: for a file that is not in WAL mode yet, nothing of it changes if a step fails.
  const made = inTransaction(db, () => {
    const found = identify(db); // another process may have been faster
    if (found.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} has become another program's database (${found.holds})`);
    const from = found.kind === 'store' ? found.version : 0;
    checkKnown(path, from);
    if (found.kind === 'empty') createSchema(db, now, lost?.uuid, lost?.createdAt);
    else {
      migrateSchema(db, from, schemaVersion, now, false);
      mendObjects(db);
    }
    return readPragma(db, 'schema_version'); // before the COMMIT: another process may change it right after that
  });
  // The mark, the version and the identity are looked for in the database file itself (lib/inspect.ts).
  checkpointFound(db, path);
  return made;
}

/** With the connection there: finds out whether the database has lost something, and heals it. */
function settle(connection: Connection, opening: Opening): Opened {
  const { path, snapshotPath, snapshot, moved } = opening;
  const [uuid] = connection.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1') ?? [];
  if (uuid === undefined) throw new StoreError('ERR_STORE_CORRUPT', `${path} is marked as a store and has lost its identity`);
  const content = snapshot.state === 'whole' && snapshot.content.store === uuid ? snapshot.content : undefined;
  const pair = new SnapshotPair(connection, snapshotPath, uuid, content?.generation ?? 0);
  if (opening.options.recover) rehearse(connection, uuid, pair);
  const had = auditHeadOf(connection)?.id ?? 0;
  const mirroring = mirrorOf(connection, uuid, opening.options);
  const { replayed, ...aside } = mirroring ? attach(connection, mirroring, opening) : { replayed: 0, setAside: [] };
  const found = findLoss(connection, opening, content, pair);
  const healed = found && heal(connection, uuid, pair, { found, moved, replayed, lastId: had + replayed }, content);
  if (opening.isNoted) removeNote(path);
  if (!healed && snapshot.state !== 'damaged') pair.placeAgain(content?.generation ?? 0);
  removeTemporaries(connection, snapshotPath);
  if (!opening.hasTurn) FileLock.removeLeft(lockPathOf(path));
  pair.check();
  reportNames(connection.faults, path);
  return { connection, uuid, pair, mirroring, recovery: withSetAside(healed, aside) };
}

function attach(connection: Connection, mirroring: Mirroring, opening: Opening): Attached {
  if (!mirroring.isFirst) return mirroring.attach();
  requireTurn(opening); // of several that begin it, each would keep the others out for as long as they wait for it
  return attachFirst(connection, mirroring, opening.options.ledger!.path);
}

/** What the database has lost, and what was found before it could be asked. */
function findLoss(connection: Connection, opening: Opening, content: SnapshotContent | undefined, pair: SnapshotPair): Recovery['found'] | undefined {
  const { snapshot, moved, isNoted } = opening;
  if (opening.found && isNoted && isTold(connection, moved)) return undefined;
  const loss = content && compareHead(connection, content);
  if (loss) requireTurn(opening);
  if (snapshot.state !== 'absent' && !content) setAsideSnapshotFile(opening, opening.found !== undefined || !pair.storedRow()?.state);
  return opening.found ?? loss;
}

/** What is between the log and its ledger, where there is one: what that has is the database's own, and comes before the file. */
function mirrorOf(connection: Connection, uuid: string, { ledger, recover }: CheckedOptions): Mirroring | undefined {
  const [hasLedger] = connection.get<[number]>('SELECT has_ledger FROM store_meta WHERE id = 1')!;
  if (!ledger && hasLedger === 1) throw new StoreError('ERR_STORE_CONFLICT', 'the store has a ledger and is not opened for writing without it; "shepherd-store detach-ledger" ends it');
  return ledger && new Mirroring(connection, uuid, ledger, recover);
}

/**
 * What to do with a snapshot file that is not this store's: another store's is moved aside by `recover`, and was refused without;
 * a damaged one is moved aside by `recover` if nothing else has the state, and is a finding until the next save otherwise.
 */
function setAsideSnapshotFile(opening: Opening, isNeeded: boolean): void {
  const { snapshotPath, snapshot, options } = opening;
  if (!options.recover || (snapshot.state === 'damaged' && !isNeeded)) return;
  setAside(opening, snapshotPath, snapshot.state === 'whole' ? 'other-store' : 'damaged', 'other-file');
}

/** Whether an error says that the file is damaged, as opposed to whole and somebody else's. */
export function isDamage(error: unknown): error is StoreError {
  if (!(error instanceof StoreError)) return false;
  return error.code === 'ERR_STORE_CORRUPT' || (error.code === 'ERR_STORE_DATABASE' && isSchemaDamage(error.cause)) || (error.code === 'ERR_STORE_NOT_A_STORE' && error.cause !== undefined);
}

/** Moves a database that cannot be read aside, where `recover` asks for it and it is known to be ours. */
function moveDamaged(opening: Opening, error: StoreError): void {
  requireTurn(opening);
  const { path, snapshot, options } = opening;
  const isOurs = snapshot.state === 'whole' || options.ledger?.refresh().head !== undefined || hasMark(path);
  if (!isOurs && !options.recover) throw error;
  if (!isOurs) throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} cannot be read as a database, and nothing says that it was a store: it stays where it is`, { cause: error });
  if (!options.recover) throw new StoreError('ERR_STORE_CORRUPT', `${error.message}: restore a backup, or open with recover to go on with what is left`, { cause: error });
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

// What SQLite makes beside a database before the first write, and what a new store takes with its first log.
const indexBytes = 32_768;
const newStoreBytes = 512 * 1024;

/** Of a full disk at open: what needs room there, and how much. */
function nameRoom(path: string, error: unknown, recovers: boolean): unknown {
  const mapped = toStoreError(error, `open ${path}`);
  if (!(mapped instanceof StoreError) || mapped.code !== 'ERR_STORE_DISK_FULL' || mapped instanceof TemporaryCopyError) return error;
  const folder = dirname(path);
  const { bavail, bsize } = statfsSync(folder);
  const isMade = recovers || !existsAt(path) || statSync(path).size === 0;
  const needs = isMade ? 'a new database with its journal and log' : 'the index of the -wal';
  const bytes = isMade ? indexBytes + newStoreBytes : indexBytes;
  return new StoreError(mapped.code, `${mapped.message}: ${needs} needs about ${bytes} bytes in ${folder}, which has ${bavail * bsize}`, { cause: mapped.cause ?? mapped });
}
