// Checks and codecs for everything that crosses the boundary. Bad input is refused here, before anything is written:
// SQLite itself would store NaN as NULL, half a surrogate pair as U+FFFD and cut a text off at NUL.
import { inspect, types } from 'node:util';
import { StoreError } from './errors.ts';
import { didYouMean } from './near-miss.ts';

/** The longest text, and the longest JSON of a value, in characters. Copies of one this long take half a gigabyte. */
export const maxTextLength: number = 2 ** 27;

/** Makes the error for a refused argument: it names the argument, shows the value and says what is accepted. */
export function invalid(name: string, given: unknown, accepted: string, options?: ErrorOptions): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `${name} must be ${accepted}, got ${show(given)}`, options);
}

/** Shows any value within one line of a message, without running the value's own `inspect` or getters. */
export function show(value: unknown): string {
  if (typeof value === 'string' && value.length > 60) {
    return `${inspect(value.slice(0, 60))}… (${value.length} characters)`;
  }
  const settings = { depth: 0, breakLength: Infinity, maxArrayLength: 3, customInspect: false, getters: false };
  try {
    const text = inspect(value, settings);
    return text.length > 120 ? `${text.slice(0, 120)}…` : text;
  } catch {
    return `a ${typeof value} that cannot be shown`;
  }
}

/** Shows a checked text in a message: a short ASCII text in double quotes, any other text the way `show` does. */
export function quote(text: string): string {
  return /^[\x20-\x7e]{1,60}$/.test(text) ? `"${text}"` : show(text);
}

/** Refuses anything but a non-empty text that SQLite returns unchanged: well-formed Unicode without NUL. */
export function checkText(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length > maxTextLength) {
    throw invalid(name, value, `a string of at most ${maxTextLength} characters`);
  }
  if (!isText(value)) throw invalid(name, value, 'a non-empty string of whole Unicode characters without NUL');
  return value;
}

/** `checkText` for what may be absent. */
export function checkOptionalText(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : checkText(name, value);
}

/** Refuses anything but one of the words. */
export function checkOneOf<T extends string>(name: string, value: unknown, words: readonly T[]): T {
  if (!words.includes(value as T)) throw invalid(name, value, `one of ${words.join(', ')}`);
  return value as T;
}

/** Whether `checkText` accepts the value. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.isWellFormed() && !value.includes('\0');
}

/** Refuses anything but a whole number from `min` to `max`. */
export function checkInteger(name: string, value: unknown, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw invalid(name, value, `a whole number from ${min} to ${max}`);
  }
  return (value as number) + 0; // -0 becomes 0
}

/** Refuses anything but a whole number from 0 on. */
export function checkCount(name: string, value: unknown): number {
  return checkInteger(name, value, 0);
}

/** Refuses anything but a duration: whole milliseconds, not negative. */
export function checkDuration(name: string, value: unknown): number {
  return checkInteger(name, value, 0);
}

const firstInstant = new Date('0000-01-01T00:00:00.000Z').getTime();
const lastInstant = new Date('9999-12-31T23:59:59.999Z').getTime();

/** Refuses anything but a `Date` of the years 0000 to 9999, and gives a copy. */
export function checkDate(name: string, value: unknown): Date {
  const time = types.isDate(value) ? Date.prototype.getTime.call(value) : NaN;
  if (time >= firstInstant && time <= lastInstant) return new Date(time);
  throw invalid(name, value, 'a valid Date of the years 0000 to 9999');
}

/** Checks a date like `checkDate` and returns the text that is stored: ISO 8601 in UTC with milliseconds. */
export function checkInstant(name: string, value: unknown): string {
  return checkDate(name, value).toISOString();
}

const rfc3339 = /^\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** Reads a stored RFC 3339 text, to the millisecond. Returns `undefined` if the text is not a valid instant. */
export function parseInstant(text: unknown): Date | undefined {
  const [year, month, day] = typeof text === 'string' && rfc3339.test(text) ? (dateIn(text) ?? []) : [];
  if (typeof text !== 'string' || year === undefined) return undefined;
  // Only the form that this package writes has 24 characters. JavaScript's own parser takes twice as long for it, and a
  // screen has a hundred timestamps. Years below 100 go to that parser, because Date.UTC() takes them for 1900 to 1999.
  if (text.length === 24 && year >= 100) {
    const time = [digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2), digits(text, 20, 3)] as const;
    return new Date(Date.UTC(year, month! - 1, day, ...time));
  }
  const date = new Date(text);
  const time = date.getTime(); // an offset can move it out of the years 0000 to 9999, which could not be written again
  return time >= firstInstant && time <= lastInstant ? date : undefined;
}

/** Reads digits of a text as a number, by character codes because groups of a regular expression take twice as long. */
function digits(text: string, at: number, count: number): number {
  let number = 0;
  for (let index = at; index < at + count; index++) number = number * 10 + text.charCodeAt(index) - 48;
  return number;
}

/** Reads the date at the beginning of a text, YYYY-MM-DD. Returns `undefined` if the calendar has no such date. */
export function dateIn(text: string): [year: number, month: number, day: number] | undefined {
  const [year, month, day] = [digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2)];
  return isDate(year, month, day) ? [year, month, day] : undefined;
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Whether the calendar has this date (JavaScript's own parser reads February 30th as March 2nd). */
export function isDate(year: number, month: number, day: number): boolean {
  const isLeapMonth = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const last = isLeapMonth ? 29 : (monthDays[month - 1] ?? 0);
  return day >= 1 && day <= last;
}

/**
 * Refuses anything but a plain object whose keys are all in `known`; `undefined` counts as an empty object. Returns a
 * copy, because each property is read once: a getter or proxy then cannot answer the check and the use differently.
 */
export function checkOptions<T extends object>(name: string, value: T | undefined, known: readonly string[]): T {
  if (value === undefined) return {} as T;
  return readOnce(name, () => {
    if (!isPlainObject(value)) throw invalid(name, value, 'a plain object');
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      if (!known.includes(key)) throw unknownName(name, key, known);
      copy[key] = (value as Record<string, unknown>)[key];
    }
    return copy as T;
  });
}

function unknownName(name: string, key: string, known: readonly string[]): StoreError {
  const what = name === 'options' ? `unknown option ${show(key)}` : `${name} has no ${show(key)}`;
  const hint = didYouMean(key, known) ?? `known are ${known.join(', ')}`;
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `${what}; ${hint}`);
}

/** Refuses anything but an array and returns the result of `check` for each item. A hole counts as `undefined`. */
export function checkArray<T>(
  name: string, value: unknown, accepted: string, check: (name: string, item: unknown) => T,
): T[] {
  const items = readOnce(name, () => {
    if (!Array.isArray(value)) throw invalid(name, value, accepted);
    return Array.from(value as unknown[]);
  });
  return items.map((item, index) => check(`${name}[${index}]`, item));
}

/** Refuses anything but a plain object and returns its keys, checked as texts, with `check`'s result for each value. */
export function checkRecord<T>(
  name: string, value: unknown, accepted: string, check: (name: string, item: unknown) => T,
): [key: string, item: T][] {
  const entries = readOnce(name, () => {
    if (!isPlainObject(value)) throw invalid(name, value, accepted);
    return Object.entries(value as object);
  });
  return entries.map(([key, item]) => [checkText(`a key of ${name}`, key), check(`${name}.${key}`, item)]);
}

function readOnce<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${name} cannot be read: a getter or proxy threw`, { cause });
  }
}

/**
 * Refuses anything but an `AbortSignal` or `undefined`. The check looks at its methods and not at its class, because
 * jsdom, polyfills and other realms have their own classes of that name.
 */
export function checkSignal(name: string, value: AbortSignal | undefined): AbortSignal | undefined {
  const isSignal = value === undefined || readOnce(name, () => {
    if (typeof value !== 'object' || value === null || typeof value.aborted !== 'boolean') return false;
    return typeof value.throwIfAborted === 'function' && typeof value.addEventListener === 'function';
  });
  if (!isSignal) throw invalid(name, value, 'an AbortSignal');
  return value;
}

/** Refuses anything but a function or `undefined`. */
export function checkFunction<T>(name: string, value: T): T {
  if (value !== undefined && typeof value !== 'function') throw invalid(name, value, 'a function');
  return value;
}

/**
 * What a clock of the caller's gives. Throws `ERR_STORE_INVALID_ARGUMENT` where it throws, because an error of the
 * system that it throws must not pass for one of the store's disk, which would stop the store.
 */
export function askClock<T>(name: string, clock: () => T): T {
  try {
    return clock();
  } catch (cause) {
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${name} cannot be read: ${show(cause)}`, { cause });
  }
}

/** One reading of the clock of `open`'s options. Throws `ERR_STORE_INVALID_ARGUMENT` where it gives no valid `Date`. */
export function readClock({ clock }: { clock: () => Date }): Date {
  return checkDate('what options.clock gives', askClock('options.clock', clock));
}

/** Refuses a promise as the result of a transaction's function, because it would settle after the commit. */
export function checkSettled<T>(result: T): T {
  if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') {
    throw invalid('what fn returns', result, 'anything but a promise, which would settle after the commit');
  }
  return result;
}

export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || (Object.getPrototypeOf(prototype) === null && !types.isProxy(prototype));
}
