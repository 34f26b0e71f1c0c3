// Where the ledger of a store lies, as far as that shows.
import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseHeader } from '../ledger/line.ts';
import { filesOf } from './holders.ts';
import type { Holders } from './holders.ts';

/**
 * The ledger whose first line names this store: among the files beside the database, or what the service has open;
 * `undefined` where it is neither. Each is read for its first line only.
 */
export function findLedger(path: string, uuid: string, { processes }: Holders): string | undefined {
  const folder = dirname(resolve(path));
  const open = processes.filter(({ writes }) => writes).flatMap(({ pid }) => filesOf(pid));
  const beside = namesIn(folder).sort().map((name) => join(folder, name));
  return [...beside, ...open].find((file) => file.endsWith('.jsonl') && isLedgerOf(file, uuid));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // who may open a file need not be allowed to list its folder
  }
}

// More than a header has.
const longestHeader = 1_000;

function isLedgerOf(file: string, uuid: string): boolean {
  let fd: number | undefined;
  try {
    // O_NOFOLLOW, O_NONBLOCK: a planted link is not followed, and a planted pipe does not hang.
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const start = Buffer.alloc(longestHeader);
    const line = start.subarray(0, readSync(fd, start, 0, longestHeader, 0));
    return parseHeader(line.subarray(0, Math.max(0, line.indexOf('\n'))))?.store === uuid;
  } catch {
    return false; // what cannot be read is no ledger that anybody could use
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
