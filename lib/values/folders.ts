// Folders: made private, and synced so that the names in them are durable.
import { chmodSync, closeSync, constants, fsyncSync, mkdirSync, mkdtempSync, openSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { give, likeFor } from './owner.ts';

/** Makes the names in a folder durable: fsync of a file says nothing about the directory entry that leads to it. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a folder and those above it, private from the start, and whose the one above is; one that is there stays as it
 * is.
 */
export function prepareFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })) return;
  prepareFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
    chmodSync(folder, 0o700); // an umask such as 0277 would have taken the owner's own bits
    if (process.geteuid?.() === 0) giveFolder(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // another process was faster
  }
  syncFolder(dirname(folder)); // a name is durable once the folder that holds it is
}

function giveFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { uid, gid } = likeFor(folder);
    give(fd, uid, gid);
  } finally {
    closeSync(fd);
  }
}

/** Makes a private folder for files that are needed for a moment, and gives its path. */
export function makeTemporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  chmodSync(folder, 0o700); // an umask such as 0177 takes the owner's own bits: nothing can be made in it then
  return folder;
}
