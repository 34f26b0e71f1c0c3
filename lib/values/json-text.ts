// JSON as another program wrote it: read to be checked, and kept as the text that it is.
import { types } from 'node:util';
import { invalid } from './checks.ts';
import { checkJson, type JsonObject, type JsonValue } from './json.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that bytes are. Throws `ERR_STORE_INVALID_ARGUMENT` for what is no UTF-8, and for what are no bytes. */
export function checkUtf8(name: string, bytes: unknown): string {
  try {
    if (types.isUint8Array(bytes)) return utf8.decode(bytes);
  } catch {
    // refused below
  }
  throw invalid(name, bytes, 'a text in UTF-8');
}

/** The value of a JSON text. Throws `ERR_STORE_INVALID_ARGUMENT` for what is none. */
export function parseJson(name: string, text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw invalid(name, text, 'JSON');
  }
}

/**
 * A JSON text that this package can read back; as it stands, because written anew 1.0 would be 1 and 2^53 + 1 be 2^53.
 */
export function checkJsonText(name: string, text: string): string {
  checkJson(name, parseJson(name, text));
  return text;
}

/** Refuses anything but an object. */
export function objectOf(name: string, value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, value, 'an object');
  return value as JsonObject;
}

/** The members of the JSON object in a text: each name, and the text of its value exactly as it stands. */
export function membersOf(name: string, json: string): Map<string, string> {
  objectOf(name, parseJson(name, json)); // from here on every character is where the grammar has it
  const members = new Map<string, string>();
  const add = (key: string, text: string): void => {
    const member = JSON.parse(key) as string;
    // A parser keeps the last one and drops the others, without a word.
    if (members.has(member)) throw invalid(name, member, 'an object that has each name once');
    members.set(member, text);
  };
  let depth = 0;
  let start = 0;
  let colon = 0;
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '"') at = endOfString(json, at);
    else if (character === ':' && depth === 1) colon = at;
    else if (character === '{' || character === '[') start = depth++ === 0 ? at + 1 : start;
    else if (character === ',' ? depth === 1 : (character === '}' || character === ']') && --depth === 0) {
      if (colon > start) add(json.slice(start, colon), json.slice(colon + 1, at).trim());
      start = at + 1;
    }
  }
  return members;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}

/** The text of an object whose values are there as texts already. */
export function objectText(members: Iterable<readonly [name: string, text: string]>): string {
  return `{${Array.from(members, ([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`;
}
