// Files that a command writes again at each call, a report and the figures of a monitor: each is there as a whole, or
// as it was before.
import { closeSync, fsyncSync, lstatSync, openSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { attempt } from '../values/errors.ts';
import { temporariesOf, temporaryName } from '../values/files.ts';
import { syncFolder } from '../values/folders.ts';
import { setMode } from '../values/owner.ts';
import { openPrivate } from '../values/place.ts';
import { UsageError } from './failures.ts';

/**
 * Writes a private file (0600), durable on return, and gives its size. Throws `UsageError` for what is no file, and for
 * a file without the beginning that all of this kind have, such as the store.
 */
export function replaceFile(path: string, text: string, beginning: string): number {
  const target = resolve(path);
  checkReplaceable(path, target, Buffer.from(beginning));
  attempt(`write ${path}`, () => {
    rename(target, text, fsyncSync);
    syncFolder(dirname(target));
  });
  return Buffer.byteLength(text);
}

/**
 * Puts figures in the place of what is at a path, for every user to read (0644): the exporter that reads them is
 * another user's process, and who may come by is for the folder to say. They are not synced. They are worth nothing
 * after a power cut, the next ones come within a minute, and an fsync each minute would wear out a card.
 */
export function replaceTextfile(path: string, text: string): void {
  const target = resolve(path);
  attempt(`write ${path}`, () => {
    removeLeft(target);
    rename(target, text, (fd) => setMode(fd, 0o644)); // whatever the umask is
  });
}

/**
 * Writes a file under a name that nobody can guess, and renames it: so no reader finds a part of it, and a link that
 * stands at the path is replaced and not followed.
 */
function rename(target: string, text: string, complete: (fd: number) => void): void {
  const temporary = temporaryName(target);
  const fd = openPrivate(temporary);
  try {
    try {
      writeFileSync(fd, text);
      complete(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

// A call takes a second or two, so what is older has no living process.
const leftMs = 600_000;

/** Removes what killed processes have left: of a call each minute, a machine that is switched off leaves one a day. */
function removeLeft(target: string): void {
  for (const file of temporariesOf(target)) {
    const stat = lstatSync(file, { throwIfNoEntry: false });
    if (stat && Date.now() - stat.mtimeMs > leftMs) rmSync(file, { force: true });
  }
}

function checkReplaceable(path: string, target: string, beginning: Buffer): void {
  const stat = attempt(`look at ${path}`, () => lstatSync(target, { throwIfNoEntry: false }));
  if (!stat || stat.isSymbolicLink() || (stat.isFile() && stat.size === 0)) return;
  if (!stat.isFile()) throw new UsageError(`${path} is no file`);
  const found = Buffer.alloc(beginning.length);
  attempt(`read ${path}`, () => {
    const fd = openSync(target, 'r');
    try {
      readSync(fd, found, 0, found.length, 0);
    } finally {
      closeSync(fd);
    }
  });
  if (found.equals(beginning)) return;
  throw new UsageError(`${path} is there, and is nothing that this command has written: move it away first`);
}
