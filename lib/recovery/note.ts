// What a recovery has found and moved, kept beside the database until the event that says so is durable. Without it a
// full disk or a power cut between the two would let the next open find a missing database, and nothing of what became
// of the damaged one.
import { closeSync, constants, fsyncSync, lstatSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { placeSnapshotFile } from '../core/snapshot-file.ts';
import { createPrivate, existsAt, temporaryBeside } from '../values/files.ts';
import { syncFolder } from '../values/folders.ts';
import { likeFor } from '../values/owner.ts';
import { companionsOf } from '../values/place.ts';
import { pathBeside } from '../values/stem.ts';
import { losses, type Recovery } from './heal.ts';

/** What was found, and where the files are by now that were moved. */
export type RecoveryNote = Pick<Recovery, 'found' | 'moved'>;

// O_NOFOLLOW: a planted link is not followed. O_NONBLOCK: a planted pipe does not hang the service.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function notePathOf(path: string): string {
  return pathBeside(path, '-recovery');
}

/** Whether a recovery was cut short, or is under way. */
export function hasNote(path: string): boolean {
  return existsAt(notePathOf(path));
}

/** Keeps a note, durable on return, before the last of the files in it is moved. */
export function writeNote(path: string, { found, moved }: RecoveryNote): void {
  const temporary = temporaryBeside(notePathOf(path));
  createPrivate(temporary, likeFor(path, [path, ...companionsOf(path)]));
  try {
    const fd = openSync(temporary, 'r+');
    try {
      writeFileSync(fd, JSON.stringify({ found, moved: moved.map((file) => basename(file)) }));
      fsyncSync(fd); // a note that is empty after a power cut tells nothing, and its files have been moved by then
    } finally {
      closeSync(fd);
    }
    placeSnapshotFile(temporary, notePathOf(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * The note of a recovery that was cut short. A file that is none is passed over: nothing was moved before one was
 * durable.
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
    // The last of them may have been on its way when the power went.
    return { found, moved: files.filter((file) => lstatSync(file, { throwIfNoEntry: false })) };
  } catch {
    return undefined;
  }
}

/** Removes the note. A note that came back after a power cut would be told a second time. */
export function removeNote(path: string): void {
  rmSync(notePathOf(path), { force: true });
  syncFolder(dirname(path));
}
