// The thorough open, for whatever the plain one (lib/core/open.ts) does not take: look, decide, settle.
import { statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Connection } from '../core/connection.ts';
import { checkSync, checkVersion, readValue, schemaMarkSql, setPragmas, switchToWal } from '../core/handle.ts';
import { reportMachine } from '../core/machine.ts';
import type { Attached, LedgerPort } from '../core/mirror-port.ts';
import { assemble, type Opened, openPlain } from '../core/open.ts';
import { type CheckedOptions, snapshotPathFor } from '../core/options.ts';
import { identify, schemaVersion } from '../core/schema.ts';
import { originOf, type ReadContent, readSnapshotFile } from '../core/snapshot-file.ts';
import { compareHead, isOutdated } from '../core/snapshot-findings.ts';
import { readSql } from '../core/sql-files.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { FileWatch } from '../core/watch.ts';
import { OnlyReadable, tellNewer } from '../reading/newer.ts';
import { openToRead } from '../reading/open.ts';
import { TemporaryCopyError } from '../reading/reader.ts';
import {
  identityLeft, isDamage, moveDamaged, type Opening, requireTurn, setAsideSnapshotFile, TurnNeeded,
} from '../recovery/damaged.ts';
import { checkpointFound, isOpenElsewhere, openToWrite } from '../recovery/found-wal.ts';
import { heal, isTold, type Recovery, withLedger } from '../recovery/heal.ts';
import { FileLock, lockPathOf, takeTurn } from '../recovery/lock.ts';
import { reportNames } from '../recovery/names.ts';
import { hasNote, removeNote } from '../recovery/note.ts';
import { rehearse } from '../recovery/rehearse.ts';
import { readClock } from '../values/checks.ts';
import { isOpenHere } from '../values/descriptors.ts';
import { attempt, codeOf, hasCode, StoreError, toStoreError } from '../values/errors.ts';
import { createFile, freeName } from '../values/files.ts';
import { prepareFolder } from '../values/folders.ts';
import { companionsOf, existsAt, isExchangeOpen, settleExchange } from '../values/place.ts';
import { writeAlone } from './alone.ts';
import { lookFirst } from './look.ts';
import { type Prepared, prepareSchema } from './prepare-schema.ts';

/** A store that was opened for writing. */
export interface OpenedToWrite extends Opened {
  recovery: Recovery | undefined;
}

/**
 * Opens a store in a file, making, adopting, migrating or healing it first where that is due. One whose schema is newer
 * and may not be written to by this code is opened to read it, and refuses writes.
 */
export function openFile(path: string, options: CheckedOptions): OpenedToWrite {
  return attempt(`open ${path}`, () => {
    checkVersion();
    checkSync();
    readSql('schema.sql'); // before an empty file is made, that nothing could fill
    const isLeft = isExchangeOpen(path) || hasNote(path) || existsAt(lockPathOf(path));
    const opened = isLeft ? undefined : openPlain(path, options);
    if (!opened) return openThoroughlyOrRead(path, options);
    reportNames(opened.connection.faults, path);
    reportMachine(opened.connection);
    return { ...opened, recovery: undefined };
  });
}

function openThoroughlyOrRead(path: string, options: CheckedOptions): OpenedToWrite {
  try {
    return openThoroughly(path, options);
  } catch (error) {
    if (!(error instanceof OnlyReadable)) throw error;
    return { ...openToRead(path, options, schemaVersion, error.refusal), recovery: undefined };
  }
}

function openThoroughly(path: string, options: CheckedOptions): OpenedToWrite {
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
}

/** Looks at everything anew, and opens what is there. */
function openOnce(path: string, options: CheckedOptions, hasTurn: boolean): OpenedToWrite {
  const snapshotPath = snapshotPathFor(path, options);
  if (isExchangeOpen(path)) {
    if (!hasTurn) throw new TurnNeeded();
    settleExchange(path, freeName(path, 'replaced', readClock(options)));
  }
  const watch = new FileWatch(existsAt(path) ? [path] : []);
  // Read before the database is: a save is in the database before its file is in place.
  const snapshot = readSnapshotFile(snapshotPath);
  const opening: Opening = {
    path, snapshotPath, snapshot, options, hasTurn, moved: [], isNoted: false, isNew: false, watch,
  };
  try {
    lookFirst(opening);
    return finishOpen(opening);
  } catch (error) {
    // What was seen was partly of one file and partly of another.
    if (!hasTurn && opening.watch.problem() !== undefined) throw new TurnNeeded();
    const mapped = toStoreError(error, `open ${path}`);
    if (!isDamage(mapped)) throw mapped;
    moveDamaged(opening, mapped);
    return finishOpen({ ...opening, isNew: true, watch: new FileWatch([]) });
  }
}

function finishOpen(opening: Opening): OpenedToWrite {
  const { path, snapshotPath, snapshot, options } = opening;
  for (const file of [path, snapshotPath]) prepareFolder(dirname(file));
  if (opening.isNew) {
    const { ledger } = options;
    createFile(path, [...opening.moved, ...companionsOf(path), snapshotPath, ...(ledger ? [ledger.path] : [])]);
    opening.watch = new FileWatch([path]);
  }
  // While this waits for a lock, the database may be exchanged; what was read is then of the files that were moved
  // aside.
  const check = (): void => opening.watch.check(`open ${path}`);
  let db: DatabaseSync | undefined;
  let connection: Connection | undefined;
  let ledger: LedgerPort | undefined;
  let prepared: Prepared | undefined;
  try {
    db = openToWrite(path, options, check); // which secures the -wal where nobody else has the database open
    const isBesideService = options.isGuest === true && isOpenElsewhere(path);
    setPragmas(db);
    check();
    if (!isBesideService) checkpointFound(db, path);
    const lost = opening.found === undefined ? undefined : identityLeft(opening);
    prepared = prepareSchema(db, path, lost, options);
    const { mark, newer } = prepared;
    switchToWal(db, path, options.busyTimeoutMs);
    connection = new Connection(db, { clock: options.clock, path, isGuest: options.isGuest });
    const opened = assemble(connection, db, snapshotPath, snapshot);
    tellNewer(connection, newer);
    check();
    if (opened.watch.schema.mark !== mark) checkVersionStays(db, path, newer?.version ?? schemaVersion);
    if (options.recover) rehearse(opened);
    ledger = ledgerOf(opened, options);
    return settle(opened, ledger, opening);
  } catch (error) {
    const isMigrated = prepared !== undefined && hasOtherMark(db!, prepared.mark);
    ledger?.close();
    if (connection) connection.close();
    else db?.close();
    if (error instanceof TurnNeeded) throw error;
    check(); // an error about a file that was exchanged meanwhile gives way to saying so
    if (isMigrated) throw migratedElsewhere(path, error);
    const isReadOnlyHere = codeOf(error) === 'ERR_STORE_READ_ONLY' && isOpenHere(`${path}-shm`);
    throw isReadOnlyHere ? readElsewhere(path, error) : error;
  }
}

/** Another process may have made or migrated the schema between the look at it and the connection that watches it. */
function checkVersionStays(db: DatabaseSync, path: string, version: number): void {
  const kind = identify(db);
  if (kind.kind === 'store' && kind.version === version) return;
  throw migratedElsewhere(path);
}

/** Whether the schema was changed since it was prepared: what is missing then was taken away, and is no damage. */
function hasOtherMark(db: DatabaseSync, mark: unknown): boolean {
  try {
    return readValue(db, schemaMarkSql) !== mark;
  } catch {
    return false; // it is damaged
  }
}

function migratedElsewhere(path: string, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_BUSY', `failed to open ${path}: another process migrates it`, { cause });
}

/** All handles of a process share one -shm, as the first handle opened it. */
function readElsewhere(path: string, cause: unknown): StoreError {
  const who = 'another thread of this process, or another copy of this package';
  const message = `failed to open ${path}: ${who}, has it open read-only; close that first`;
  return new StoreError('ERR_STORE_BUSY', message, { cause });
}

/** What keeps the ledger equal to the log, where there is a ledger. */
function ledgerOf(opened: Opened, { ledger, recover }: CheckedOptions): LedgerPort | undefined {
  if (ledger) return ledger.forStore(opened, recover);
  if (!opened.log.hasLedger()) return undefined;
  const why = 'the store has a ledger and is not opened for writing without it; "shepherd-store detach-ledger" ends it';
  throw new StoreError('ERR_STORE_CONFLICT', why);
}

/** Finds out whether the database has lost something, and heals it: from the ledger first, whose events are exact. */
function settle(opened: Opened, ledger: LedgerPort | undefined, opening: Opening): OpenedToWrite {
  const { connection, log, pair, limits } = opened;
  const { path, snapshot, moved } = opening;
  const content = snapshot.state === 'whole' && log.owns(originOf(snapshot.content)) ? snapshot.content : undefined;
  const had = log.head()?.id ?? 0;
  const { replayed, ...ofLedger } = ledger ? attach(opened, ledger, opening) : noLedger;
  const what = 'take in what an older version has passed over';
  if (limits.isBehind()) connection.write('open', what, () => limits.takeIn());
  const found = findLoss(opened, opening, content);
  const taken = content && isOutdated(connection, content) ? undefined : content;
  const healed = found && heal(opened, { found, moved, replayed, lastId: had + replayed }, taken);
  if (opening.isNoted) removeNote(path);
  if (!healed && snapshot.state !== 'damaged') pair.placeAgain();
  pair.removeTemporaries();
  if (!opening.hasTurn) FileLock.removeLeft(lockPathOf(path));
  pair.check();
  reportNames(connection.faults, path);
  reportMachine(connection);
  return { ...opened, recovery: withLedger(healed, ofLedger) };
}

const noLedger: Attached = { replayed: 0, written: 0, setAside: [] };

function attach(opened: Opened, ledger: LedgerPort, opening: Opening): Attached {
  if (!ledger.isFirst) return ledger.attach();
  requireTurn(opening); // of several that begin it, each would keep the others out for as long as they wait for it
  const what = `attach the ledger ${opening.options.ledger!.path}`;
  return writeAlone(opened.connection, what, undefined, () => ledger.attach()); // others without it may write no more
}

/** What the database has lost, and what was found before it could be asked. */
function findLoss(
  opened: Opened, opening: Opening, content: ReadContent | undefined,
): Recovery['found'] | undefined {
  const { snapshot, moved, isNoted } = opening;
  if (opening.found && isNoted && isTold(opened, moved)) return undefined;
  const loss = content && compareHead(opened.connection, content);
  if (loss) requireTurn(opening);
  if (snapshot.state !== 'absent' && !content) {
    setAsideSnapshotFile(opening, opening.found !== undefined || !opened.pair.row()?.state);
  }
  return opening.found ?? loss;
}

// What SQLite makes beside a database before the first write, and what a new store takes with its first log.
const indexBytes = 32_768;
const newStoreBytes = 512 * 1024;

/** Adds to the error of a full disk what needs room at open, and how much. */
function nameRoom(path: string, error: unknown, recovers: boolean): unknown {
  const mapped = toStoreError(error, `open ${path}`);
  if (!hasCode(mapped, 'ERR_STORE_DISK_FULL') || mapped instanceof TemporaryCopyError) return error;
  const { code, message, cause } = mapped as StoreError;
  const folder = dirname(path);
  if (!existsAt(folder)) return error; // there was no room even for the folder
  const { bavail, bsize } = statfsSync(folder);
  const isMade = recovers || !statSync(path, { throwIfNoEntry: false })?.size;
  const needs = isMade ? 'a new database with its journal and log' : 'the index of the -wal';
  const bytes = isMade ? indexBytes + newStoreBytes : indexBytes;
  const room = `${needs} needs about ${bytes} bytes in ${folder}, which has ${bavail * bsize}`;
  return new StoreError(code, `${message}: ${room}`, { cause: cause ?? mapped });
}
