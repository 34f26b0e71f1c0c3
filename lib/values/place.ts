// Gives a finished file its name: it replaces no other file or, where it has to replace one, does not lose that one.
import { closeSync, constants, linkSync, lstatSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { closeWhenAlone } from './descriptors.ts';
import { StoreError } from './errors.ts';
import { syncFolder } from './folders.ts';
import { type FileLike, makeLike, setMode } from './owner.ts';
import { pathBeside } from './stem.ts';

/**
 * The paths of the files that SQLite may keep beside a database, whether they exist or not. It replays them into any
 * file that has the database's name.
 */
export function companionsOf(path: string): string[] {
  return [`${path}-wal`, `${path}-shm`, `${path}-journal`];
}

/**
 * Throws `ERR_STORE_CONFLICT` if a path is not free for a new file: it exists, or a path in `beside` exists, which
 * would be read with the new file, or SQLite would read the new file with an existing database. `what` names the
 * operation.
 */
export function checkFree(what: string, path: string, beside: string[] = []): void {
  for (const file of [path, ...beside]) if (existsAt(file)) throw conflict(what, file);
  const suffix = companionsOf('').find((each) => path.endsWith(each));
  const database = suffix && path.slice(0, -suffix.length);
  if (!database || !existsAt(database)) return;
  const message = `failed to ${what}: ${path} is a name that belongs to the database ${database}`;
  throw new StoreError('ERR_STORE_CONFLICT', message);
}

/** Whether there is anything at a path, a dangling link included. */
export function existsAt(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function conflict(what: string, path: string): StoreError {
  const why = `${path} is there already, and is not overwritten; move it away first`;
  return new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
}

// FAT and exFAT give EPERM, network and FUSE file systems one of the next three; EMLINK means one name per file.
const linkless = new Set<unknown>(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Whether an error can mean that hard links are not supported. If it meant something else, the next call fails too. */
export function lacksLinks(error: unknown): boolean {
  return linkless.has((error as NodeJS.ErrnoException).code);
}

/**
 * Gives a finished file its name, durable with the folder's fsync. Throws the system's `EEXIST` if the name is taken; a
 * rename would replace that file. Without hard links, an empty file takes the name first and the finished file replaces
 * it. A crash in between leaves the empty file, which nothing takes for a store, a ledger or a key, and nothing
 * overwrites.
 */
export function giveName(temporary: string, target: string): void {
  try {
    linkSync(temporary, target);
  } catch (error) {
    if (!lacksLinks(error)) throw error;
    replaceEmpty(temporary, target);
    return;
  }
  rmSync(temporary, { force: true }); // a process that opens the target meanwhile removes this second name itself
}

/**
 * `giveName` for an empty file, durable with the folder's fsync too. Without hard links, a second empty file takes the
 * name and keeps it, because another process may use it at once.
 */
export function nameEmpty(temporary: string, target: string, like: FileLike): void {
  try {
    linkSync(temporary, target);
  } catch (error) {
    if (!lacksLinks(error)) throw error;
    takeName(target, like);
  }
}

function takeName(path: string, like?: FileLike): void {
  // Another thread may have locked the file already, and a plain close would drop that lock.
  closeWhenAlone(openPrivate(path, like));
}

/** Creates and opens an empty file, private or like another. Throws the system's `EEXIST` if the name is taken. */
export function openPrivate(path: string, like?: FileLike): number {
  const fd = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW, 0o600);
  try {
    if (like) makeLike(fd, like);
    else setMode(fd, 0o600);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(path);
    throw error;
  }
}

function replaceEmpty(temporary: string, target: string): void {
  takeName(target);
  try {
    renameSync(temporary, target);
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
}

/**
 * Gives a finished file its name, durable on return. Throws `ERR_STORE_CONFLICT` if the name was taken meanwhile.
 * `what` names the operation in that error.
 */
export function placeNew(what: string, temporary: string, target: string): void {
  try {
    giveName(temporary, target);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? conflict(what, target) : error;
  }
  syncFolder(dirname(target));
}

/** The name that an old file has while a new file takes its place on a file system without hard links. */
export function parkedName(target: string): string {
  return pathBeside(target, '-exchanged');
}

/** Whether an exchange without hard links is running at a path, or was interrupted there. */
export function isExchangeOpen(target: string): boolean {
  return existsAt(parkedName(target));
}

/**
 * Ends an interrupted exchange; the caller must be the process that may exchange the file now. If the new file is not
 * in place yet, the old one gets its name back. If it is, the old one is renamed to `aside`.
 */
export function settleExchange(target: string, aside: string): void {
  renameSync(parkedName(target), existsAt(target) ? aside : target);
  syncFolder(dirname(target));
}
