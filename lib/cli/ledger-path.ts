// Finds the ledger of a store, whose path the database does not hold.
import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { parseHeader as ParseHeader } from '../ledger/line.ts';
import { filesOf, type Holders } from './holders.ts';
import { ifThere } from './left-out.ts';

/**
 * The path of the ledger whose first line names this store. It is looked for among the files beside the database and
 * the files that the writing processes have open, and only its first line is read. `undefined` where none is found, and
 * in a copy of this package that has no ledger/.
 */
export async function findLedger(path: string, uuid: string, { processes }: Holders): Promise<string | undefined> {
  const lines = await ifThere(() => import('../ledger/line.ts'));
  if (!lines) return undefined;
  const folder = dirname(resolve(path));
  const open = processes.filter(({ writes }) => writes).flatMap(({ pid }) => filesOf(pid));
  const beside = namesIn(folder).sort().map((name) => join(folder, name));
  // Only such names: to open and close the database itself would drop this process's locks on it.
  return [...beside, ...open].find((file) => file.endsWith('.jsonl') && isLedgerOf(file, uuid, lines.parseHeader));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // a user who may open a file need not be allowed to list its folder
  }
}

// The header of a ledger is shorter than this many bytes.
const longestHeader = 1_000;

function isLedgerOf(file: string, uuid: string, parseHeader: typeof ParseHeader): boolean {
  let fd: number | undefined;
  try {
    // Anybody may have put a file there: O_NOFOLLOW refuses a link, and O_NONBLOCK keeps a pipe from blocking the open.
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const start = Buffer.alloc(longestHeader);
    const line = start.subarray(0, readSync(fd, start, 0, longestHeader, 0));
    return parseHeader(line.subarray(0, Math.max(0, line.indexOf('\n'))))?.store === uuid;
  } catch {
    return false; // a ledger that cannot be read is of no use to the caller
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
