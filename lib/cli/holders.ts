// Which processes have a file open, as the kernel tells it: the file itself is not touched.
import { constants, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';

/** A process that has a file open. */
export interface Holder {
  pid: number;
  /** The program's name, where this user may know it. */
  program?: string;
  /** Whether it may write; absent where this user may not know it. */
  writes?: boolean;
}

/** Who has a file open. */
export interface Holders {
  /** Whether a process has it open for writing; `null` where that cannot be told. */
  isOpenForWriting: boolean | null;
  processes: Holder[];
}

/**
 * Who else has the file at a path open. The descriptors of this user's processes say it, and for root those of all; a process of
 * somebody else's is known by its lock alone, which SQLite holds for as long as it has a store open, and the kernel does not
 * say what it may do. Nothing is known where there is no /proc.
 */
export function holdersOf(path: string): Holders {
  const file = statSync(path, { bigint: true, throwIfNoEntry: false });
  const [pids, locking] = [quiet(() => readdirSync('/proc')), quiet(() => readFileSync('/proc/locks', 'utf8'))];
  if (!file || !pids) return { isOpenForWriting: null, processes: [] };
  const processes: Holder[] = [];
  let isHidden = false;
  for (const pid of pids.filter((name) => /^\d+$/.test(name)).map(Number)) {
    const descriptors = descriptorsOf(pid);
    isHidden ||= descriptors === undefined;
    const own = (descriptors ?? []).filter((fd) => leadsTo(pid, fd, file));
    const writes = own.some((fd) => isWritable(pid, fd));
    // That this process looks at the file is no news.
    if (own.length > 0 && (writes || pid !== process.pid)) processes.push({ ...named(pid), writes });
  }
  for (const pid of lockersOf(locking ?? '', file)) {
    if (pid !== process.pid && !processes.some((known) => known.pid === pid)) processes.push(named(pid));
  }
  if (processes.some(({ writes }) => writes)) return { isOpenForWriting: true, processes };
  const isUnknown = processes.some(({ writes }) => writes === undefined) || (isHidden && locking === undefined);
  return { isOpenForWriting: isUnknown ? null : false, processes };
}

/** The files that a process has open, by name. */
export function filesOf(pid: number): string[] {
  return (descriptorsOf(pid) ?? []).flatMap((fd) => quiet(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? []);
}

/** `undefined` where this user may not know them; a process that has ended meanwhile has none. */
function descriptorsOf(pid: number): string[] | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '') ? undefined : [];
  }
}

function leadsTo(pid: number, fd: string, { dev, ino }: BigIntStats): boolean {
  const stat = quiet(() => statSync(`/proc/${pid}/fd/${fd}`, { bigint: true }));
  return stat?.ino === ino && stat.dev === dev;
}

function isWritable(pid: number, fd: string): boolean {
  const [, flags = '0'] = /^flags:\s*(\d+)/m.exec(quiet(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '') ?? [];
  return (Number.parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR)) !== 0;
}

/**
 * The processes that hold a lock on a file, from lines such as `9: POSIX  ADVISORY  READ 4816 fe:00:2146963 128 128`. By the
 * inode alone: on some file systems the device stands there under another number than `stat` gives.
 */
function lockersOf(locks: string, { ino }: BigIntStats): Set<number> {
  const pids = Array.from(locks.matchAll(/^\d+: .* (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) \S+ \S+$/gm), ([, pid, inode]) => {
    return inode === String(ino) ? Number(pid) : 0;
  });
  return new Set(pids.filter((pid) => pid > 0));
}

function named(pid: number): Holder {
  const program = quiet(() => readFileSync(`/proc/${pid}/comm`, 'utf8'))?.trimEnd();
  return { pid, ...(program ? { program } : undefined) };
}

/** What the system tells; `undefined` where it does not, or where a process has ended meanwhile. */
function quiet<T>(fn: () => T): T | undefined {
  try {
    return fn();
  } catch {
    return undefined;
  }
}
