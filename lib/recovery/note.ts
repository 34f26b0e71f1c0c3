// What a recovery has found and moved, kept beside the database until the event that says so is durable. Without it a
// full disk or a power cut between the two would let the next open find a missing database, and nothing of what became
// of the damaged one.
import { closeSync, constants, lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { renameTo, temporaryBeside } from '../values/files.ts';
import { syncFolder } from '../values/folders.ts';
import { likeFor } from '../values/owner.ts';
import { companionsOf, existsAt, openPrivate } from '../values/place.ts';
import { pathBeside } from '../values/stem.ts';
import { losses, type Recovery } from './heal.ts';

/** What was found, and the new paths of the files that were moved. */
export type RecoveryNote = Pick<Recovery, 'found' | 'moved'>;

// O_NOFOLLOW does not follow a planted link. O_NONBLOCK keeps a planted pipe from hanging the service.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function notePathOf(path: string): string {
  return pathBeside(path, '-recovery');
}

/** Whether a recovery was interrupted, or is running. */
export function hasNote(path: string): boolean {
  return existsAt(notePathOf(path));
}

/** Writes the note, durable on return. It must be called before the last of the files in it is moved. */
export function writeNote(path: string, { found, moved }: RecoveryNote): void {
  const temporary = temporaryBeside(notePathOf(path));
  try {
    const fd = openPrivate(temporary, likeFor(path, [path, ...companionsOf(path)]));
    try {
      // flush: else the note could be empty after a power cut, with its files already moved.
      writeFileSync(fd, JSON.stringify({ found, moved: moved.map((file) => basename(file)) }), { flush: true });
    } finally {
      closeSync(fd);
    }
    renameTo(temporary, notePathOf(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Reads the note of an interrupted recovery. A file that is not a valid note is ignored, because files are moved only
 * after a valid note is durable.
 */
export function readNote(path: string): RecoveryNote | undefined {
  let text: string;
  try {
    text = readFileSync(notePathOf(path), { encoding: 'utf8', flag: readFlags });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { found, moved } = JSON.parse(text) as RecoveryNote;
    const isName = (name: unknown): boolean => typeof name === 'string' && name === basename(name);
    if (!losses.includes(found) || !Array.isArray(moved) || !moved.every(isName)) return undefined;
    const files = moved.map((name) => join(dirname(path), name));
    // A power cut may have come before the last of these files was moved.
    return { found, moved: files.filter((file) => lstatSync(file, { throwIfNoEntry: false })) };
  } catch {
    return undefined;
  }
}

/** Removes the note durably, because a note that reappeared after a power cut would be reported a second time. */
export function removeNote(path: string): void {
  rmSync(notePathOf(path), { force: true });
  syncFolder(dirname(path));
}
