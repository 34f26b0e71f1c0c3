// What this process has open, as the kernel tells it: whatever thread opened it, whatever copy of this package, by
// whatever name.
import {
  type BigIntStats, closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, statSync,
} from 'node:fs';
import { couldNotBegin } from './errors.ts';

// Linux has the first, and leads the second to it; macOS has the second alone. Windows has neither, and no POSIX locks
// to lose.
const folders = ['/proc/self/fd', '/dev/fd'];

type Identity = Pick<BigIntStats, 'dev' | 'ino'>;

/** The descriptors of this process that lead to a file, but for `own`. */
function descriptorsOf({ dev, ino }: Identity, own?: number): number[] {
  const found: number[] = [];
  for (const fd of listDescriptors()) {
    if (fd === own) continue;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (stat.ino === ino && stat.dev === dev) found.push(fd);
    } catch {
      // closed since it was listed, as the descriptor that listed them was
    }
  }
  return found;
}

function leadsTo(fd: number, file: Identity): boolean {
  return descriptorsOf(file).includes(fd);
}

/** Throws where that takes a descriptor and none is left: what is open then is unknown, and not nothing. */
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

/**
 * Whether this process has the file at a path open to write to it; false where the system does not tell how it is open.
 */
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

/** Descriptors that must stay open for now. */
const kept: number[] = [];

// O_NOFOLLOW: a planted link is not followed. O_NONBLOCK: a planted pipe does not hang the service.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads bytes of a database: by positions alone, because the descriptor may be SQLite's own. Closing any descriptor of
 * a file drops all POSIX locks that the process has on it (https://www.sqlite.org/howtocorrupt.html, 2.2), those of
 * SQLite in other threads too, and the next process to open the database takes its -wal away. So what is open already
 * is used, and nothing is closed. Where nothing is, the file is opened; if another thread has opened it meanwhile, the
 * descriptor stays open for as long as that one does, which is what SQLite does itself. Throws the system's errors.
 */
export function readDatabaseBytes<T>(path: string, read: (fd: number) => T): T {
  for (const fd of kept.splice(0)) closeWhenAlone(fd);
  const stat = statSync(path, { bigint: true });
  for (const fd of descriptorsOf(stat)) {
    try {
      const result = read(fd);
      if (leadsTo(fd, stat)) return result; // else another thread has closed it, and it is another file's by now
    } catch (error) {
      // EBADF: the descriptor cannot be read from, or is closed by now.
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
 * Reads the bytes of a -wal or a rollback journal: SQLite's locks are on the database and its -shm, and on neither of
 * these.
 */
export function readJournalBytes<T>(path: string, read: (fd: number) => T): T {
  const fd = openSync(path, readFlags);
  try {
    return read(fd);
  } finally {
    closeSync(fd);
  }
}

/** Closes a descriptor that `fs` opened, at once or when nothing else of this process has the file open any more. */
export function closeWhenAlone(fd: number): void {
  if (isAlone(fd)) closeSync(fd);
  else kept.push(fd);
}

/** One of which that is unknown is taken for one that is not. */
function isAlone(fd: number): boolean {
  try {
    return descriptorsOf(fstatSync(fd, { bigint: true }), fd).length === 0;
  } catch (error) {
    if (couldNotBegin(error)) return false;
    throw error;
  }
}

/** A descriptor of this process's that leads to the file at a path, and what the system calls that file. */
export interface OpenName {
  /** The link to the open file in /proc. */
  link: string;
  name: string;
}

/** How the file at a path is open here; `undefined` where it is not, or where the system does not tell names. */
export function openNameOf(path: string): OpenName | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  for (const fd of stat ? descriptorsOf(stat) : []) {
    const name = nameOf(fd);
    if (name !== undefined) return { link: linkOf(fd), name };
  }
  return undefined;
}

/**
 * What the system calls an open file: its path of this moment, with " (deleted)" behind it where it has none any more.
 */
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

/** The descriptor that leads to a file of this name; `undefined` where there is none. */
export function findName(name: string): number | undefined {
  return listDescriptors().find((fd) => nameOf(fd) === name);
}
