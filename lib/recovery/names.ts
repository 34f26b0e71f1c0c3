// Hard links and mounts: a database with a second name has a second -wal, and what is committed under one name is lost
// when both are written (https://www.sqlite.org/howtocorrupt.html, 2.5).
import { lstatSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Faults } from '../core/faults.ts';
import { StoreError } from '../values/errors.ts';
import { syncFolder } from '../values/folders.ts';
import { asideStem } from '../values/stem.ts';

/** Whether the file at a path has another name too (a hard link). */
export function hasSecondName(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.nlink > 1;
}

/** Finds the names that this package gives a file for a moment, while it makes the file or exchanges it. */
function ownNames(path: string): string[] {
  const { dev, ino } = lstatSync(path, { bigint: true });
  const stem = asideStem(path);
  const isOwn = (name: string): boolean =>
    name.startsWith(`${stem}.replaced-`) || (name.startsWith('.') && name.endsWith('.tmp'));
  const names = readdirSync(dirname(path)).filter(isOwn);
  return names.map((name) => join(dirname(path), name)).filter((file) => {
    const stat = lstatSync(file, { bigint: true, throwIfNoEntry: false });
    return stat?.dev === dev && stat.ino === ino;
  });
}

/** Removes these names after the process that gave them was killed before it could remove them. */
export function removeOwnNames(path: string): void {
  for (const file of ownNames(path)) rmSync(file, { force: true });
  syncFolder(dirname(path)); // a name that reappeared after a power cut would be refused
}

/**
 * Throws `ERR_STORE_CONFLICT` for a database with a second name, or `ERR_STORE_BUSY` if this package gave that name,
 * which disappears by itself or at the next open.
 */
export function refuseSecondName(path: string): void {
  if (!hasSecondName(path)) return;
  if (ownNames(path).length > 0) {
    const message = `another process makes or exchanges ${path}, or was killed at that: open it for writing once`;
    throw new StoreError('ERR_STORE_BUSY', message);
  }
  const loss = 'what is written by one name is lost by the other. Remove that name, or copy the file instead';
  const message = `${path} has a second name (a hard link), under which it has a second -wal: ${loss}`;
  throw new StoreError('ERR_STORE_CONFLICT', message);
}

/** Whether a file is mounted alone, as when a container gets a single file and its folder is the container's own. */
function isMountedAlone(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  if (!file) return false;
  if (file.dev !== statSync(dirname(path)).dev) return true;
  // If file and folder are on the same device, only the system's list of mounts shows a mounted file.
  return isMountPoint(realpathSync(path));
}

/** Reads https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html: field five, with four characters escaped. */
function isMountPoint(path: string): boolean {
  const octal = (character: string): string => character.charCodeAt(0).toString(8).padStart(3, '0');
  const escaped = path.replace(/[ \t\n\\]/g, (character) => `\\${octal(character)}`);
  let mounts: string;
  try {
    mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return false; // not Linux
  }
  for (const [, point] of mounts.matchAll(/^(?:\S+ ){4}(\S+)/gm)) if (point === escaped) return true;
  return false;
}

const mountAdvice = 'its -wal lies in another folder than the file comes from, and is lost with that: '
  + 'mount the folder instead';

/** Reports or clears the findings about a second name of the database and about a database that is mounted alone. */
export function reportNames(faults: Faults, path: string): void {
  const secondName = `${path} has a second name (a hard link): what is written by that one is not seen here`;
  if (hasSecondName(path)) faults.report('second-name', secondName);
  else faults.clear('second-name');
  if (isMountedAlone(path)) faults.report('mounted-alone', `${path} is mounted by itself: ${mountAdvice}`);
  else faults.clear('mounted-alone');
}

/** Throws if a file is mounted alone, because no other file can replace it then. `what` would be done to the file. */
export function refuseMounted(path: string, what: string): void {
  if (!isMountedAlone(path)) return;
  const why = `it is mounted by itself, so that no other file can take its name; ${mountAdvice}`;
  throw new StoreError('ERR_STORE_PERMISSION', `${path} cannot be ${what}: ${why}`);
}
