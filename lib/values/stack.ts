// Where the stack of an error begins: at the call into this package, and not inside of it.
import { fileURLToPath } from 'node:url';

// There are fewer frames than this between a method and the place where it fails, so the caller's frames are kept.
const ownFrames = 60;

/** This package's folder as stack frames name it; `undefined` in a caller's bundle, which has all code in one file. */
const own = ownFolder(import.meta.url ?? '');

function ownFolder(url: string): string[] | undefined {
  const isFile = /\/values\/stack\.[jt]s$/.test(url);
  if (!isFile && !url.endsWith('/dist/shepherd-store.js')) return undefined; // the one file that the build makes
  const folder = new URL(isFile ? '..' : '.', url);
  return folder.protocol === 'file:' ? [folder.href, fileURLToPath(folder)] : [folder.href];
}

/**
 * Makes the stack of an error begin at the call into this package; the frames above that are in the stack of the cause.
 * The stack stays whole if it has no frames of a caller, or if somebody has replaced how stacks are made.
 */
export function beginAtCaller(error: Error): void {
  const { stackTraceLimit: limit } = Error;
  if (own === undefined || typeof limit !== 'number') return;
  if (!Reflect.set(Error, 'stackTraceLimit', limit + ownFrames)) return; // frozen
  Error.captureStackTrace(error);
  const stack: unknown = error.stack;
  Error.stackTraceLimit = limit;
  if (typeof stack !== 'string') return;
  const lines = stack.split('\n');
  const first = lines.findIndex((line) => /^\s+at /.test(line));
  if (first === -1) return;
  // Frames of Node and of built-in functions, such as Array.map, can stand between two frames of this package.
  let [begin, at] = [first, first];
  for (; at < lines.length && (isOwn(lines[at]!) || isNodes(lines[at]!)); at++) if (isOwn(lines[at]!)) begin = at + 1;
  if (at === lines.length) begin = first;
  error.stack = [...lines.slice(0, first), ...lines.slice(begin, begin + limit)].join('\n');
}

function isOwn(line: string): boolean {
  return own!.some((folder) => line.includes(folder));
}

function isNodes(line: string): boolean {
  return /\(<anonymous>\)$|\(?node:/.test(line);
}
