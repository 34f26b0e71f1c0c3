// Finds the ledger of a store, where nobody names it.
import {
  type BigIntStats, closeSync, constants, lstatSync, openSync, readdirSync, readSync, realpathSync, statSync,
} from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { parseHeader as ParseHeader } from '../ledger/line.ts';
import { connect, type SqliteStore } from '../store.ts';
import { filesOf, type Holders, holdersOf } from './holders.ts';
import { ifThere } from './left-out.ts';
import { attemptRow } from './rows.ts';

/**
 * The path of the ledger whose first line names the store at `path`. It is looked for where the store remembers it,
 * among the files beside the database, and among those that the writing processes have open. `undefined` where none is
 * found, and in a copy of this package that has no ledger/.
 */
export async function findLedger(
  store: SqliteStore, path: string, { processes }: Holders,
): Promise<string | undefined> {
  const folder = dirname(resolve(path));
  const beside = namesIn(folder).sort().map((name) => join(folder, name));
  const open = processes.filter(({ writes }) => writes).flatMap(({ pid }) => filesOf(pid));
  const named = [...beside, ...open].filter((file) => file.endsWith('.jsonl'));
  const { value: remembered } = attemptRow(() => rememberedPath(store));
  return firstLedger(remembered === undefined ? named : [remembered, ...named], path, store);
}

/**
 * The first of the files that is a ledger of a store, whose database is at `path`; only first lines are read.
 * `undefined` where none is, and in a copy of this package that has no ledger/.
 */
export async function firstLedger(
  files: readonly string[], path: string, store: SqliteStore,
): Promise<string | undefined> {
  const lines = await ifThere(() => import('../ledger/line.ts'));
  return lines && files.find((file) => mayBeRead(file, path) && isLedgerOf(file, store, lines.parseHeader));
}

/**
 * Where the ledger was when the store was last opened with it, seen from where the database is now; `undefined` where
 * the store remembers nothing. The database may be somebody else's, so nothing may be made at this path.
 */
export function rememberedPath(store: SqliteStore): string | undefined {
  const door = connect(store);
  const row = door.read('read where the ledger is', () => {
    return door.get<[unknown]>('SELECT ledger_path FROM store_meta WHERE id = 1');
  });
  const known = row?.[0];
  // The store writes relative paths alone, which lead to the ledger also after both were moved.
  if (typeof known !== 'string' || known === '' || isAbsolute(known)) return undefined;
  return resolve(dirname(realpathSync(door.path!)), known);
}

/**
 * A process that writes to the ledger and does not have the database at `path` open, which is a copy then: a copy also
 * has the store's id and remembers its ledger. The lock under which a ledger is written to is the database's, so two
 * databases would write to it at the same time.
 */
export async function writerOfAnother(ledger: string, path: string): Promise<number | undefined> {
  let found: number | undefined;
  for (let attempt = 0; attempt < 5; attempt++) {
    if (attempt > 0) await sleep(50); // a process that is just closing both closes its ledger last
    const writers = holdersOf(ledger).processes.filter(({ writes }) => writes);
    const holders = writers.length > 0 ? holdersOf(path).processes : [];
    found = writers.find(({ pid }) => holders.every((holder) => holder.pid !== pid))?.pid;
    if (found === undefined) return undefined;
  }
  return found;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // a user who may open a file need not be allowed to list its folder
  }
}

/**
 * Whether a path may be opened to look at it: it is a file, because opening a device can already make it act, and none
 * of the database's own, because closing one of those would drop this process's locks on it.
 */
function mayBeRead(file: string, path: string): boolean {
  const found = statOf(() => lstatSync(file, { bigint: true }));
  if (!found?.isFile()) return false;
  return !['', '-wal', '-shm'].some((ending) => {
    const own = statOf(() => statSync(path + ending, { bigint: true }));
    return own?.ino === found.ino && own.dev === found.dev;
  });
}

function statOf(stat: () => BigIntStats): BigIntStats | undefined {
  try {
    return stat();
  } catch {
    return undefined; // not there, not for this user, or no path at all
  }
}

// The header of a ledger is shorter than this many bytes.
const longestHeader = 64 * 1024;

function isLedgerOf(file: string, store: SqliteStore, parseHeader: typeof ParseHeader): boolean {
  let fd: number | undefined;
  try {
    // Anybody may have put a file there: O_NOFOLLOW refuses a link, and O_NONBLOCK keeps a pipe from blocking the open.
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const start = Buffer.alloc(longestHeader);
    const line = start.subarray(0, readSync(fd, start, 0, longestHeader, 0));
    const header = parseHeader(line.subarray(0, Math.max(0, line.indexOf('\n'))));
    return header !== undefined && connect(store).parts.log.owns({ ...header, lastId: 0 });
  } catch {
    return false; // a ledger that cannot be read is of no use to the caller
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
