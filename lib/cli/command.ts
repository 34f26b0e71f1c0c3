// What a command is: its options, its help, and how it opens a store. Every file of commands is written with this.
import { existsSync, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { LongOperation } from '../audit.ts';
import { checkDay } from '../days.ts';
import { defaultPath } from '../default-path.ts';
import { hasCode, StoreError } from '../errors.ts';
import { snapshotPathOf } from '../files.ts';
import { SqliteStore } from '../store.ts';
import { parseInstant } from '../values.ts';
import { count, json, painter, plain } from './text.ts';
import type { Output } from './text.ts';

/** What a command works with, so that a test can give its own. */
export interface Io {
  stdout: Output;
  stderr: Output;
  /** The time; the system's by default. */
  clock?: () => Date;
  /** Ends a long command. */
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
  /** The arguments without a name, as the usage line shows them; in brackets where they may be absent, the last with an ellipsis where it may be repeated. */
  takes: string[];
  options: Record<string, Option>;
  /** What else is worth knowing, a line each. */
  notes: string[];
  examples: string[];
  run(args: Args, io: Io): number | Promise<number>;
}

/** Wrong use: the message goes to stderr with the usage line, and the exit code is 2. */
export class UsageError extends Error {}

/** Something outside of the store that went wrong: the message goes to stderr, and the exit code is 1. */
export class Failure extends Error {}

/** Options that several commands have. */
export const dbOption: Record<string, Option> = { db: { value: 'FILE', help: "the store; by default the user's own" } };
export const jsonOption: Record<string, Option> = { json: { help: 'one JSON document, for machines' } };

/** The checked arguments of one call. Every method throws `UsageError` for a value that does not fit. */
export class Args {
  readonly positionals: string[];
  readonly #values: Record<string, unknown>;

  /** Parses strictly: an unknown option, one without its value and one argument too many are refused by name. */
  constructor(command: Command, argv: readonly string[]) {
    try {
      const { values, positionals } = parseArgs({
        args: [...argv],
        options: { ...Object.fromEntries(Object.entries(command.options).map(([name, { value }]) => [name, { type: value === undefined ? 'boolean' : 'string' } as const])), help: { type: 'boolean', short: 'h' } },
        allowPositionals: true,
      });
      this.#values = values;
      this.positionals = positionals;
    } catch (error) {
      // Node adds advice about "--" that is of no use here.
      throw new UsageError((error as Error).message.split('. To specify')[0]);
    }
    if (this.flag('help')) return;
    const required = command.takes.filter((name) => !name.startsWith('['));
    if (this.positionals.includes('')) throw new UsageError('an argument is empty');
    if (this.positionals.length < required.length) throw new UsageError(`${required[this.positionals.length]} is missing`);
    const extra = this.positionals[command.takes.length];
    if (extra !== undefined && !command.takes.at(-1)?.endsWith('…')) throw new UsageError(`unexpected argument "${extra}"`);
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name] as string | undefined;
    if (value === '') throw new UsageError(`--${name} is empty`);
    return value;
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`--${name} is missing: give the path of the ${name === 'db' ? 'store' : name}`);
    return value;
  }

  integer(name: string, min: number, max: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, got "${text}"`);
    return value;
  }

  day(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    try {
      return checkDay(name, text);
    } catch {
      throw new UsageError(`--${name} must be a day of the calendar as YYYY-MM-DD, got "${text}"`);
    }
  }

  /** A day, which begins at local midnight, a local time, or an instant with its offset. */
  instant(name: string): Date | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const parts = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?$/.exec(text);
    // A text of this form without an offset is local time to Date; parseInstant refuses February 30th, which Date takes.
    const local = parts && parseInstant(`${parts[1]}T${parts[2] ?? '00:00'}${parts[3] ?? ':00'}Z`);
    if (parts && local) return new Date(`${parts[1]}T${parts[2] ?? '00:00'}${parts[3] ?? ':00'}`);
    const instant = parseInstant(text);
    if (!instant) throw new UsageError(`--${name} must be a day or a time such as 2026-11-21, 2026-11-21T18:30 or 2026-11-21T18:30:00+01:00, got "${text}"`);
    return instant;
  }
}

/** The text of `command --help`. */
export function helpOf(command: Command): string {
  const rows = Object.entries({ ...command.options, help: { help: 'this text' } } as Record<string, Option>)
    .map(([name, { value, help }]) => [`--${name}${value === undefined ? '' : ` ${value}`}`, help] as const);
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = [
    `${command.summary}.`, '', usageOf(command), '', 'Options',
    ...rows.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`),
    ...(command.notes.length > 0 ? ['', ...command.notes] : []),
    '', command.examples.length > 1 ? 'Examples' : 'Example', ...command.examples.map((example) => `  shepherd-store ${example}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** The usage line of a command. */
export function usageOf({ name, takes, options }: Command): string {
  const required = Object.entries(options).filter(([, option]) => option.required).map(([option, { value }]) => `--${option} ${value}`);
  return `Usage: shepherd-store ${[name, ...takes, ...required].join(' ')} [options]`;
}

/** The store that `--db` names, or where there is none the user's own. */
export function storePath(args: Args): string {
  return args.text('db') ?? defaultPath('shepherd-store');
}

/** The same, and says on stderr which one it is where nobody named it. */
export function tellStorePath(args: Args, io: Io): string {
  const path = storePath(args);
  if (args.text('db') === undefined) io.stderr.write(`${painter(io.stderr)('dim', `store: ${plain(path)}`)}\n`);
  return path;
}

/**
 * Opens a command's store to look at, whatever else uses it, and says on stderr which one it is where nobody named it. A
 * missing, empty or unreadable database beside a snapshot file is a loss and not a wrong path: `ERR_STORE_CORRUPT`.
 */
export function openStore(args: Args, io: Io): SqliteStore {
  const path = tellStorePath(args, io);
  try {
    return SqliteStore.openReadOnly(path, io.clock ? { clock: io.clock } : {});
  } catch (error) {
    const snapshot = snapshotPathOf(path);
    const what = lossOf(error, path);
    if (what === undefined || !existsSync(snapshot)) throw error;
    throw new StoreError('ERR_STORE_CORRUPT', `${path} is ${what}, and ${snapshot} says that there was a store`, { cause: error });
  }
}

/** What became of a database, where an error says that there is none to read. */
function lossOf(error: unknown, path: string): string | undefined {
  if (hasCode(error, 'ERR_STORE_NOT_FOUND')) return 'missing';
  if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) return undefined;
  if (statSync(path, { throwIfNoEntry: false })?.size === 0) return 'empty';
  return (error as Error).cause === undefined ? undefined : 'no database any more';
}

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

type Progress = Parameters<NonNullable<LongOperation['onProgress']>>[0];

/** Runs a long operation with its progress on the terminal, in words of `what` it counts or as `line` has it; `io.signal` ends it. */
export async function long<T>(
  io: Io, what: string, run: (options: LongOperation) => Promise<T>, line = ({ done, total }: Progress): string => `${count(done)} of ${count(total)} ${what}`,
): Promise<T> {
  const progress = progressOn(io, line);
  try {
    return await run({ onProgress: progress.show, ...(io.signal ? { signal: io.signal } : undefined) });
  } finally {
    progress.clear();
  }
}

/** A line on the terminal that says how far a long command is; nothing where stderr is no terminal. */
function progressOn(io: Io, line: (progress: Progress) => string): { show(progress: Progress): void; clear(): void } {
  const { stderr } = io;
  let shown = false;
  return {
    show: (state) => {
      if (!stderr.isTTY) return;
      stderr.write(`\r\x1b[K${line(state)}`);
      shown = true;
    },
    clear: () => {
      if (shown) stderr.write('\r\x1b[K');
    },
  };
}
