// JSON values: what is carried there and back unchanged, and how long its text would be.
import { isPlainObject, maxTextLength, show } from './checks.ts';
import { StoreError } from './errors.ts';

/** Refuses a JSON value whose text would be too long. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkJsonLength(name: string, value: unknown): void {
  const length = lengthOf(value, (text) => text.length);
  // A character takes at most six in JSON, so nearly all values pass without a look at every character.
  if (6 * length <= maxTextLength) return;
  if (length <= maxTextLength && lengthOf(value, (text) => text.length + escapesIn(text)) <= maxTextLength) return;
  const limit = `more than ${maxTextLength} characters`;
  throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${name} is too large: its JSON would have ${limit}`);
}

/** Counts the characters that escaping adds to a text in JSON, without the quotes around it. */
export function escapesIn(text: string): number {
  let escapes = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x22 || code === 0x5c) escapes++;
    else if (code < 0x20) escapes += 5;
  }
  return escapes;
}

function lengthOf(value: unknown, ofText: (text: string) => number): number {
  if (typeof value === 'string') return ofText(value) + 3;
  if (typeof value !== 'object' || value === null) return 25; // no number is longer
  let length = 2;
  if (Array.isArray(value)) for (const item of value) length += lengthOf(item, ofText);
  else for (const [key, item] of Object.entries(value)) length += ofText(key) + 4 + lengthOf(item, ofText);
  return length;
}

/** A value that JSON writes and reads back unchanged. A property whose value is `undefined` counts as absent. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue | undefined };
/** An object among these values. */
export type JsonObject = { [key: string]: JsonValue | undefined };

// SQLite's JSON functions refuse a depth over 1,000. Half of it leaves room for the objects that wrap a value.
const maxDepth = 500;

/**
 * Returns a copy of `value` that `JSON.stringify` writes and `JSON.parse` reads back equal. Each property is read once,
 * so a getter or proxy cannot answer the check and the writer differently. Throws `ERR_STORE_SERIALIZATION` for what
 * JSON would drop, change or refuse: undefined in an array, NaN, a function, a Map, a BigInt, a Date, a cycle.
 */
export function checkJson(name: string, value: unknown): JsonValue {
  try {
    const copy = copyJson(name, value, 0);
    checkJsonLength(name, copy);
    return copy;
  } catch (error) {
    if (error instanceof StoreError) throw error;
    const message = `${name} cannot be read: a getter or proxy threw`;
    throw new StoreError('ERR_STORE_SERIALIZATION', message, { cause: error });
  }
}

/**
 * Parses JSON without a fault of V8 (13.6 and 14.6 at least): `JSON.parse` takes an escaped key for another key of the
 * same length that it has seen in a similar object, so `{"a":1,"b\\n":1}` gets the key of `{"a":1,"b\\t":1}`. A text
 * that `JSON.stringify` would not write back unchanged is therefore parsed with each object as a list of its keys and
 * values, and each list as an object. Throws what `JSON.parse` throws.
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
  // Object.fromEntries also sets `__proto__` as a property, where an assignment would set the prototype.
  const entries = Array.from({ length: value.length / 2 }, (_, index) => value.slice(2 * index, 2 * index + 2));
  return Object.fromEntries(entries.map(([key, item]) => [key, rebuild(item)]));
}

function copyJson(name: string, value: unknown, depth: number): JsonValue {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value + 0; // JSON has no -0
  if (typeof value === 'string' && value.isWellFormed()) return value;
  if (typeof value !== 'object') throw notJson(name, value);
  if (depth > maxDepth) {
    const message = `${name.slice(0, 60)}… is a cycle or deeper than ${maxDepth} levels`;
    throw new StoreError('ERR_STORE_SERIALIZATION', message);
  }
  // JSON drops symbols and any named property of an array, such as the `index` of a match.
  const isWritten = (key: symbol): boolean => Object.prototype.propertyIsEnumerable.call(value, key);
  if (Object.getOwnPropertySymbols(value).some(isWritten)) throw notJson(name, value);
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
    const descriptor = { value: checked, enumerable: true, configurable: true, writable: true };
    if (key === '__proto__') Object.defineProperty(copy, key, descriptor);
    else copy[key] = checked;
  }
  return copy;
}

function notJson(name: string, value: unknown): StoreError {
  const message = `${name} must be a value that JSON carries unchanged, got ${show(value)}`;
  return new StoreError('ERR_STORE_SERIALIZATION', message);
}
