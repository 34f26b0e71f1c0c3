// What a recovery has found and moved, kept beside the database until the event that says so is durable. Without it a full disk
// or a power cut between the two would let the next open find a missing database, and nothing of what became of the damaged one.
import { constants, fsyncSync, lstatSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createPrivate, temporaryBeside } from './files.ts';
import { likeFor } from './owner.ts';
import { companionsOf } from './place.ts';
import { losses } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { pathBeside } from './stem.ts';
import { placeSnapshotFile, syncFolder } from './snapshot-file.ts';

/** What was found, and where the files are by now that were moved. */
export type RecoveryNote = Pick<Recovery, 'found' | 'moved'>;

function notePathOf(path: string): string {
  return pathBeside(path, '-recovery');
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

/** The note of a recovery that was cut short. A file that is none is passed over: nothing was moved before one was durable. */
export function readNote(path: string): RecoveryNote | undefined {
  let text: string;
  try {
    text = readFileSync(notePathOf(path), { encoding: 'utf8', flag: constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK });
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
