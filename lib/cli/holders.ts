// Finds the processes that have a file open. The kernel knows them, so the file itself is not touched.
import { type BigIntStats, constants, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';

/** A process that has a file open. */
interface Holder {
  pid: number;
  /** The program's name; absent where the kernel does not show it. */
  program?: string;
  /** The file name of the script that a Node program runs, because all of those have the same name. */
  script?: string;
  /** Whether the process may write to the file; absent where this user may not know that. */
  writes?: boolean;
}

/** The processes that have a file open. */
export interface Holders {
  /** Whether any process has the file open for writing; `null` where that cannot be known. */
  isOpenForWriting: boolean | null;
  processes: Holder[];
}

/**
 * The other processes that have the file at a path open. Those of this user, and for root those of all users, are found
 * by their descriptors. A process of another user is found only by the lock that SQLite holds while a store is open,
 * and whether it may write is not known. Where there is no /proc, nothing is known.
 */
export function holdersOf(path: string): Holders {
  const file = statSync(path, { bigint: true, throwIfNoEntry: false });
  const pids = valueOrUndefined(() => readdirSync('/proc'));
  const locks = valueOrUndefined(() => readFileSync('/proc/locks', 'utf8'));
  if (!file || !pids) return { isOpenForWriting: null, processes: [] };
  const processes: Holder[] = [];
  let isHidden = false;
  for (const pid of pids.filter((name) => /^\d+$/.test(name)).map(Number)) {
    const descriptors = descriptorsOf(pid);
    isHidden ||= descriptors === undefined;
    const openHere = (descriptors ?? []).filter((fd) => leadsTo(pid, fd, file));
    const writes = openHere.some((fd) => isWritable(pid, fd));
    // This process itself only reads the file to report on it, which nobody needs to be told.
    if (openHere.length > 0 && (writes || pid !== process.pid)) processes.push({ ...describeProcess(pid), writes });
  }
  for (const pid of lockersOf(locks ?? '', file)) {
    const isListed = processes.some((listed) => listed.pid === pid);
    if (pid !== process.pid && !isListed) processes.push(describeProcess(pid));
  }
  if (processes.some(({ writes }) => writes)) return { isOpenForWriting: true, processes };
  const isUnknown = processes.some(({ writes }) => writes === undefined) || (isHidden && locks === undefined);
  return { isOpenForWriting: isUnknown ? null : false, processes };
}

/** The names of the files that a process has open. */
export function filesOf(pid: number): string[] {
  const descriptors = descriptorsOf(pid) ?? [];
  return descriptors.flatMap((fd) => valueOrUndefined(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? []);
}

/** The descriptors of a process: none where it has ended, and `undefined` where this user may not see them. */
function descriptorsOf(pid: number): string[] | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '') ? undefined : [];
  }
}

function leadsTo(pid: number, fd: string, { dev, ino }: BigIntStats): boolean {
  const stat = valueOrUndefined(() => statSync(`/proc/${pid}/fd/${fd}`, { bigint: true }));
  return stat?.ino === ino && stat.dev === dev;
}

function isWritable(pid: number, fd: string): boolean {
  const info = valueOrUndefined(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '';
  const [, flags = '0'] = /^flags:\s*(\d+)/m.exec(info) ?? [];
  return (Number.parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR)) !== 0;
}

/**
 * The processes that hold a lock on a file, from lines such as `9: POSIX  ADVISORY  READ 4816 fe:00:2146963 128 128`.
 * Only the inode is compared, because some file systems list the device under another number than `stat` gives.
 */
function lockersOf(locks: string, { ino }: BigIntStats): Set<number> {
  const lines = locks.matchAll(/^\d+: .* (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) \S+ \S+$/gm);
  const pids = Array.from(lines, ([, pid, inode]) => (inode === String(ino) ? Number(pid) : 0));
  return new Set(pids.filter((pid) => pid > 0));
}

function describeProcess(pid: number): Holder {
  const program = valueOrUndefined(() => readFileSync(`/proc/${pid}/comm`, 'utf8'))?.trimEnd();
  const script = /(^node|MainThread)$/.test(program ?? '') ? scriptOf(pid) : undefined;
  return { pid, ...(program ? { program } : undefined), ...(script ? { script } : undefined) };
}

/** The first argument of a Node program that is neither an option nor the value of one. */
function scriptOf(pid: number): string | undefined {
  const [, ...args] = (valueOrUndefined(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').split('\0');
  const isValue = (index: number): boolean => /^(-r|--require|--import)$/.test(args[index - 1] ?? '');
  const index = args.findIndex((arg, at) => !arg.startsWith('-') && !isValue(at));
  const isCode = /^(-e|-p|-pe|--eval|--print)$/.test(args[index - 1] ?? '');
  return isCode || index < 0 ? undefined : basename(args[index]!);
}

/** What the kernel answers; `undefined` where it refuses to or where the process has ended meanwhile. */
function valueOrUndefined<T>(fn: () => T): T | undefined {
  try {
    return fn();
  } catch {
    return undefined;
  }
}
