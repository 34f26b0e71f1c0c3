// What a command is, and what it writes with. Every file of commands is written with this.
import { once } from 'node:events';
import type { LongOperation } from '../audit.ts';
import type { Args } from './args.ts';
import { count, json } from './text.ts';
import type { Output } from './text.ts';

/** What a command works with, so that a test can give its own. */
export interface Io {
  stdout: Output;
  stderr: Output;
  /** The time; the system's by default. */
  clock?: () => Date;
  /** Ends a long command: a signal of the process, or nobody who reads any more. */
  signal?: AbortSignal;
}

/** An option of a command; `value` names what follows it, and is absent for a switch. */
export interface Option {
  value?: string;
  help: string;
  /** The command asks for it by `Args.required`; the usage line shows it. */
  required?: true;
}

/** A command of `shepherd-store`. `run` gives the exit code: 0, or 1 for a finding. */
export interface Command {
  name: string;
  summary: string;
  /**
   * The arguments without a name, as the usage line shows them; in brackets where they may be absent, the last with an
   * ellipsis where it may be repeated.
   */
  takes: string[];
  options: Record<string, Option>;
  /** What else is worth knowing, a line each. */
  notes: string[];
  examples: string[];
  run(args: Args, io: Io): number | Promise<number>;
}

/** Options that several commands have. */
export const dbOption: Record<string, Option> = { db: { value: 'FILE', help: "the store; by default the user's own" } };
export const jsonOption: Record<string, Option> = { json: { help: 'one JSON document, for machines' } };

/** The time that a command goes by. */
export function now(io: Io): Date {
  return io.clock?.() ?? new Date();
}

/** Writes lines for people. */
export function print(io: Io, lines: readonly string[]): void {
  io.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

/** Writes the JSON document of a command. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${json(value, 2)}\n`);
}

/**
 * Writes a part of an output that may be of any length, and resolves when there is room for the next one. Rejects with the
 * reason of `io.signal`.
 */
export async function write(io: Io, text: string): Promise<void> {
  io.signal?.throwIfAborted();
  if (io.stdout.write(text)) return;
  await once(io.stdout, 'drain', io.signal ? { signal: io.signal } : {});
}

type Progress = Parameters<NonNullable<LongOperation['onProgress']>>[0];

/**
 * Runs a long operation with its progress on the terminal, in words of `what` it counts or as `line` has it; `io.signal`
 * ends it.
 */
export async function long<T>(
  io: Io, what: string, run: (options: LongOperation) => Promise<T>,
  line = ({ done, total }: Progress): string => `${count(done)} of ${count(total)} ${what}`,
): Promise<T> {
  const progress = progressOn(io, line);
  try {
    return await run({ onProgress: progress.show, ...(io.signal ? { signal: io.signal } : undefined) });
  } finally {
    progress.clear();
  }
}

// Often enough to see it move; a slow line over the network would be kept busy by more.
const showEveryMs = 100;

/** A line on the terminal that says how far a long command is; nothing where stderr is no terminal. */
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
