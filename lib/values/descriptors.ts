// The descriptors that this process has open, as the kernel lists them: those of every thread and of every copy of this
// package, whatever name the file was opened by.
import {
  type BigIntStats, closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, statSync,
} from 'node:fs';
import { couldNotBegin } from './errors.ts';

// Linux has the first folder, and the second is a link to it; macOS has only the second. Windows has neither, and no
// POSIX locks that could be lost.
const folders = ['/proc/self/fd', '/dev/fd'];

type Identity = Pick<BigIntStats, 'dev' | 'ino'>;

/** Lists the descriptors of this process that lead to a file, except `own`. */
function descriptorsOf({ dev, ino }: Identity, own?: number): number[] {
  const found: number[] = [];
  for (const fd of listDescriptors()) {
    if (fd === own) continue;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (stat.ino === ino && stat.dev === dev) found.push(fd);
    } catch {
      // it was closed after the listing, like the descriptor that read the folder
    }
  }
  return found;
}

/** Throws when no descriptor is left to read the folder with: the open files are unknown then, and not none. */
function listDescriptors(): number[] {
  for (const folder of folders) {
    try {
      return readdirSync(folder).map(Number);
    } catch (error) {
      if (couldNotBegin(error)) throw error;
    }
  }
  return [];
}

/** Whether this process has the file at a path open. */
export function isOpenHere(path: string): boolean {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat !== undefined && descriptorsOf(stat).length > 0;
}

/** Whether this process has the file at a path open for writing; false if the system does not tell how it is open. */
export function isWritableHere(path: string): boolean {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat !== undefined && descriptorsOf(stat).some(isWritable);
}

function isWritable(fd: number): boolean {
  try {
    const [, flags] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
    return flags !== undefined && (Number.parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR)) !== 0;
  } catch {
    return false;
  }
}

/** Descriptors that must stay open because closing them now would drop locks that SQLite holds in this process. */
const kept: number[] = [];

// O_NOFOLLOW does not follow a planted link. O_NONBLOCK keeps a planted pipe from hanging the service.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads bytes of a database. `read` must read by positions only, because the descriptor may be SQLite's own. Closing
 * any descriptor of a file drops all POSIX locks that the process has on the file, SQLite's in other threads included
 * (https://www.sqlite.org/howtocorrupt.html, 2.2), and the next process to open the database then removes its -wal. So
 * an open descriptor is used and not closed. If there is none, the file is opened; if another thread opens it
 * meanwhile, this descriptor stays open as long as that thread's, as SQLite itself does. Throws the system's errors.
 */
export function readDatabaseBytes<T>(path: string, read: (fd: number) => T): T {
  for (const fd of kept.splice(0)) closeWhenAlone(fd);
  const stat = statSync(path, { bigint: true });
  for (const fd of descriptorsOf(stat)) {
    try {
      const result = read(fd);
      // Else another thread has closed it, and its number belongs to another file.
      if (descriptorsOf(stat).includes(fd)) return result;
    } catch (error) {
      // EBADF means that the descriptor is write-only or was closed meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'EBADF') throw error;
    }
  }
  const fd = openSync(path, readFlags);
  try {
    return read(fd);
  } finally {
    closeWhenAlone(fd);
  }
}

/**
 * Reads bytes of a -wal or a rollback journal. Its descriptor can be closed at once, because SQLite locks only the
 * database and its -shm.
 */
export function readJournalBytes<T>(path: string, read: (fd: number) => T): T {
  const fd = openSync(path, readFlags);
  try {
    return read(fd);
  } finally {
    closeSync(fd);
  }
}

/** Closes a descriptor that `fs` opened: at once, or later if this process has the file open a second time. */
export function closeWhenAlone(fd: number): void {
  if (isAlone(fd)) closeSync(fd);
  else kept.push(fd);
}

/** Answers false if the open files cannot be listed, so that the descriptor stays open. */
function isAlone(fd: number): boolean {
  try {
    return descriptorsOf(fstatSync(fd, { bigint: true }), fd).length === 0;
  } catch (error) {
    if (couldNotBegin(error)) return false;
    throw error;
  }
}

/** A descriptor of this process that leads to a file, and the name that the system gives that file. */
export interface OpenName {
  /** The link to the open file in /proc. */
  link: string;
  name: string;
}

/** Finds how this process has a file open; `undefined` if it has not, or if the system does not tell names. */
export function openNameOf(path: string): OpenName | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  for (const fd of stat ? descriptorsOf(stat) : []) {
    const name = nameOf(fd);
    if (name !== undefined) return { link: linkOf(fd), name };
  }
  return undefined;
}

/** The name that the system gives an open file: its current path, followed by " (deleted)" once it was removed. */
function nameOf(fd: number): string | undefined {
  try {
    return readlinkSync(linkOf(fd));
  } catch {
    return undefined;
  }
}

export function linkOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Finds the descriptor whose open file the system calls `name`; `undefined` if there is none. */
export function findName(name: string): number | undefined {
  return listDescriptors().find((fd) => nameOf(fd) === name);
}
