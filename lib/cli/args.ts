// The syntax of a command, and the checked arguments of one call.
import { existsSync, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { didYouMean } from '../values/near-miss.ts';
import { UsageError } from './failures.ts';
import { shellWord } from './text.ts';
import { type Change, parseChange, parseDay, parseTime } from './times.ts';

/** An option of a command; `value` names the argument that follows it, and is absent for a switch. */
export interface Option {
  value?: string;
  help: string;
  /** The usage line shows the option, and the command reads it with `Args.required`. */
  required?: true;
  /** It may be given again and again, and the command reads it with `Args.texts`. */
  isRepeated?: true;
}

/** The arguments that a command takes. */
export interface CommandSyntax {
  /**
   * The arguments without a name, as the usage line shows them. Brackets mark one that may be absent, and an ellipsis
   * marks that the last one may be repeated.
   */
  takes: string[];
  /** The arguments without a name are files that exist, such as a backup. */
  takesFiles?: true;
  options: Record<string, Option>;
  /** The words for which a placeholder of `takes` or of an option stands, where there are few: shells offer them. */
  words?: Record<string, readonly string[]>;
  /**
   * Behind `--` stands a command of the caller's, shown like this at the end of the usage line. Nothing of it is taken
   * for an argument of the command itself; see `Args.behind`.
   */
  runs?: string;
}

/** The first argument of a command that takes its store also without `--db`. */
export const storeFile = '[FILE]';

/** The environment variable that names the store where a call does not. */
export const storeVariable = 'SHEPHERD_STORE_DB';

/** The path of the store that the environment names. */
export function environmentPath(): string | undefined {
  return process.env[storeVariable] || undefined; // an empty variable counts as unset, as is usual
}

// Node's parser takes `-30m` for options, but no option begins with a digit. No argument of a process can have a NUL.
const negative = /^-\d/;
const masked = '\0';
const unmasked = (text: string): string => (text.startsWith(masked) ? text.slice(masked.length) : text);

/** Whether a call asks for a document for machines; what stands behind `--` is not for this program. */
export function wantsJson(argv: readonly string[]): boolean {
  return splitAtDashes(argv)[0].includes('--json');
}

/** What stands before `--`, and what stands behind it, if there is one. */
function splitAtDashes(argv: readonly string[]): [before: readonly string[], behind: readonly string[] | undefined] {
  const index = argv.indexOf('--');
  return index < 0 ? [argv, undefined] : [argv.slice(0, index), argv.slice(index + 1)];
}

/** The arguments of one call. Every method throws `UsageError` for a value that does not fit. */
export class Args {
  readonly positionals: string[];
  /** The command of the caller's that stands behind `--`, where the command runs one; empty where there is none. */
  readonly behind: readonly string[];
  readonly #values: Record<string, unknown>;
  readonly #takesFile: boolean;

  /** Throws a `UsageError` that names the unknown option, the option without its value or the argument too many. */
  constructor(syntax: CommandSyntax, argv: readonly string[]) {
    const { takes, options, runs } = syntax;
    const [own, behind] = runs === undefined ? [argv, undefined] : splitAtDashes(argv);
    this.behind = behind ?? [];
    const misplaced = runs === undefined || behind ? '' : '; the command to run stands behind --';
    const optionTypes = Object.entries(options).map(([name, { value, isRepeated = false }]) => {
      return [name, { type: value === undefined ? 'boolean' : 'string', multiple: isRepeated } as const];
    });
    try {
      const { values, positionals } = parseArgs({
        args: own.map((text) => (negative.test(text) ? masked + text : text)),
        options: { ...Object.fromEntries(optionTypes), help: { type: 'boolean', short: 'h' } },
        allowPositionals: true,
      });
      this.#values = values;
      this.positionals = positionals.map(unmasked);
    } catch (error) {
      throw new UsageError(parseErrorText(error as Error, [...Object.keys(options), 'help']) + misplaced);
    }
    this.#takesFile = takes[0] === storeFile;
    if (this.flag('help')) return;
    const required = takes.filter((name) => !name.startsWith('['));
    const missing = required[this.positionals.length];
    if (this.positionals.includes('')) throw new UsageError('an argument is empty');
    if (missing !== undefined) throw new UsageError(`${missing} is missing`);
    const needsName = options['db'] !== undefined && !this.#takesFile && this.text('db') === undefined;
    const extra = this.positionals[takes.length];
    const mayRepeat = takes.at(-1)?.endsWith('…') === true;
    if (extra !== undefined && !mayRepeat) {
      const advice = misplaced || (needsName ? '; the store is --db FILE' : '');
      throw new UsageError(`unexpected argument "${extra}"${advice}`);
    }
    if (needsName && environmentPath() === undefined) this.#refuseFiles(syntax);
  }

  /** Refuses a file that was meant as the store: the command would look for something of its name in another store. */
  #refuseFiles({ takes, takesFiles }: CommandSyntax): void {
    const index = takesFiles ? -1 : this.positionals.findIndex(isFile);
    if (index < 0) return;
    const file = this.positionals[index]!;
    const name = (takes[index] ?? takes.at(-1)!).replaceAll(/[[\]…]/g, '');
    throw new UsageError(`"${file}" was taken as ${name}; did you mean --db ${shellWord(file)}?`);
  }

  /** The store that the call names, by `--db` or as its first argument; `undefined` where it names none. */
  get store(): string | undefined {
    const option = this.text('db');
    const file = this.#takesFile ? this.positionals[0] : undefined;
    if (option !== undefined && file !== undefined) {
      throw new UsageError(`"${file}" and --db both name a store: give one of them`);
    }
    return option ?? file;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const given = this.#values[name] as string | undefined;
    const value = given === undefined ? undefined : unmasked(given);
    if (value === '') throw new UsageError(`--${name} is empty`);
    return value;
  }

  /** The values of an option that may be repeated, without those that were given twice. */
  texts(name: string): string[] {
    const given = ((this.#values[name] ?? []) as string[]).map(unmasked);
    if (given.includes('')) throw new UsageError(`--${name} is empty`);
    return [...new Set(given)];
  }

  required(name: string): string {
    const value = this.text(name);
    if (value !== undefined) return value;
    const what = requiredValues[name] ?? `the path of the ${name}`;
    throw new UsageError(`--${name} is missing: give ${what}`);
  }

  integer(name: string, min: number, max: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, got "${text}"`);
  }

  /** The value of an option that takes one of `words`. */
  word<T extends string>(name: string, words: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined || words.includes(text as T)) return text as T | undefined;
    const suggestion = didYouMean(text, words);
    const ending = suggestion === undefined ? '' : `; ${suggestion}`;
    throw new UsageError(`--${name} must be one of ${words.join(', ')}, got "${text}"${ending}`);
  }

  day(name: string, now: Date): string | undefined {
    const text = this.text(name);
    const day = text === undefined ? undefined : parseDay(text, now);
    if (text !== undefined && day === undefined) throw new UsageError(noDay(`--${name}`, text));
    return day;
  }

  /** The day that the argument at an index names; `name` is how the usage line shows it. */
  dayAt(index: number, name: string, now: Date): string {
    const text = this.positionals[index] ?? '';
    const day = parseDay(text, now);
    if (day === undefined) throw new UsageError(noDay(name, text));
    return day;
  }

  /** The change of a duration that the argument at an index names; see `parseChange`. */
  changeAt(index: number): Change {
    const text = this.positionals[index] ?? '';
    const change = parseChange(text);
    if (change) return change;
    throw new UsageError(noDuration(`"${text}"`, 'is no duration: write'));
  }

  /** The duration in milliseconds that an option names. */
  duration(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const change = parseChange(text);
    if (change && change.ms > 0) return change.ms;
    throw new UsageError(noDuration(`--${name}`, `must be a duration, got "${text}": write`));
  }

  /** The instant that an option names; see `parseTime` for the forms that it may have. */
  instant(name: string, now: Date): Date | undefined {
    const text = this.text(name);
    const instant = text === undefined ? undefined : parseTime(text, now);
    if (text !== undefined && !instant) {
      const forms = '2026-11-21, 2026-11-21T18:30, 2026-11-21T18:30:00+01:00, yesterday or 2h';
      throw new UsageError(`--${name} must be a day or a time such as ${forms}, got "${text}"`);
    }
    return instant;
  }
}

/** What the options are given that are required and take no path of that name. */
const requiredValues: Record<string, string> = { before: 'a day', db: 'the path of the store', to: 'a name' };

function noDay(name: string, text: string): string {
  return `${name} must be a day of the calendar as YYYY-MM-DD, today, yesterday or tomorrow, got "${text}"`;
}

function noDuration(subject: string, problem: string): string {
  return `${subject} ${problem} 30m, 1h30m, 2h or 90s; a number alone is minutes`;
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** The message of Node's parser, followed by the known option that is nearest to an unknown one. */
function parseErrorText(error: Error, known: readonly string[]): string {
  // Node appends advice about "--", which is cut off because none of these commands needs it.
  const [message = ''] = error.message.split('. To specify');
  const [, unknown] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
  const suggestion = unknown === undefined ? undefined : didYouMean(unknown, known.map((name) => `--${name}`));
  return suggestion === undefined ? message : `${message}; ${suggestion}`;
}
