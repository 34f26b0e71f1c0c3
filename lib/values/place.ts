// How a finished file gets its name: never in the place of another, and where it is to take that place, without losing
// that one.
import { closeSync, constants, linkSync, lstatSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { closeWhenAlone } from './descriptors.ts';
import { StoreError } from './errors.ts';
import { syncFolder } from './folders.ts';
import { type FileLike, makeLike, setMode } from './owner.ts';
import { pathBeside } from './stem.ts';

/** What SQLite keeps beside a database, and plays into whatever stands under the database's name. */
const companions = ['-wal', '-shm', '-journal'];

/** What SQLite keeps beside a database, whether it is there or not. */
export function companionsOf(path: string): string[] {
  return companions.map((suffix) => path + suffix);
}

/**
 * Throws `ERR_STORE_CONFLICT` where a name is not free for a new file: something stands there or at one of the names in
 * `beside`, which the new file would be read with, or it is a name that SQLite reads with a database that is there.
 * `what` is to be done.
 */
export function checkFree(what: string, path: string, beside: string[] = []): void {
  for (const file of [path, ...beside]) if (isThere(file)) throw conflict(what, file);
  const suffix = companions.find((each) => path.endsWith(each));
  const database = suffix && path.slice(0, -suffix.length);
  if (!database || !isThere(database)) return;
  const message = `failed to ${what}: ${path} is a name that belongs to the database ${database}`;
  throw new StoreError('ERR_STORE_CONFLICT', message);
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function conflict(what: string, path: string): StoreError {
  const why = `${path} is there already, and is not overwritten; move it away first`;
  return new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
}

// FAT and exFAT give the first, network and FUSE file systems one of the others; EMLINK where a file may have one name
// only.
const linkless = new Set<unknown>(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Whether an error says that there are no hard links here. It may have another reason too, which the next call then
 * names.
 */
export function lacksLinks(error: unknown): boolean {
  return linkless.has((error as NodeJS.ErrnoException).code);
}

/**
 * Gives a finished file its name; throws the system's `EEXIST` where anything stands there, which a rename would
 * replace. Without hard links the name is taken first, by an empty file that the finished one then replaces: a crash
 * between the two leaves that empty file, which nothing takes for a store, a ledger or a key, and nothing overwrites.
 * Durable with the folder's fsync.
 */
export function giveName(temporary: string, target: string): void {
  try {
    linkSync(temporary, target);
  } catch (error) {
    if (!lacksLinks(error)) throw error;
    replaceEmpty(temporary, target);
    return;
  }
  rmSync(temporary, { force: true }); // whoever opens the target meanwhile removes its second name
}

/**
 * `giveName` for an empty file. Without hard links another one takes the name and stays: somebody may use it by then.
 * That is durable with the folder's fsync too.
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
  // Another thread may have locked the file already, and would lose that lock by a plain close.
  closeWhenAlone(openPrivate(path, like));
}

/** A new empty file, open, private or like another; throws the system's `EEXIST` where anything stands there. */
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
 * Gives a finished file its name, durable on return. Throws `ERR_STORE_CONFLICT` where somebody made a file there
 * meanwhile. `what` is done by it.
 */
export function placeNew(what: string, temporary: string, target: string): void {
  try {
    giveName(temporary, target);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? conflict(what, target) : error;
  }
  syncFolder(dirname(target));
}

/** The name under which a file stands while another one takes its place, where there are no hard links. */
export function parkedName(target: string): string {
  return pathBeside(target, '-exchanged');
}

/** Whether an exchange without hard links is under way at a path, or was cut short there. */
export function isExchangeOpen(target: string): boolean {
  return isThere(parkedName(target));
}

/**
 * Ends an exchange that was cut short, by whoever may exchange the file: undone where the new file is not in place yet,
 * and done where it is; the old one is named `aside` then.
 */
export function settleExchange(target: string, aside: string): void {
  renameSync(parkedName(target), isThere(target) ? aside : target);
  syncFolder(dirname(target));
}
