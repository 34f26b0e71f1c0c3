// A file that a command writes again at each call, such as a report: it is there as a whole, or as it was before.
import { closeSync, fsyncSync, lstatSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { attempt } from '../values/errors.ts';
import { renameTo, temporaryName } from '../values/files.ts';
import { openPrivate } from '../values/place.ts';
import { UsageError } from './failures.ts';

// As many bytes as tell a page or a document of ours from other files: `<!doctype html>`.
const knownBytes = 15;

/**
 * Writes a private file (0600), durable on return, and gives its size. It is written under a name that nobody can
 * guess, and renamed, so that no reader finds a part of it, and a link that stands there is replaced and not followed.
 * Throws `UsageError` for what is no file, and for a file that does not begin as the new one does, such as the store.
 */
export function replaceFile(path: string, text: string): number {
  const target = resolve(path);
  checkReplaceable(path, target, text);
  return attempt(`write ${path}`, () => {
    const bytes = Buffer.from(text);
    const temporary = temporaryName(target);
    const fd = openPrivate(temporary);
    try {
      try {
        writeFileSync(fd, bytes);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameTo(temporary, target);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return bytes.length;
  });
}

function checkReplaceable(path: string, target: string, text: string): void {
  const stat = attempt(`look at ${path}`, () => lstatSync(target, { throwIfNoEntry: false }));
  if (!stat || stat.isSymbolicLink() || (stat.isFile() && stat.size === 0)) return;
  if (!stat.isFile()) throw new UsageError(`${path} is no file`);
  const found = Buffer.alloc(knownBytes);
  attempt(`read ${path}`, () => {
    const fd = openSync(target, 'r');
    try {
      readSync(fd, found, 0, knownBytes, 0);
    } finally {
      closeSync(fd);
    }
  });
  if (found.equals(Buffer.from(text).subarray(0, knownBytes))) return;
  throw new UsageError(`${path} is there, and is nothing that this command has written: move it away first`);
}
