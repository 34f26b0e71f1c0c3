// Files made, copied and moved aside: private from their first byte, and never in the place of another one.
import { randomUUID } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { syncFolder } from './folders.ts';
import { type FileLike, likeFor, setMode } from './owner.ts';
import { existsAt, nameEmpty, openPrivate } from './place.ts';
import { asideStem, temporaryStem } from './stem.ts';

/** Renames a file to a free name that says when and why, and returns that name. Never overwrites a file. */
export function moveAside(path: string, why: string, now: Date): string {
  const target = freeName(path, why, now);
  renameTo(path, target);
  return target;
}

/** Renames a file; its new name is durable on return. */
export function renameTo(path: string, target: string): void {
  renameSync(path, target);
  syncFolder(dirname(path));
}

/** Copies an open file to a new private one. `prepare` runs before the copying, the function it returns after it. */
export function copyBytes(from: number, target: string, prepare?: (to: number) => () => void): void {
  const to = openSync(target, 'wx', 0o600);
  try {
    setMode(to, 0o600);
    const finish = prepare?.(to);
    const chunk = Buffer.alloc(1024 * 1024);
    for (let at = 0; ;) {
      const read = readSync(from, chunk, 0, chunk.length, at);
      if (read === 0) break;
      writeFileSync(to, chunk.subarray(0, read));
      at += read;
    }
    finish?.();
  } finally {
    closeSync(to);
  }
}

/** Finds a free name beside a file that says when and why the file was moved there. */
export function freeName(path: string, why: string, now: Date): string {
  const name = `${join(dirname(path), asideStem(path))}.${why}-${now.toISOString().replaceAll(':', '-')}`;
  for (let count = 0; ; count++) {
    const target = count === 0 ? name : `${name}-${count}`;
    if (!lstatSync(target, { throwIfNoEntry: false })) return target;
  }
}

/**
 * Makes an empty private file if there is none, because SQLite would make it with the umask's mode. The file gets its
 * name after it was closed: another thread could lock a named file, and closing it here would drop that lock. Mode and
 * owner are those of the first file in `store` that exists.
 */
export function createFile(path: string, store: readonly string[] = []): void {
  while (!existsAt(path)) {
    const temporary = temporaryName(path);
    const like = likeFor(path, store);
    createPrivate(temporary, like);
    try {
      nameEmpty(temporary, path, like);
    } catch (error) {
      // EEXIST: another process made the file first. ENOENT: that process also removed this temporary file.
      if (!['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
    if (existsAt(path)) removeLeft(path);
  }
}

/** Makes an empty file under a free name: private, or open to the same users as `like`. */
export function createPrivate(path: string, like?: FileLike): void {
  closeSync(openPrivate(path, like));
}

/**
 * Returns a temporary name for a file that will become `target`, and removes such files of killed processes. The caller
 * must hold a lock on making the target, because files of running processes are removed too. Without a lock, use
 * `TemporaryFile` (lib/opening/temporary.ts).
 */
export function temporaryBeside(target: string): string {
  removeLeft(target);
  return temporaryName(target);
}

/** A name for a file that will become `target`; unpredictable, so that nobody can plant a file under it. */
export function temporaryName(target: string): string {
  return join(dirname(target), `${temporaryStem(target)}${randomUUID()}.tmp`);
}

/** The paths of a file's temporary files, which killed processes may have left. */
export function temporariesOf(target: string): string[] {
  const folder = dirname(target);
  const stem = temporaryStem(target);
  const found: string[] = [];
  for (const name of readdirSync(folder)) {
    if (name.startsWith(stem) && /^[0-9a-f-]{36}\.tmp$/.test(name.slice(stem.length))) found.push(join(folder, name));
  }
  return found;
}

function removeLeft(target: string): void {
  for (const file of temporariesOf(target)) rmSync(file, { force: true });
}
