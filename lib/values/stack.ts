// Where the stack of an error begins: at the call into this package, and not inside of it.
import { fileURLToPath } from 'node:url';

// More than there are from a method to where it fails: the caller is behind them.
const ownFrames = 60;

/** This package's folder, as frames name it; `undefined` in a bundle, where the caller's code is in the same file. */
const own = ownFolder(import.meta.url ?? '');

function ownFolder(url: string): string[] | undefined {
  const isFile = /\/values\/stack\.[jt]s$/.test(url);
  if (!isFile && !url.endsWith('/dist/shepherd-store.js')) return undefined; // the one file that the build makes
  const folder = new URL(isFile ? '..' : '.', url);
  return folder.protocol === 'file:' ? [folder.href, fileURLToPath(folder)] : [folder.href];
}

/**
 * Has the stack of an error begin at the call into this package: what is above it, the cause tells. The stack stays
 * whole where nobody else is in it, and where somebody has replaced what a stack is.
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
  const first = lines.findIndex((line) => isFrame(line));
  if (first === -1) return;
  // Node's own frames and those of built-in functions lead from one of ours to the next.
  let [begin, at] = [first, first];
  for (; at < lines.length && (isOwn(lines[at]!) || isNodes(lines[at]!)); at++) if (isOwn(lines[at]!)) begin = at + 1;
  if (at === lines.length) begin = first;
  error.stack = [...lines.slice(0, first), ...lines.slice(begin, begin + limit)].join('\n');
}

function isFrame(line: string): boolean {
  return /^\s+at /.test(line);
}

function isOwn(line: string): boolean {
  return own!.some((folder) => line.includes(folder));
}

function isNodes(line: string): boolean {
  return /\(<anonymous>\)$|\(?node:/.test(line);
}
