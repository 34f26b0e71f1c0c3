// The checked arguments of one call of a command.
import { parseArgs } from 'node:util';
import { didYouMean } from '../near-miss.ts';
import type { Command } from './command.ts';
import { UsageError } from './failures.ts';
import { parseDay, parseTime } from './times.ts';

/** The arguments of one call. Every method throws `UsageError` for a value that does not fit. */
export class Args {
  readonly positionals: string[];
  readonly #values: Record<string, unknown>;
  readonly #takesFile: boolean;

  /** Parses strictly: an unknown option, one without its value and one argument too many are refused by name. */
  constructor(command: Command, argv: readonly string[]) {
    const options = Object.entries(command.options).map(([name, { value }]) => {
      return [name, { type: value === undefined ? 'boolean' : 'string' } as const];
    });
    try {
      const { values, positionals } = parseArgs({
        args: [...argv],
        options: { ...Object.fromEntries(options), help: { type: 'boolean', short: 'h' } },
        allowPositionals: true,
      });
      this.#values = values;
      this.positionals = positionals;
    } catch (error) {
      throw new UsageError(wordsOf(error as Error, [...Object.keys(command.options), 'help']));
    }
    this.#takesFile = command.takes[0] === storeFile;
    if (this.flag('help')) return;
    const required = command.takes.filter((name) => !name.startsWith('['));
    if (this.positionals.includes('')) throw new UsageError('an argument is empty');
    if (this.positionals.length < required.length) throw new UsageError(`${required[this.positionals.length]} is missing`);
    const extra = this.positionals[command.takes.length];
    if (extra !== undefined && !command.takes.at(-1)?.endsWith('…')) throw new UsageError(`unexpected argument "${extra}"`);
  }

  /** The store that the call names, by `--db` or as its argument; `undefined` where it names none. */
  get store(): string | undefined {
    const [option, file] = [this.text('db'), this.#takesFile ? this.positionals[0] : undefined];
    if (option !== undefined && file !== undefined) throw new UsageError(`"${file}" and --db both name a store: give one of them`);
    return option ?? file;
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

  /** One of the words that the option knows. */
  word<T extends string>(name: string, words: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined || words.includes(text as T)) return text as T | undefined;
    const meant = didYouMean(text, words);
    throw new UsageError(`--${name} must be one of ${words.join(', ')}, got "${text}"${meant === undefined ? '' : `; ${meant}`}`);
  }

  day(name: string, now: Date): string | undefined {
    const text = this.text(name);
    const day = text === undefined ? undefined : parseDay(text, now);
    if (text !== undefined && day === undefined) {
      throw new UsageError(`--${name} must be a day of the calendar as YYYY-MM-DD, today or yesterday, got "${text}"`);
    }
    return day;
  }

  /** See `parseTime`. */
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

/** The first argument of a command that takes its store without `--db` as well. */
export const storeFile = '[FILE]';

/** What Node says of the arguments, with the option that was meant. */
function wordsOf(error: Error, known: readonly string[]): string {
  // Node adds advice about "--" that is of no use here.
  const [message = ''] = error.message.split('. To specify');
  const [, unknown] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
  const meant = unknown === undefined ? undefined : didYouMean(unknown, known.map((name) => `--${name}`));
  return meant === undefined ? message : `${message}; ${meant}`;
}
