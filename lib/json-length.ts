// How long the JSON of a value would be, found out without building it: V8 (14.6) ends the whole process where two texts
// of 300 million characters are written one after the other, and throws a RangeError without a code beyond 512 million.
import { StoreError } from './errors.ts';

/** The longest text, and the longest JSON of a value, in characters. One this long makes half a gigabyte of copies. */
export const maxTextLength = 2 ** 27;

/** Refuses a value that JSON carries and whose text would be too long. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkJsonLength(name: string, value: unknown): void {
  const length = lengthOf(value, (text) => text.length);
  // No character takes more than six, so that nothing has to be looked at one by one in nearly all cases.
  if (6 * length <= maxTextLength) return;
  if (length <= maxTextLength && lengthOf(value, (text) => text.length + escapesIn(text)) <= maxTextLength) return;
  const limit = `more than ${maxTextLength} characters`;
  throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${name} is too large: its JSON would have ${limit}`);
}

/** By how many characters a text is longer in JSON, without its quotes. */
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
  if (typeof value !== 'object' || value === null) return 25; // a number has no more digits
  let length = 2;
  if (Array.isArray(value)) for (const item of value) length += lengthOf(item, ofText);
  else for (const [key, item] of Object.entries(value)) length += ofText(key) + 4 + lengthOf(item, ofText);
  return length;
}
