// Paths, folders and modes: what is done to the files of a store from outside of SQLite.
import { randomUUID } from 'node:crypto';
import { chmodSync, closeSync, constants, fstatSync, fsyncSync, lstatSync, mkdirSync, mkdtempSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, parse } from 'node:path';
import type { Connection } from './connection.ts';
import { readJournalBytes } from './descriptors.ts';
import { hasCode, toStoreError } from './errors.ts';
import type { FileLike } from './mirror-port.ts';
import { give, likeFor, makeLike, setMode } from './owner.ts';
import { absolutePath } from './paths.ts';
import { nameEmpty, openPrivate } from './place.ts';
import { discardSnapshotFile, isTemporaryOf, syncFolder } from './snapshot-file.ts';
import { asideStem, pathBeside, temporaryStem } from './stem.ts';
import { checkText, invalid } from './values.ts';

/** The absolute path that an argument names. A `file:` URL or `:memory:` would mean something else to SQLite. */
export function checkPath(path: unknown, name = 'path'): string {
  const text = checkText(name, path);
  if (text === ':memory:' || text.startsWith('file:')) throw invalid(name, path, 'the path of a file (for a store in memory there is inMemory())');
  return absolutePath(text);
}

/** The plain file that belongs to a database. */
export function snapshotPathOf(path: string): string {
  const { dir, name, ext } = parse(path);
  return pathBeside(join(dir, ext === '.db' ? name : name + ext), '.snapshot.json');
}

/** Makes a folder and those above it, private from the start, and whose the one above is; one that is there stays as it is. */
export function prepareFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })) return;
  prepareFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
    chmodSync(folder, 0o700); // an umask such as 0277 would have taken the owner's own bits
    if (process.geteuid?.() === 0) giveFolder(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // another process was faster
  }
  syncFolder(dirname(folder)); // a name is durable once the folder that holds it is
}

/** Makes a private folder for files that are needed for a moment, and gives its path. */
export function makeTemporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  chmodSync(folder, 0o700); // an umask such as 0177 takes the owner's own bits: nothing can be made in it then
  return folder;
}

function giveFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { uid, gid } = likeFor(folder);
    give(fd, uid, gid);
  } finally {
    closeSync(fd);
  }
}

/**
 * SQLite deletes a -wal that it finds beside an absent or empty database; somebody may still want what is in it. The -wal
 * is looked at first: while another process makes the database, there is none before the database has its first page.
 */
export function isOrphanWal(path: string): boolean {
  if (!hasWal(path)) return false;
  const database = lstatSync(path, { throwIfNoEntry: false });
  return !database || database.size === 0;
}

/** Whether there is a -wal that has something. */
export function hasWal(path: string): boolean {
  const wal = lstatSync(`${path}-wal`, { throwIfNoEntry: false });
  return wal !== undefined && wal.isFile() && wal.size > 0;
}

/** Renames a file to a name that says when and why, and gives that name. Nothing is ever overwritten. */
export function moveAside(path: string, why: string, now: Date): string {
  const target = freeName(path, why, now);
  renameTo(path, target);
  return target;
}

/** Renames a file; its new name is durable on return. */
export function renameTo(path: string, target: string): void {
  renameSync(path, target);
  syncFolder(dirname(path));
}

/**
 * Puts a copy of the -wal in its place. After a failed fsync and a restart the page cache can show frames that are not on the
 * disk, and no fsync writes them any more: once the database has them, a power cut that brings back the older frames alone
 * would lay old pages over new ones. Only while nobody else has the database open.
 */
export function renewWal(path: string): void {
  const copy = `${path}-wal.new`;
  rmSync(copy, { force: true }); // what a power cut left of one
  try {
    copyWal(`${path}-wal`, copy);
    renameSync(copy, `${path}-wal`);
  } catch (error) {
    rmSync(copy, { force: true });
    // A service must start on a full disk; without the copy only that power cut is not covered.
    if (hasCode(toStoreError(error, ''), 'ERR_STORE_DISK_FULL')) return;
    throw error;
  }
  syncFolder(dirname(path));
}

/** A durable copy of a -wal. Read and written, not cloned: a clone shares what is on the disk, and not what the page cache shows. */
export function copyWal(path: string, target: string): void {
  readJournalBytes(path, (from) => copyBytes(from, target, (to) => {
    makeLike(to, fstatSync(from)); // SQLite gives a -wal what its database has
    return () => fsyncSync(to);
  }));
  syncFolder(dirname(target));
}

/** Copies all of an open file to a new private one. `prepare` runs before, and what it gives after the bytes are written. */
export function copyBytes(from: number, target: string, prepare?: (to: number) => () => void): void {
  const to = openSync(target, 'wx', 0o600);
  try {
    setMode(to, 0o600);
    const finish = prepare?.(to);
    const chunk = Buffer.alloc(1024 * 1024);
    for (let at = 0; ;) {
      const read = readSync(from, chunk, 0, chunk.length, at);
      if (read === 0) break;
      writeFileSync(to, chunk.subarray(0, read));
      at += read;
    }
    finish?.();
  } finally {
    closeSync(to);
  }
}

/** A free name beside a file that says when and why it was moved there. */
export function freeName(path: string, why: string, now: Date): string {
  const name = `${join(dirname(path), asideStem(path))}.${why}-${now.toISOString().replaceAll(':', '-')}`;
  for (let count = 0; ; count++) {
    const target = count === 0 ? name : `${name}-${count}`;
    if (!lstatSync(target, { throwIfNoEntry: false })) return target;
  }
}

/**
 * Makes an empty private file where there is none; SQLite would make it with the umask's mode. It gets its name when it is
 * complete and closed: another thread may have locked a file that has one, and closing it would drop that lock. `store` are the
 * files of the store that it belongs to, which it is to be like.
 */
export function createFile(path: string, store: readonly string[] = []): void {
  while (!existsAt(path)) {
    const temporary = temporaryName(path);
    const like = likeFor(path, store);
    createPrivate(temporary, like);
    try {
      nameEmpty(temporary, path, like);
    } catch (error) {
      // Another process was faster, or has removed this one's temporary file because it was.
      if (!['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
    if (existsAt(path)) removeLeft(path);
  }
}

/** Makes an empty file under a name that must be free: private, but for those to whom the file is open that it is to be like. */
export function createPrivate(path: string, like?: FileLike): void {
  closeSync(openPrivate(path, like));
}

/**
 * What killed processes left behind. Under the write lock no temporary file is on its way to a COMMIT; whoever is on the
 * way from there to its place looks whether it still has one, and writes it again if not (lib/snapshot.ts).
 */
export function removeTemporaries(connection: Connection, snapshotPath: string): void {
  const folder = dirname(snapshotPath);
  const names = readdirSync(folder).filter((name) => isTemporaryOf(snapshotPath, name));
  if (names.length === 0) return;
  connection.locked(() => {
    for (const name of names) {
      if (lstatSync(join(folder, name), { throwIfNoEntry: false })?.isFile()) discardSnapshotFile(join(folder, name));
    }
  });
}

/**
 * A name for a file that is to become `target`, after what killed processes left under such names was removed. Only for who
 * alone may make the target now, by a lock; where there is none, a `TemporaryFile` tells what is dead (lib/temporary.ts).
 */
export function temporaryBeside(target: string): string {
  removeLeft(target);
  return temporaryName(target);
}

function temporaryName(target: string): string {
  // Unpredictable, so that nobody can plant a file under it.
  return join(dirname(target), `${temporaryStem(target)}${randomUUID()}.tmp`);
}

function removeLeft(target: string): void {
  const folder = dirname(target);
  const stem = temporaryStem(target);
  for (const name of readdirSync(folder)) {
    if (name.startsWith(stem) && /^[0-9a-f-]{36}\.tmp$/.test(name.slice(stem.length))) rmSync(join(folder, name), { force: true });
  }
}

/** Whether anything stands at a path, a dangling link included. */
export function existsAt(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
