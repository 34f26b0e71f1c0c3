// Folders: made private, and synced so that the names in them are durable.
import { chmodSync, closeSync, constants, fsyncSync, mkdirSync, mkdtempSync, openSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { give, likeFor } from './owner.ts';

/** Makes the names in a folder durable, because fsync of a file does not cover the directory entry that leads to it. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a folder and the missing folders above it. Each new one is private from the start and belongs to the owner of
 * its parent; an existing folder stays as it is.
 */
export function prepareFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })) return;
  prepareFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
    chmodSync(folder, 0o700); // a umask such as 0277 would have removed the owner's own bits
    if (process.geteuid?.() === 0) giveFolder(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // another process was faster
  }
  syncFolder(dirname(folder)); // makes the new folder's name durable
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

/** Makes a private folder for short-lived files and returns its path. */
export function makeTemporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  chmodSync(folder, 0o700); // with a umask such as 0177, nothing could be made in it
  return folder;
}
