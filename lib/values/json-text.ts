// JSON as another program wrote it: read to be checked, and kept as the text that it is.
import { types } from 'node:util';
import { invalid } from './checks.ts';
import { checkJson, type JsonObject, type JsonValue } from './json.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes UTF-8 bytes. Throws `ERR_STORE_INVALID_ARGUMENT` for invalid UTF-8 and for a value that is not bytes. */
export function checkUtf8(name: string, bytes: unknown): string {
  try {
    if (types.isUint8Array(bytes)) return utf8.decode(bytes);
  } catch {
    // refused below
  }
  throw invalid(name, bytes, 'a text in UTF-8');
}

/** Parses a JSON text. Throws `ERR_STORE_INVALID_ARGUMENT` for a text that is not JSON. */
export function jsonOf(name: string, text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw invalid(name, text, 'JSON');
  }
}

/**
 * Checks that this package can read a JSON text back, and returns the text unchanged: written again, 1.0 would become 1
 * and 2^53 + 1 would become 2^53.
 */
export function checkJsonText(name: string, text: string): string {
  checkJson(name, jsonOf(name, text));
  return text;
}

export function objectOf(name: string, value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, value, 'an object');
  return value as JsonObject;
}

/** Lists the members of the JSON object in a text: each name with the unchanged text of its value. */
export function membersOf(name: string, json: string): Map<string, string> {
  objectOf(name, jsonOf(name, json)); // so the scan below can rely on the JSON grammar
  const members = new Map<string, string>();
  const add = (key: string, text: string): void => {
    const member = JSON.parse(key) as string;
    // JSON.parse would silently keep the last of two members with one name and drop the other.
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

/** Writes the JSON text of an object whose values are JSON texts already. */
export function objectText(members: Iterable<readonly [name: string, text: string]>): string {
  return `{${Array.from(members, ([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`;
}
