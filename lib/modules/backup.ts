// Online backup and restore. Both make a copy under a temporary name, check it, and only then give it its place.
import { lstatSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { lockOut } from '../alone.ts';
import { checkLong } from '../audit.ts';
import type { Anchor, LongOperation } from '../audit.ts';
import { copyPages, makeCopy, openSource } from '../copy.ts';
import type { Copy, Task } from '../copy.ts';
import { isWritableHere } from '../descriptors.ts';
import { hasCode, StoreError, toStoreError } from '../errors.ts';
import type { EventBase } from '../events.ts';
import { checkPath, copyWal, createPrivate, existsAt, freeName, hasWal, moveAside, prepareFolder, snapshotPathOf } from '../files.ts';
import { hasMark, inspect } from '../inspect.ts';
import { openToWrite } from '../handle.ts';
import { hasSecondName, refuseMounted, removeOwnNames } from '../names.ts';
import { isDamage, snapshotPathFor, takeTurn } from '../open.ts';
import { openToRead } from '../open-read.ts';
import type { Opened } from '../open.ts';
import { checkOpenOptions, readClock } from '../options.ts';
import type { CheckedOptions, OpenOptions } from '../options.ts';
import { compareHead } from '../recovery.ts';
import type { Recovery } from '../recovery.ts';
import { readNote, removeNote } from '../recovery-note.ts';
import { likeFor } from '../owner.ts';
import { checkFree, companionsOf, exchange, isExchangeOpen, placeNew, settleExchange } from '../place.ts';
import { placeSnapshotFile, readSnapshotFile } from '../snapshot-file.ts';
import { connect } from '../store.ts';
import type { ModuleConnection, SqliteStore } from '../store.ts';
import { invalid } from '../values.ts';
import { FileWatch } from '../watch.ts';

/** A backup that was made. */
export interface Backup {
  /** Its database: one file, which is a store itself. */
  path: string;
  bytes: number;
  /** The last row of its log: an anchor, to be kept elsewhere. Absent for an empty log. */
  head?: Anchor;
  /** The plain file of the snapshot pair beside it (`x.db` → `x.snapshot.json`); absent where no state was saved. */
  snapshotPath?: string;
}

/** How to restore: the options that the store is opened with. */
export interface RestoreOptions extends LongOperation, Pick<OpenOptions, 'clock' | 'busyTimeoutMs' | 'snapshotPath'> {}

/** What was restored. */
export interface Restored {
  path: string;
  /** The last row of the restored log. */
  head?: Anchor;
  snapshotPath?: string;
  /** What stood there; `other-store`: one of another identity, or without any. */
  replaced: 'nothing' | 'same-store' | 'other-store' | 'damaged';
  /** Where the files are now that stood there. */
  moved: string[];
}

/**
 * Copies a store, as it is at one moment, to a new file `destination`, while any process goes on writing to it; the plain
 * file of the snapshot pair goes beside it, written from the copy. The copy has been checked (every page, the whole chain)
 * and is durable under its name when the promise resolves; until then nothing stands under either name, and what an error,
 * an abort or a kill leaves has a temporary name. Files are private from their first byte (0600); what root makes is whose
 * the store beside it is, or else the folder. The folder is made where
 * there is none (0700). Without hard links (FAT, exFAT) an empty file has the name for a moment before the copy has. A store with a ledger is copied without it.
 *
 * The pages are copied by a connection and in a thread of their own, so that neither the event loop nor another writer
 * waits; meanwhile the WAL of the store is not emptied. `onProgress` counts every page twice: copied, and checked.
 *
 * Rejects with `ERR_STORE_CONFLICT` where something stands at `destination` or beside it, `ERR_STORE_CORRUPT` where the copy
 * does not pass its checks, `ERR_STORE_IO` where the store's file was replaced, `ERR_STORE_DISK_FULL`, `ERR_STORE_PERMISSION`,
 * `ERR_STORE_BUSY`, `ERR_STORE_CLOSED`, and with `signal.reason` when aborted.
 */
export async function backup<E extends EventBase>(store: SqliteStore<E>, destination: string, options?: LongOperation): Promise<Backup> {
  const connection = connect(store);
  const target = checkPath(destination, 'destination');
  const long = checkLong(options);
  const snapshotPath = snapshotPathOf(target);
  return run(`back up to ${target}`, long, async () => {
    connection.read('back up the store', () => {});
    checkFree('back up', target, [...companionsOf(target), snapshotPath]);
    prepareFolder(dirname(target));
    // Private whatever the store's mode is: a copy may lie where more people come by.
    const like = { ...likeFor(target, connection.path === undefined ? [] : [connection.path]), mode: 0o600 };
    const task: Task = { target, snapshotPath, like, options: checkOpenOptions({ clock: () => connection.now() }), long };
    using copy = await copyOf(connection, task);
    if (copy.uuid !== connection.uuid) throw new StoreError('ERR_STORE_IO', `failed to back up ${connection.path}: it was replaced by another store's file while it was open`);
    placeNew('back up', copy.temporary, target);
    if (copy.snapshot !== undefined) placeBeside(copy.snapshot, snapshotPath, target);
    return { path: target, bytes: copy.bytes, ...resultOf(copy, snapshotPath) };
  });
}

/**
 * Puts a backup in the place of the store at `path`, which no process may have open. The backup is copied and the copy
 * checked first (its identity, every page, the whole chain, and that a snapshot file beside the backup belongs to it); a
 * backup that does not pass changes nothing. It may have an older schema: opening the store migrates it. Then what stands
 * at `path` is kept aside under names that say `replaced` and when, and the copy, with a snapshot file written from it,
 * takes its place; durable when the promise resolves. The backup itself stays as it is. `snapshotPath`, `busyTimeoutMs` and
 * `clock` are those that the store is opened with.
 *
 * A ledger is not touched, and is then ahead: a store opened with it gets the newer events back. To go back in time for
 * good, move it aside first.
 *
 * Rejects with `ERR_STORE_BUSY` while this or another process has the store open for writing, `ERR_STORE_NOT_FOUND` where
 * there is no backup, `ERR_STORE_NOT_A_STORE` where either file belongs to something else, `ERR_STORE_SCHEMA_TOO_NEW`,
 * `ERR_STORE_CORRUPT` for a damaged backup, `ERR_STORE_CONFLICT` where the file beside it is another store's, and with
 * `signal.reason` when aborted: nothing has changed then.
 */
export async function restore(backup: string, path: string, options?: RestoreOptions): Promise<Restored> {
  const from = checkPath(backup, 'backup');
  const target = checkPath(path);
  const { signal, onProgress, ...rest } = checkLong(options, ['clock', 'busyTimeoutMs', 'snapshotPath']);
  const checked = checkOpenOptions(rest);
  const snapshotPath = snapshotPathFor(target, checked);
  const long: LongOperation = { ...(signal ? { signal } : undefined), ...(onProgress ? { onProgress } : undefined) };
  return run(`restore ${from} to ${target}`, long, async () => {
    checkClosedHere(target);
    refuseMounted(target, 'restored');
    const opened = openToRead(from, { ...checked, snapshotPath: undefined }, 1);
    let copy: Copy;
    try {
      checkBackup(opened, target);
      for (const file of [target, snapshotPath]) prepareFolder(dirname(file));
      const like = likeFor(target, [target, snapshotPath]);
      const task: Task = { target, snapshotPath, like, options: checked, long };
      copy = await makeCopy(task, (temporary) => copyPages(opened.connection.reader!, temporary, task));
    } finally {
      opened.connection.close();
    }
    using made = copy;
    checkClosedHere(target);
    using _turn = takeTurn(target, checked);
    return swap(made, target, snapshotPath, checked);
  });
}

/** Errors with their context, and nothing but the reason once it was aborted. */
async function run<T>(what: string, { signal }: LongOperation, fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (error) {
    throw signal?.aborted ? signal.reason : toStoreError(error, what);
  }
}

function resultOf({ head, snapshot }: Copy, snapshotPath: string): { head?: Anchor; snapshotPath?: string } {
  return { ...(head ? { head } : undefined), ...(snapshot === undefined ? undefined : { snapshotPath }) };
}

function checkClosedHere(target: string): void {
  if (isWritableHere(target)) throw new StoreError('ERR_STORE_BUSY', `failed to restore to ${target}: this process has the store open; close it first`);
}

/** A damaged or foreign file beside the backup, or a newer one, says that the two are not what they are taken for. */
function checkBackup({ connection, uuid }: Opened, target: string): void {
  const path = connection.path!; // where a link leads to
  const [own, theirs] = [statSync(path, { bigint: true }), statSync(target, { bigint: true, throwIfNoEntry: false })];
  if (own.dev === theirs?.dev && own.ino === theirs.ino) throw invalid('path', target, 'another file than the backup');
  const snapshotPath = snapshotPathOf(path);
  const snapshot = readSnapshotFile(snapshotPath);
  const hint = 'move it away to restore the database alone';
  if (snapshot.state === 'damaged') throw new StoreError('ERR_STORE_CORRUPT', `${snapshotPath}: ${snapshot.reason}; ${hint}`);
  if (snapshot.state === 'absent') return;
  if (snapshot.content.store !== uuid) throw new StoreError('ERR_STORE_CONFLICT', `${snapshotPath} belongs to another store (${snapshot.content.store}, not ${uuid}); ${hint}`);
  if (connection.read('compare the snapshot file', () => compareHead(connection, snapshot.content))) throw new StoreError('ERR_STORE_CORRUPT', `${path} lacks what ${snapshotPath} was written with; ${hint}`);
}

// Copying ------------------------------------------------------------------------------------------------------------

async function copyOf(connection: ModuleConnection, task: Task): Promise<Copy> {
  const { path } = connection;
  if (path === undefined) {
    // No other connection sees a database in memory, and this one is blocked by any transaction of its own: none is open
    // in a later turn of the event loop.
    return makeCopy(task, async (temporary) => {
      await nextTurn();
      createPrivate(temporary, task.like);
      connection.read('back up the store', () => connection.prepare('VACUUM INTO ?').run(temporary));
    });
  }
  const source = connection.isReadOnly ? openToRead(path, task.options).connection.reader! : openSource(path);
  try {
    return await makeCopy(task, (temporary) => copyPages(source, temporary, task));
  } finally {
    source.close();
  }
}

// Placing ------------------------------------------------------------------------------------------------------------

/** The database first: a snapshot file alone would say that a store was lost. */
function placeBeside(snapshot: string, snapshotPath: string, target: string): void {
  try {
    placeNew('back up', snapshot, snapshotPath);
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
}

/**
 * Exchanges what stands at the target for the copy. Between any two steps the next open finds one of these:
 *
 * - the old store, whole. Its -wal has been brought into the database, so that the -wal can go: SQLite would play it into
 *   the new database. Its snapshot file is moved aside while it still stands there, and it writes that again.
 * - the new one, whole; the old one's name has been exchanged for it by one rename. It writes its snapshot file by itself.
 * - where the old one is missing or damaged: that, with its snapshot file, which goes last, so that it is refused or
 *   recovered as before.
 *
 * An exclusive lock on the old database keeps every other process out until both are in place; one that waits for it finds
 * then that it has the wrong file (lib/open.ts).
 */
function swap(copy: Copy, target: string, snapshotPath: string, options: CheckedOptions): Restored {
  const now = readClock(options);
  if (isExchangeOpen(target)) settleExchange(target, freeName(target, 'replaced', now));
  if (hasSecondName(target)) removeOwnNames(target);
  const watch = new FileWatch(existsAt(target) ? [target] : []);
  const { replaced, loss } = lookAt(target, snapshotPath, copy.uuid, options);
  const note = readNote(target); // of a recovery that was cut short, which this one ends
  const moved: string[] = note?.moved ?? [];
  if (loss && hasWal(target)) {
    const aside = freeName(`${target}-wal`, loss, now);
    copyWal(`${target}-wal`, aside);
    moved.push(aside);
  }
  const setAside = (file: string): void => {
    if (existsAt(file)) moved.push(moveAside(file, 'replaced', now));
  };
  // Closed at the end, when its file has been renamed: SQLite then leaves everything as it is. Nothing is opened where there
  // is no database: SQLite would delete the -wal of a lost one.
  using handle = replaced === 'nothing' ? undefined : openToWrite(target, options, () => checkSame(watch, target), true);
  if (handle) lockTarget(handle, target, replaced);
  checkSame(watch, target);
  const isSound = replaced === 'same-store' || replaced === 'other-store';
  if (isSound) setAside(snapshotPath);
  for (const suffix of ['-journal', '-shm', '-wal']) {
    const stat = lstatSync(target + suffix, { throwIfNoEntry: false });
    // An empty -wal has nothing, and the -shm is an index of it.
    if (stat?.size === 0 || (stat && isSound && suffix === '-shm')) rmSync(target + suffix);
    else setAside(target + suffix);
  }
  if (existsAt(target)) {
    const aside = freeName(target, 'replaced', now);
    exchange(copy.temporary, target, aside);
    moved.push(aside);
  } else placeNew('restore', copy.temporary, target);
  if (!isSound) setAside(snapshotPath);
  if (copy.snapshot !== undefined) placeSnapshotFile(copy.snapshot, snapshotPath);
  if (note) removeNote(target);
  return { path: target, ...resultOf(copy, snapshotPath), replaced, moved };
}

/** The file that was looked at must be the one that is locked. */
function checkSame(watch: FileWatch, target: string): void {
  const replaced = watch.problem();
  if (replaced !== undefined) throw new StoreError('ERR_STORE_BUSY', `failed to restore to ${target}: ${replaced}`);
}

/** What stands at the target. A file that nothing says was a store stays where it is. */
function lookAt(target: string, snapshotPath: string, uuid: string, { busyTimeoutMs }: CheckedOptions): { replaced: Restored['replaced']; loss?: Recovery['found'] | undefined } {
  const snapshot = readSnapshotFile(snapshotPath);
  try {
    const { file, uuid: theirs, loss } = inspect(target, snapshot, busyTimeoutMs);
    if (file.kind === 'other') throw new StoreError('ERR_STORE_NOT_A_STORE', `${target} is another program's file (${file.holds}): move it away first`);
    if (file.kind === 'empty') return { replaced: 'nothing' };
    return { replaced: theirs === uuid ? 'same-store' : 'other-store', loss };
  } catch (error) {
    const mapped = toStoreError(error, `restore to ${target}`);
    if (!isDamage(mapped) && !hasCode(mapped, 'ERR_STORE_MIGRATION')) throw mapped;
    if (snapshot.state !== 'whole' && !hasMark(target)) throw new StoreError('ERR_STORE_NOT_A_STORE', `${target} cannot be read as a database, and nothing says that it was a store: move it away first`, { cause: error });
    return { replaced: 'damaged' };
  }
}

/** One that is damaged is only asked whether somebody has it open, which SQLite finds out before it reads the first page. */
function lockTarget(handle: Parameters<typeof lockOut>[0], target: string, replaced: Restored['replaced']): void {
  try {
    lockOut(handle, target, `restore to ${target}`);
  } catch (error) {
    const mapped = toStoreError(error, `restore to ${target}`);
    if (replaced !== 'damaged' || !isDamage(mapped)) throw mapped;
  }
}
