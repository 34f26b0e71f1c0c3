// Checks and codecs for everything that crosses the boundary. Bad input is refused here, before anything is written:
// SQLite itself would store NaN as NULL, half a surrogate pair as U+FFFD and cut a text off at NUL.
import { inspect, types } from 'node:util';
import { StoreError } from './errors.ts';
import { checkJsonLength, maxTextLength } from './json-length.ts';
import { didYouMean } from './near-miss.ts';

/** Any value that JSON carries there and back. A property whose value is `undefined` counts as absent. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue | undefined };
/** A JSON object. */
export type JsonObject = { [key: string]: JsonValue | undefined };

/** The error for an argument that is refused: names it, shows what was given and says what is accepted. */
export function invalid(name: string, given: unknown, accepted: string): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `${name} must be ${accepted}, got ${show(given)}`);
}

/** A value as part of one line of a message, whatever it is and however hostile its own `inspect` or getters. */
export function show(value: unknown): string {
  if (typeof value === 'string' && value.length > 60) return `${inspect(value.slice(0, 60))}… (${value.length} characters)`;
  try {
    const text = inspect(value, { depth: 0, breakLength: Infinity, maxArrayLength: 3, customInspect: false, getters: false });
    return text.length > 120 ? `${text.slice(0, 120)}…` : text;
  } catch {
    return `a ${typeof value} that cannot be shown`;
  }
}

/** A checked text as part of a message: a plain short one in quotes, any other as `show` gives it. */
export function quote(text: string): string {
  return /^[\x20-\x7e]{1,60}$/.test(text) ? `"${text}"` : show(text);
}

/** Refuses anything but a non-empty text that SQLite gives back as it was: whole Unicode, no NUL. */
export function checkText(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length > maxTextLength) throw invalid(name, value, `a string of at most ${maxTextLength} characters`);
  if (!isText(value)) throw invalid(name, value, 'a non-empty string of whole Unicode characters without NUL');
  return value;
}

/** Whether `checkText` accepts the value. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.isWellFormed() && !value.includes('\0');
}

/** Refuses anything but a whole number from `min` to `max`. */
export function checkInteger(name: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw invalid(name, value, `a whole number from ${min} to ${max}`);
  }
  return (value as number) + 0; // -0 becomes 0
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
  if (!(time >= firstInstant && time <= lastInstant)) throw invalid(name, value, 'a valid Date of the years 0000 to 9999');
  return new Date(time);
}

/** The same, as it is stored: ISO 8601, UTC, milliseconds. */
export function checkInstant(name: string, value: unknown): string {
  return checkDate(name, value).toISOString();
}

const rfc3339 = /^\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** The instant that a stored RFC 3339 text names, to the millisecond; `undefined` where it names none. */
export function parseInstant(text: unknown): Date | undefined {
  if (typeof text !== 'string' || !rfc3339.test(text) || !beginsWithDate(text)) return undefined;
  // As it is written here, which no other form is as long as. JavaScript's own parser takes twice as long, and a screen has a
  // hundred of these; its UTC() takes the first hundred years for those after 1900.
  if (text.length === 24 && year(text) >= 100) {
    return new Date(Date.UTC(year(text), two(text, 5) - 1, two(text, 8), two(text, 11), two(text, 14), two(text, 17), two(text, 20) * 10 + two(text, 21) % 10));
  }
  const date = new Date(text);
  const time = date.getTime(); // an offset may lead out of the years that can be written again
  return time >= firstInstant && time <= lastInstant ? date : undefined;
}

/** The number that two digits are. By their codes: groups of a regular expression take twice as long. */
function two(text: string, at: number): number {
  return text.charCodeAt(at) * 10 + text.charCodeAt(at + 1) - 11 * 48;
}

function year(text: string): number {
  return two(text, 0) * 100 + two(text, 2);
}

/** Whether the calendar has the date that a text of the form YYYY-MM-DD, or longer, begins with. */
export function beginsWithDate(text: string): boolean {
  return isDate(year(text), two(text, 5), two(text, 8));
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Whether the calendar has this date (JavaScript's own parser takes February 30th for March 2nd). */
export function isDate(year: number, month: number, day: number): boolean {
  const isLeapMonth = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const last = isLeapMonth ? 29 : (monthDays[month - 1] ?? 0);
  return day >= 1 && day <= last;
}

/**
 * Refuses anything but a plain object whose keys are all in `known`; `undefined` counts as an empty one. Gives a copy:
 * each property is read once, so that a getter or proxy cannot answer the check and the use differently.
 */
export function checkOptions<T extends object>(name: string, value: T | undefined, known: readonly string[]): T {
  if (value === undefined) return {} as T;
  return readOnce(name, () => {
    if (typeof value !== 'object' || value === null || !isPlainObject(value)) throw invalid(name, value, 'a plain object');
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
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `${what}; ${didYouMean(key, known) ?? `known are ${known.join(', ')}`}`);
}

/** Refuses anything but an array, and gives what `check` makes of each item; a hole is an item that is `undefined`. */
export function checkArray<T>(name: string, value: unknown, accepted: string, check: (name: string, item: unknown) => T): T[] {
  const items = readOnce(name, () => {
    if (!Array.isArray(value)) throw invalid(name, value, accepted);
    return Array.from(value as unknown[]);
  });
  return items.map((item, index) => check(`${name}[${index}]`, item));
}

/** Refuses anything but a plain object, and gives its keys, each a text, with what `check` makes of their values. */
export function checkRecord<T>(name: string, value: unknown, accepted: string, check: (name: string, item: unknown) => T): [key: string, item: T][] {
  const entries = readOnce(name, () => {
    if (typeof value !== 'object' || value === null || !isPlainObject(value)) throw invalid(name, value, accepted);
    return Object.entries(value);
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
 * Refuses anything but an `AbortSignal` or `undefined`. By what it does: a page of jsdom, a polyfill and another realm have
 * classes of that name of their own.
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

/** Refuses a promise as what a transaction's function gave. */
export function checkSettled<T>(result: T): T {
  if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') {
    throw invalid('what fn returns', result, 'anything but a promise, which would settle after the commit');
  }
  return result;
}

// SQLite's own JSON functions stop at a depth of 1,000; half of that leaves room for what a value is wrapped in.
const maxDepth = 500;

/**
 * A copy of `value` that `JSON.stringify` writes and `JSON.parse` reads back equal. Each property is read once, so a
 * getter or proxy cannot answer the check and the writer differently. Throws `ERR_STORE_SERIALIZATION` for anything that
 * JSON would drop, change or refuse: undefined in an array, NaN, a function, a Map, a BigInt, a Date, a cycle.
 */
export function checkJson(name: string, value: unknown): JsonValue {
  try {
    const copy = copyJson(name, value, 0);
    checkJsonLength(name, copy);
    return copy;
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError('ERR_STORE_SERIALIZATION', `${name} cannot be read: a getter or proxy threw`, { cause: error });
  }
}

/**
 * `JSON.parse`, whose V8 (13.6 and 14.6 at least) takes an escaped key for another one of the same length that it has seen in
 * such an object: `{"a":1,"b\\n":1}` gives the key of `{"a":1,"b\\t":1}`. So a text that is not written again as it was is read
 * with each object as a list of its keys and values, and each list as an object. Throws what `JSON.parse` throws.
 */
export function parseJson(text: string): JsonValue {
  const value = JSON.parse(text) as JsonValue;
  if (!text.includes('\\') || JSON.stringify(value) === text) return value;
  const exchanged: Record<string, string> = { '{': '[', '}': ']', ':': ',', '[': '{"":[', ']': ']}' };
  let isQuoted = false;
  return rebuild(JSON.parse(text.replaceAll(/\\.|["{}[\]:]/g, (token) => {
    if (token === '"') isQuoted = !isQuoted;
    return isQuoted ? token : (exchanged[token] ?? token);
  })));
}

function rebuild(value: unknown): JsonValue {
  if (typeof value !== 'object' || value === null) return value as JsonValue;
  if (!Array.isArray(value)) return (value as { '': unknown[] })[''].map(rebuild);
  // Not an assignment: `__proto__` would set the prototype.
  return Object.fromEntries(Array.from({ length: value.length / 2 }, (_, index) => [value[2 * index], rebuild(value[2 * index + 1])]));
}

function copyJson(name: string, value: unknown, depth: number): JsonValue {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value + 0; // JSON has no -0
  if (typeof value === 'string' && value.isWellFormed()) return value;
  if (typeof value !== 'object') throw notJson(name, value);
  if (depth > maxDepth) {
    throw new StoreError('ERR_STORE_SERIALIZATION', `${name.slice(0, 60)}… is a cycle or deeper than ${maxDepth} levels`);
  }
  // JSON writes neither symbols nor what else an array carries (the `index` of a match).
  if (Object.getOwnPropertySymbols(value).some((key) => Object.prototype.propertyIsEnumerable.call(value, key))) throw notJson(name, value);
  if (Array.isArray(value)) {
    if (Object.keys(value).length > value.length) throw notJson(name, value);
    return Array.from(value, (item, index) => copyJson(`${name}[${index}]`, item, depth + 1));
  }
  if (!isPlainObject(value)) throw notJson(name, value);
  const copy: JsonObject = {};
  for (const key of Object.keys(value)) {
    if (!key.isWellFormed()) throw notJson(`a key of ${name}`, key);
    const item = (value as JsonObject)[key];
    if (item === undefined) continue;
    const checked = copyJson(`${name}.${key}`, item, depth + 1);
    // An assignment to `__proto__` would set the prototype instead of the property.
    if (key === '__proto__') Object.defineProperty(copy, key, { value: checked, enumerable: true, configurable: true, writable: true });
    else copy[key] = checked;
  }
  return copy;
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || (Object.getPrototypeOf(prototype) === null && !types.isProxy(prototype));
}

function notJson(name: string, value: unknown): StoreError {
  return new StoreError('ERR_STORE_SERIALIZATION', `${name} must be a value that JSON carries unchanged, got ${show(value)}`);
}
