// Online backup and restore. Both make a copy under a temporary name, check it, and only then give it its place.
import { lstatSync, rmSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { isSameStore } from '../../core/identity.ts';
import type { Opened } from '../../core/open.ts';
import { type CheckedOptions, checkOpenOptions, type OpenOptions, snapshotPathFor } from '../../core/options.ts';
import { readSnapshotFile } from '../../core/snapshot-file.ts';
import { compareHead } from '../../core/snapshot-findings.ts';
import type { DatabaseSync } from '../../core/sqlite.ts';
import { anchorOf, recordUpkeep, unrecorded } from '../../core/upkeep.ts';
import { FileWatch } from '../../core/watch.ts';
import { lockOut } from '../../opening/alone.ts';
import { newerSchema } from '../../reading/newer.ts';
import { openToRead } from '../../reading/open.ts';
import { isDamage } from '../../recovery/damaged.ts';
import { copyWal, hasWal, openToWrite } from '../../recovery/found-wal.ts';
import type { Recovery } from '../../recovery/heal.ts';
import { hasMark, inspect } from '../../recovery/inspect.ts';
import { takeTurn } from '../../recovery/lock.ts';
import { hasSecondName, refuseMounted, removeOwnNames } from '../../recovery/names.ts';
import { readNote, removeNote } from '../../recovery/note.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { invalid, readClock } from '../../values/checks.ts';
import { isWritableHere } from '../../values/descriptors.ts';
import { StoreError, toStoreError } from '../../values/errors.ts';
import { createPrivate, freeName, moveAside, renameTo } from '../../values/files.ts';
import { prepareFolder } from '../../values/folders.ts';
import { checkLong, type LongOperation } from '../../values/long.ts';
import { likeFor } from '../../values/owner.ts';
import { checkPath, snapshotPathOf } from '../../values/paths.ts';
import { checkFree, companionsOf, existsAt, isExchangeOpen, placeNew, settleExchange } from '../../values/place.ts';
import { type Copy, copyPages, makeCopy, openSource, type Task } from './copy.ts';
import { exchange } from './exchange.ts';
import { sharedWith, takeOutboxes } from './parted.ts';

/** A backup that was made. */
export interface Backup {
  /** Its database: one file, which is a store itself. */
  path: string;
  bytes: number;
  /** The last row of its log: an anchor, to be kept elsewhere. It is absent for an empty log. */
  head?: Anchor;
  /** The snapshot file beside it (`x.db` → `x.snapshot.json`); absent where no state was saved. */
  snapshotPath?: string;
}

/** How to back up. */
export interface BackupOptions extends LongOperation {
  /** Whether the store records the backup, once that is durable, as the event `store_backed_up`. */
  record?: boolean | undefined;
}

/** How to restore: the same options as the store is opened with. */
export interface RestoreOptions extends LongOperation, Pick<OpenOptions, 'clock' | 'busyTimeoutMs' | 'snapshotPath'> {}

/** What was restored. */
export interface Restored {
  path: string;
  /** The last row of the restored log. */
  head?: Anchor;
  snapshotPath?: string;
  /** What stood at the path before; `other-store` is a store of another identity, or without an identity. */
  replaced: 'nothing' | 'same-store' | 'other-store' | 'damaged';
  /**
   * The last row that both logs have (0: none that both still have), where both have gone on differently behind it,
   * as two copies of one image do, or a store after an earlier restore. Absent where one of the two only goes on from
   * the other.
   */
  partedAfter?: number;
  /**
   * The outboxes whose places have rows of the replaced log that the backup lacks; absent where there are none. What
   * the restored store writes is another continuation to these places: `renewIdentity` makes it another store to them.
   */
  rewound?: string[];
  /** The paths to which the files were moved that stood there before. */
  moved: string[];
}

/**
 * Copies a store, as it is at one moment, to a new file `destination`, while any process goes on writing to the store.
 * A snapshot file, written from the copy, goes beside the copy. The copy has been checked (every page, the whole chain)
 * and is durable under its name when the promise resolves; until then nothing stands under either name, and what an
 * error, an abort or a kill leaves has a temporary name. Files are private from their first byte (0600); a file that
 * root makes belongs to the owner of the store, or else of the folder. The folder is made where there is none (0700).
 * Without hard links (FAT, exFAT) an empty file has the name for a moment before the copy has it. The ledger of a store
 * is not copied.
 *
 * The pages are copied by a connection and in a thread of their own, so that neither the event loop nor another writer
 * waits; meanwhile the WAL of the store is not emptied. `onProgress` counts every page twice: copied, and checked.
 *
 * With `record`, a store that may not be written to is refused before anything is made. The copy does not have the
 * event `store_backed_up`, which follows it. Where the event cannot be written the promise rejects, and says that the
 * backup was made.
 *
 * Rejects with `ERR_STORE_CONFLICT` where something stands at `destination` or beside it, `ERR_STORE_CORRUPT` where the
 * copy does not pass its checks, `ERR_STORE_IO` where the store's file was replaced, `ERR_STORE_DISK_FULL`,
 * `ERR_STORE_PERMISSION`, `ERR_STORE_BUSY`, `ERR_STORE_CLOSED`, and with `signal.reason` when aborted.
 */
export async function backup(
  store: SqliteStore, destination: string, options?: BackupOptions,
): Promise<Backup> {
  const connection = connect(store);
  const target = checkPath(destination, 'destination');
  const { record = false, ...long } = checkLong(options, ['record']);
  if (typeof record !== 'boolean') throw invalid('options.record', record, 'true or false');
  const snapshotPath = snapshotPathOf(target);
  return run(`back up to ${target}`, long, async () => {
    // Refuses a closed store, and one in which the backup cannot be recorded, before anything is made.
    if (record) connection.write('backup', 'back up the store', () => {});
    else connection.read('back up the store', () => {});
    checkFree('back up', target, [...companionsOf(target), snapshotPath]);
    prepareFolder(dirname(target));
    // The copy is private whatever the store's mode is, because it may lie where more people come by.
    const like = { ...likeFor(target, connection.path === undefined ? [] : [connection.path]), mode: 0o600 };
    const checked = checkOpenOptions({ clock: () => connection.now() });
    const task: Task = { target, snapshotPath, like, options: checked, long };
    using copy = await copyOf(connection, task);
    if (copy.uuid !== connection.uuid) {
      const why = "it was replaced by another store's file while it was open";
      throw new StoreError('ERR_STORE_IO', `failed to back up ${connection.path}: ${why}`);
    }
    placeNew('back up', copy.temporary, target);
    if (copy.snapshot !== undefined) placeBeside(copy.snapshot, snapshotPath, target);
    const made = { path: target, bytes: copy.bytes, ...resultOf(copy, snapshotPath) };
    if (record) recordBackup(connection, made);
    return made;
  });
}

function recordBackup(connection: ModuleConnection, { path, bytes, head }: Backup): void {
  try {
    recordUpkeep(connection, { type: 'store_backed_up', file: resolve(path), bytes, ...anchorOf(head) });
  } catch (error) {
    throw unrecorded(`the backup ${path} was made`, error);
  }
}

/**
 * Puts a backup in the place of the store at `path`, which no process may have open. First the backup is copied and the
 * copy checked (its identity, every page, the whole chain, and that a snapshot file beside the backup belongs to it); a
 * backup that does not pass changes nothing. It may have an older schema, which opening the store migrates. Then what
 * stands at `path` is moved aside under names that say `replaced` and when, and the copy, with a snapshot file written
 * from it, takes its place. All of that is durable when the promise resolves. The backup itself stays as it is.
 * `snapshotPath`, `busyTimeoutMs` and `clock` are those that the store is opened with.
 *
 * The ledger is not touched, and is ahead of the restored store, which gets the newer events back from it when it is
 * opened with the ledger. To go back in time for good, move the ledger aside first.
 *
 * Rejects with `ERR_STORE_BUSY` while this or another process has the store open for writing, `ERR_STORE_NOT_FOUND`
 * where there is no backup, `ERR_STORE_NOT_A_STORE` where either file belongs to something else,
 * `ERR_STORE_SCHEMA_TOO_NEW`, `ERR_STORE_CORRUPT` for a damaged backup, `ERR_STORE_CONFLICT` where the snapshot file
 * beside it is another store's, and with `signal.reason` when aborted: nothing has changed then.
 */
export async function restore(backup: string, path: string, options?: RestoreOptions): Promise<Restored> {
  const from = checkPath(backup, 'backup');
  const target = checkPath(path);
  const { signal, onProgress, ...rest } = checkLong(options, ['clock', 'busyTimeoutMs', 'snapshotPath']);
  const checked = checkOpenOptions(rest);
  const snapshotPath = snapshotPathFor(target, checked);
  const long = { signal, onProgress };
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

/** Runs `fn` and adds the context to its errors. After an abort it rejects with the reason, whatever `fn` threw. */
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
  if (!isWritableHere(target)) return;
  const why = 'this process has the store open; close it first';
  throw new StoreError('ERR_STORE_BUSY', `failed to restore to ${target}: ${why}`);
}

/**
 * Refuses a backup that could only be read in its new place, and one whose snapshot file is damaged, newer or another
 * store's: one of the two is not the right file.
 */
function checkBackup({ connection, log: { uuid } }: Opened, target: string): void {
  const path = connection.path!; // the file itself where the given path is a link
  const newer = connection.read('look at its schema', () => newerSchema(connection.reader!.db, path));
  if (newer && newer.access !== 'write') throw newer.refusal;
  const [own, theirs] = [statSync(path, { bigint: true }), statSync(target, { bigint: true, throwIfNoEntry: false })];
  if (own.dev === theirs?.dev && own.ino === theirs.ino) throw invalid('path', target, 'another file than the backup');
  const snapshotPath = snapshotPathOf(path);
  const snapshot = readSnapshotFile(snapshotPath);
  const hint = 'move it away to restore the database alone';
  if (snapshot.state === 'damaged') {
    throw new StoreError('ERR_STORE_CORRUPT', `${snapshotPath}: ${snapshot.reason}; ${hint}`);
  }
  if (snapshot.state === 'absent') return;
  const { content } = snapshot;
  if (content.store !== uuid) {
    const why = `belongs to another store (${content.store}, not ${uuid})`;
    throw new StoreError('ERR_STORE_CONFLICT', `${snapshotPath} ${why}; ${hint}`);
  }
  if (!connection.read('compare the snapshot file', () => compareHead(connection, content))) return;
  throw new StoreError('ERR_STORE_CORRUPT', `${path} lacks what ${snapshotPath} was written with; ${hint}`);
}

// Copying ------------------------------------------------------------------------------------------------------------

async function copyOf(connection: ModuleConnection, task: Task): Promise<Copy> {
  const { path } = connection;
  if (path === undefined) {
    // No other connection sees a database in memory, and VACUUM fails inside a transaction of this one. In a later turn
    // of the event loop no transaction is open.
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

/** Places the snapshot file after the database, because a snapshot file alone would say that a store was lost. */
function placeBeside(snapshot: string, snapshotPath: string, target: string): void {
  try {
    placeNew('back up', snapshot, snapshotPath);
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
}

/**
 * Exchanges what stands at the target for the copy. After a crash between any two steps the next open finds one of
 * these:
 *
 * - the old store, whole. Its -wal has been checkpointed into the database and can go, which it must, because SQLite
 *   would play it into the new database. Its snapshot file is moved aside first, and the open writes that file again.
 * - the new store, whole: one rename gives it the old store's name. The open writes its snapshot file.
 * - a damaged or missing store, where there was no whole one. Its snapshot file goes last, so that the open refuses or
 *   recovers the store as before.
 *
 * An exclusive lock on the old database keeps every other process out until both files are in place; a process that
 * waits for the lock then finds that it has the wrong file (lib/opening/open.ts).
 */
function swap(copy: Copy, target: string, snapshotPath: string, options: CheckedOptions): Restored {
  const now = readClock(options);
  if (isExchangeOpen(target)) settleExchange(target, freeName(target, 'replaced', now));
  if (hasSecondName(target)) removeOwnNames(target);
  const watch = new FileWatch(existsAt(target) ? [target] : []);
  const { replaced, loss } = lookAt(target, snapshotPath, copy, options);
  const note = readNote(target); // the note of a recovery that was cut short, which this restore ends
  const moved: string[] = note?.moved ?? [];
  if (loss && hasWal(target)) {
    const aside = freeName(`${target}-wal`, loss, now);
    copyWal(`${target}-wal`, aside);
    moved.push(aside);
  }
  const setAside = (file: string): void => {
    if (existsAt(file)) moved.push(moveAside(file, 'replaced', now));
  };
  // The handle is closed at the end, when its file has been renamed: SQLite then leaves every file as it is. Where
  // there is no database no handle is opened, because SQLite would delete the -wal of a lost database.
  const check = (): void => watch.check(`restore to ${target}`); // a file that is locked may be another by now
  using handle = replaced === 'nothing' ? undefined : openToWrite(target, options, check, true);
  if (handle) lockTarget(handle, target, replaced);
  check();
  const compared = handle && replaced === 'same-store' ? compareLogs(handle, copy.temporary) : undefined;
  const isSound = replaced === 'same-store' || replaced === 'other-store';
  if (isSound) setAside(snapshotPath);
  for (const suffix of ['-journal', '-shm', '-wal']) {
    const stat = lstatSync(target + suffix, { throwIfNoEntry: false });
    // An empty -wal has no commit in it, and the -shm is only an index of the -wal.
    if (stat?.size === 0 || (stat && isSound && suffix === '-shm')) rmSync(target + suffix);
    else setAside(target + suffix);
  }
  if (existsAt(target)) {
    const aside = freeName(target, 'replaced', now);
    exchange(copy.temporary, target, aside);
    moved.push(aside);
  } else placeNew('restore', copy.temporary, target);
  if (!isSound) setAside(snapshotPath);
  if (copy.snapshot !== undefined) renameTo(copy.snapshot, snapshotPath);
  if (note) removeNote(target);
  return { path: target, ...resultOf(copy, snapshotPath), replaced, ...compared, moved };
}

/** What the store that is replaced has that the copy has not. */
function compareLogs(handle: DatabaseSync, copy: string): Pick<Restored, 'partedAfter' | 'rewound'> {
  const shared = ifReadable(() => sharedWith(handle, copy));
  const rewound = ifReadable(() => takeOutboxes(handle, copy, shared?.row)) ?? [];
  return {
    ...(shared?.isParted ? { partedAfter: shared.row?.id ?? 0 } : undefined),
    ...(rewound.length > 0 ? { rewound } : undefined),
  };
}

/** `undefined` where what is replaced is damaged, as it may be without anybody having seen it. */
function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isDamage(toStoreError(error, 'read what is replaced'))) return undefined;
    throw error;
  }
}

interface Found {
  replaced: Restored['replaced'];
  loss?: Recovery['found'] | undefined;
}

/** Says what stands at the target. Throws for a file that may not be a store, so that it stays where it is. */
function lookAt(target: string, snapshotPath: string, copy: Copy, { busyTimeoutMs }: CheckedOptions): Found {
  const snapshot = readSnapshotFile(snapshotPath);
  try {
    const { file, origin, loss } = inspect(target, snapshot, busyTimeoutMs);
    if (file.kind === 'other') {
      const what = `another program's file (${file.holds})`;
      throw new StoreError('ERR_STORE_NOT_A_STORE', `${target} is ${what}: move it away first`);
    }
    if (file.kind === 'empty') return { replaced: 'nothing' };
    const own = { store: copy.uuid, renewed: copy.renewed, lastId: copy.head?.id ?? 0 };
    return { replaced: origin && isSameStore(origin, own) ? 'same-store' : 'other-store', loss };
  } catch (error) {
    const mapped = toStoreError(error, `restore to ${target}`);
    if (!isDamage(mapped)) throw mapped;
    if (snapshot.state === 'whole' || hasMark(target)) return { replaced: 'damaged' };
    const why = 'cannot be read as a database, and nothing says that it was a store';
    throw new StoreError('ERR_STORE_NOT_A_STORE', `${target} ${why}: move it away first`, { cause: error });
  }
}

/**
 * Locks the old database. A damaged one cannot be locked, but the attempt still tells whether somebody has it open,
 * which SQLite finds out before it reads the first page.
 */
function lockTarget(handle: DatabaseSync, target: string, replaced: Restored['replaced']): void {
  try {
    lockOut(handle, target, `restore to ${target}`);
  } catch (error) {
    const mapped = toStoreError(error, `restore to ${target}`);
    if (replaced !== 'damaged' || !isDamage(mapped)) throw mapped;
  }
}
