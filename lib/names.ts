// The names of a database file. SQLite finds a -wal by the name of the database: what is committed under one name is not seen
// under another, and is lost when both are written (https://www.sqlite.org/howtocorrupt.html, 2.5).
import { lstatSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { StoreError } from './errors.ts';
import type { Faults } from './faults.ts';
import { syncFolder } from './snapshot-file.ts';
import { asideStem } from './stem.ts';

/** Whether the file at a path has another name too (a hard link). */
export function hasSecondName(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.nlink > 1;
}

/** The other names that this package gives a file for a moment: a new one's first, and an exchanged one's second. */
function ownNames(path: string): string[] {
  const { dev, ino } = lstatSync(path, { bigint: true });
  const stem = asideStem(path);
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(`${stem}.replaced-`) || (name.startsWith('.') && name.endsWith('.tmp')));
  return names.map((name) => join(dirname(path), name)).filter((file) => {
    const stat = lstatSync(file, { bigint: true, throwIfNoEntry: false });
    return stat?.dev === dev && stat.ino === ino;
  });
}

/** Removes such names: whoever gave them did not come to take them back. */
export function removeOwnNames(path: string): void {
  for (const file of ownNames(path)) rmSync(file, { force: true });
  syncFolder(dirname(path)); // a name that came back after a power cut would be refused
}

/**
 * Throws `ERR_STORE_CONFLICT` for a database with a second name; `ERR_STORE_BUSY` where that is one of this package's own, which
 * goes away by itself, or at the next open.
 */
export function refuseSecondName(path: string): void {
  if (!hasSecondName(path)) return;
  if (ownNames(path).length > 0) throw new StoreError('ERR_STORE_BUSY', `another process makes or exchanges ${path}, or was killed at that: open it for writing once`);
  throw new StoreError('ERR_STORE_CONFLICT', `${path} has a second name (a hard link), under which it has a second -wal: what is written by one name is lost by the other. Remove that name, or copy the file instead`);
}

/** Whether a file is mounted by itself, as a container is given a single file: its folder is the container's own. */
export function isMountedAlone(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  if (!file) return false;
  if (file.dev !== statSync(dirname(path)).dev) return true;
  // A file of the same device: only the system's list of mounts tells.
  return listMounts().includes(realpathSync(path));
}

function listMounts(): string[] {
  try {
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    return lines.map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))));
  } catch {
    return []; // not Linux
  }
}

const advice = 'its -wal lies in another folder than the file comes from, and is lost with that: mount the folder instead';

/** Records as findings what the names of a database put at risk, and clears them where they do not. */
export function reportNames(faults: Faults, path: string): void {
  if (hasSecondName(path)) faults.report('second-name', `${path} has a second name (a hard link): what is written by that one is not seen here`);
  else faults.clear('second-name');
  if (isMountedAlone(path)) faults.report('mounted-alone', `${path} is mounted by itself: ${advice}`);
  else faults.clear('mounted-alone');
}

/** Throws where a file cannot be exchanged for another because it is mounted alone. `what` is to be done with it. */
export function refuseMounted(path: string, what: string): void {
  if (!isMountedAlone(path)) return;
  throw new StoreError('ERR_STORE_PERMISSION', `${path} cannot be ${what}: it is mounted by itself, so that no other file can take its name; ${advice}`);
}
