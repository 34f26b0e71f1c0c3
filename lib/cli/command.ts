// The type of a command, and the functions with which every command writes its output.
import { once } from 'node:events';
import type { LongOperation } from '../values/long.ts';
import type { Args, CommandSyntax, Option } from './args.ts';
import { bar, count, json, type Output, pad } from './text.ts';

/** The stream of what is typed: that of a terminal gives each key at once in raw mode. */
export type Input = NodeJS.ReadableStream & { isTTY?: boolean; isRaw?: boolean; setRawMode?(isRaw: boolean): unknown };

/** The streams, the clock and the signal that a command works with. A test gives its own. */
export interface Io {
  stdout: Output;
  stderr: Output;
  /** Where the keys come from that end a screen. */
  stdin?: Input;
  /** Tells the time; the system's clock by default. */
  clock?: () => Date;
  /** Ends a long command when the process gets a signal or when nobody reads its output any more. */
  signal?: AbortSignal;
  /** Says that the command is one that goes on until a signal ends it, so that the signal is no interruption of it. */
  endsWell?: () => void;
}

/** A command of `shepherd-store`. `run` gives the exit code: 0, or 1 for a finding. */
export interface Command extends CommandSyntax {
  name: string;
  summary: string;
  /** The lines that the help of the command shows below its options. */
  notes: string[];
  examples: string[];
  run(args: Args, io: Io): number | Promise<number>;
}

// Several commands have these options.
export const dbOption: Record<string, Option> = { db: { value: 'FILE', help: "the store; by default the user's own" } };
export const jsonOption: Record<string, Option> = { json: { help: 'one JSON document, for machines' } };

/** The present time, by the clock of `io`. */
export function now(io: Io): Date {
  return io.clock?.() ?? new Date();
}

/** Writes lines for people. */
export function print(io: Io, lines: readonly string[]): void {
  io.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

/** Writes a value as one indented JSON document. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${json(value, 2)}\n`);
}

/**
 * Writes one part of an output of any length, and resolves when the stream has room for the next part. Rejects with the
 * reason of `io.signal` once that is aborted.
 */
export async function write(io: Io, text: string): Promise<void> {
  io.signal?.throwIfAborted();
  if (io.stdout.write(text)) return;
  await once(io.stdout, 'drain', io.signal ? { signal: io.signal } : {});
}

type Progress = Parameters<NonNullable<LongOperation['onProgress']>>[0];

/**
 * Runs a long operation and shows its progress on the terminal: how many of `unit` are done, or the text that `line`
 * makes. `io.signal` ends the operation.
 */
export async function long<T>(
  io: Io, unit: string, run: (options: LongOperation) => Promise<T>,
  line = ({ done, total }: Progress): string => `${count(done)} of ${count(total)} ${unit}`,
): Promise<T> {
  const progress = progressOn(io, line);
  try {
    return await run({ onProgress: progress.show, signal: io.signal });
  } finally {
    progress.clear();
  }
}

const barWidth = 40;

/** Runs a long operation that counts what means nothing to an operator, such as pages: shows its progress as a bar. */
export function withBar<T>(io: Io, title: string, run: (options: LongOperation) => Promise<T>): Promise<T> {
  return long(io, title, run, ({ done, total }) => {
    const percent = Math.floor((100 * done) / Math.max(1, total));
    return `${title} ${pad(bar(done, total, barWidth), barWidth)} ${percent} %`;
  });
}

// A reader sees the line move at this rate, and a slow connection over the network is not kept busy by it.
const showEveryMs = 100;

/** Shows on the terminal how far a long operation is. Writes nothing where stderr is no terminal. */
function progressOn(io: Io, line: (progress: Progress) => string): { show(progress: Progress): void; clear(): void } {
  const { stderr } = io;
  let shownAt: number | undefined;
  return {
    show: (state) => {
      const isDue = shownAt === undefined || state.done >= state.total || performance.now() - shownAt >= showEveryMs;
      if (!stderr.isTTY || !isDue) return;
      stderr.write(`\r\x1b[K${line(state)}`);
      shownAt = performance.now();
    },
    clear: () => {
      if (shownAt !== undefined) stderr.write('\r\x1b[K');
    },
  };
}
