// What stands in a folder, to compare before and after; and damage to files that nobody has open.
import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Every name below a folder with its mode, size and contents. It opens files: not while this process has a database
 * open there, whose locks it would drop.
 */
export function picture(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    const mode = stat.mode.toString(8);
    if (stat.isSymbolicLink()) found[name] = `${mode} ${readlinkSync(path)}`;
    else if (!stat.isFile()) found[name] = mode;
    else found[name] = `${mode} ${stat.size} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  }
  return found;
}

/** The names in a folder. */
export function namesIn(folder: string): string[] {
  return readdirSync(folder).sort();
}

/** How many descriptors of this process lead into a folder. */
export function openIn(folder: string): number {
  const names = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the one that listed them
    }
  });
  return names.filter((name) => name.startsWith(folder)).length;
}

/** The permission bits of a path. */
export function modeOf(path: string): string {
  return (lstatSync(path).mode & 0o7777).toString(8);
}

/** Inverts one bit of a file. */
export function flipBit(path: string, offset: number, bit = 0): void {
  const fd = openSync(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, offset);
    byte[0]! ^= 1 << bit;
    writeSync(fd, byte, 0, 1, offset);
  } finally {
    closeSync(fd);
  }
}
