// Reading a file line by line, in constant memory, whatever it holds.
import { invalid } from '../values/checks.ts';
import type { LedgerFiles } from './file.ts';

/**
 * A line without its newline. `bytes` is absent for a line that is too long to be held, and valid only until the next
 * line is asked for; `complete` says that a newline ended the line.
 */
export interface RawLine {
  number: number;
  start: number;
  end: number;
  bytes: Buffer | undefined;
  complete: boolean;
}

const operations = [
  'openSync', 'closeSync', 'readSync', 'writeSync', 'fsyncSync', 'ftruncateSync', 'fstatSync',
] as const satisfies (keyof LedgerFiles)[];

/** Refuses an object without all file operations: one that is missing would fail in the middle of a write. */
export function checkFiles(files: LedgerFiles): LedgerFiles {
  if (operations.every((name) => typeof files?.[name] === 'function')) return files;
  throw invalid('options.files', files, `an object with ${operations.join(', ')}`);
}

// No event needs this size, and a line that never ends must not fill the memory.
export const maxLineBytes: number = 32 * 1024 * 1024;
const chunkBytes = 256 * 1024;

/** The lines between two offsets; `from` must be the beginning of a line, which is counted as the first. */
export function* readLines(
  files: LedgerFiles, fd: number, from: number, to: number,
): Generator<RawLine, void, undefined> {
  const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, Math.max(1, to - from)));
  let parts: Buffer[] = [];
  let held = 0;
  let start = from;
  let number = 1;
  for (let offset = from; offset < to; ) {
    const read = files.readSync(fd, chunk, 0, Math.min(chunk.length, to - offset), offset);
    if (read === 0) break; // the file was cut off meanwhile
    let at = 0;
    for (let newline = chunk.indexOf(10, at); newline >= 0 && newline < read; newline = chunk.indexOf(10, at)) {
      const rest = chunk.subarray(at, newline);
      // A line inside one chunk is not copied, because a million copies are garbage that outgrows the memory in use.
      const bytes = held + rest.length > maxLineBytes ? undefined : held === 0 ? rest : Buffer.concat([...parts, rest]);
      const end = offset + newline + 1;
      yield { number, start, end, bytes, complete: true };
      parts = [];
      held = 0;
      number++;
      at = newline + 1;
      start = end;
    }
    held += read - at;
    if (held > maxLineBytes) parts = [];
    else if (read > at) parts.push(Buffer.from(chunk.subarray(at, read)));
    offset += read;
  }
  if (held === 0) return;
  const bytes = held > maxLineBytes ? undefined : Buffer.concat(parts);
  yield { number, start, end: start + held, bytes, complete: false };
}
