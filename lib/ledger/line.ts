// A line of the ledger: how an audit row becomes text and back. Pure functions, no I/O.
import { isUtf8 } from 'node:buffer';
import { createPrivateKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { types } from 'node:util';
import { genesisHash, rowHash } from '../chain.ts';
import { StoreError } from '../errors.ts';
import type { MirroredRow } from '../mirror-port.ts';
import { checkOptions, invalid } from '../values.ts';
import type { RawLine } from './read-lines.ts';

/**
 * A line of a ledger: one row of the audit log. `data` and `meta` are strings that hold the exact stored text, because a
 * number that is parsed and written again may change (1.5e-7). `blob` names those of `at`, `type` and `data` that hold the
 * hexadecimal digits of a BLOB, as only an adopted row has it. `prev` and `hash` are those of the chain (`lib/chain.ts`);
 * `sig` is the Ed25519 signature, base64, over the 64 ASCII digits of the hash. `more` says that the group of events that
 * were committed together goes on with the next line; it is not hashed.
 */
export interface LedgerLine {
  id: number;
  at: string;
  type: string;
  data: string;
  meta?: string;
  blob?: ('at' | 'type' | 'data')[];
  prev: string;
  hash: string;
  more?: true;
  sig?: string;
}

/** The first line: what the file is, and whose. `created` is when the store was made. */
export interface LedgerHeader {
  format: 'shepherd-store ledger 1';
  store: string;
  created: string;
}

/** The text of the first line, with its newline. */
export function headerText(store: string, created: string): string {
  return `${JSON.stringify({ format: 'shepherd-store ledger 1', store, created } satisfies LedgerHeader)}\n`;
}

/** The header that these bytes are, exactly as `headerText` writes it; `undefined` for anything else. */
export function parseHeader(bytes: Buffer): LedgerHeader | undefined {
  const { text, value: { format, store, created } = {} } = parseObject(bytes);
  if (format !== 'shepherd-store ledger 1' || typeof store !== 'string' || typeof created !== 'string') return undefined;
  return `${text}\n` === headerText(store, created) ? { format, store, created } : undefined;
}

/** The text of a line, with its newline. */
export function lineText(line: LedgerLine): string {
  return `${encodeLine(line)}\n`;
}

/** The order of the fields is part of the format. */
function encodeLine({ id, at, type, data, meta, blob, prev, hash, more, sig }: LedgerLine): string {
  return JSON.stringify({ id, at, type, data, meta, blob, prev, hash, more, sig });
}

/** The line that these bytes are, exactly as `lineText` writes it, whatever its hash; `undefined` for anything else. */
export function parseLine(bytes: Buffer): LedgerLine | undefined {
  const { text, value } = parseObject(bytes);
  if (!value) return undefined;
  const { id, at, type, data, meta = '', prev, hash, more = true, sig = '' } = value;
  if (!Number.isSafeInteger(id) || (id as number) < 1 || more !== true) return undefined;
  if ([at, type, data, meta, prev, hash, sig].some((field) => typeof field !== 'string')) return undefined;
  const line = value as unknown as LedgerLine;
  if (line.blob !== undefined && !hasBlobs(line)) return undefined;
  return text === encodeLine(line) ? line : undefined; // without the newline: two copies of each line less
}

const lineFields: readonly (keyof LedgerLine)[] = ['id', 'at', 'type', 'data', 'meta', 'blob', 'prev', 'hash', 'more', 'sig'];

/** A copy of a caller's line, whatever its hash. Throws `ERR_STORE_INVALID_ARGUMENT` for what no ledger could hold. */
export function checkLine(value: LedgerLine): LedgerLine {
  const given = checkOptions('line', value, lineFields);
  let line: LedgerLine | undefined;
  try {
    line = parseLine(Buffer.from(encodeLine(given)));
  } catch {
    // a BigInt, a cycle: refused below
  }
  if (!line) throw invalid('line', value, 'a line as the ledger gives it');
  return line;
}

/** The text of bytes that are UTF-8, which is then one to one with them; and the object that it is the JSON of. */
function parseObject(bytes: Buffer): { text?: string; value?: Record<string, unknown> } {
  if (!isUtf8(bytes)) return {};
  const text = bytes.toString();
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? { text, value: value as Record<string, unknown> } : {};
  } catch {
    return {}; // whoever asks says which line it was
  }
}

const blobFields = ['at', 'type', 'data'] as const;

/** Whether `blob` is as it is written: one or more of the three, in their order, each with digits in its place. */
function hasBlobs(line: LedgerLine): boolean {
  const named = blobFields.filter((field) => Array.isArray(line.blob) && line.blob.includes(field));
  return named.length > 0 && named.join() === line.blob?.join() && named.every((field) => /^([0-9a-f]{2})*$/.test(line[field]));
}

/** The hash of the line's content, which is that of the row. */
export function lineHash(line: LedgerLine): string {
  return rowHash(line.prev, toRow(line));
}

/** Whether the line's hash is that of its content. Whether `prev` is the line before is for who knows that line. */
export function isSound(line: LedgerLine): boolean {
  return lineHash(line) === line.hash;
}

/**
 * Whether a file was a ledger and has no header, or another store's, because its beginning was damaged: a sound line stands
 * in it, or nothing but zeros.
 */
export function hasLostHeader(header: LedgerHeader | undefined, lines: Iterable<RawLine>): boolean {
  let isBlank = true;
  for (const { number, bytes } of lines) {
    isBlank &&= bytes !== undefined && bytes.every((byte) => byte === 0);
    const line = number > 1 && bytes ? parseLine(bytes) : undefined;
    if (header && number > 1) return line?.id === 1 && isSound(line) && line.prev !== genesisHash(header.store);
    if (line && isSound(line)) return true;
  }
  return !header && isBlank;
}

/** A row of the audit log as a line. */
export function toLine({ id, timestamp, type, data, meta, previous, hash, signature, more }: MirroredRow): LedgerLine {
  const values = { at: timestamp, type, data };
  const blob = blobFields.filter((field) => typeof values[field] !== 'string');
  const text = (value: string | Uint8Array): string => (typeof value === 'string' ? value : Buffer.from(value).toString('hex'));
  return {
    id, at: text(timestamp), type: text(type), data: text(data), ...(meta === null ? undefined : { meta }), ...(blob.length > 0 ? { blob } : undefined),
    prev: previous, hash, ...(more ? { more } : undefined), ...(signature === null ? undefined : { sig: signature }),
  };
}

/** A line as a row of the audit log. */
export function toRow({ id, at, type, data, meta, blob, prev, hash, sig, more }: LedgerLine): MirroredRow {
  const row: MirroredRow = { id, timestamp: at, type, data, meta: meta ?? null, previous: prev, hash, signature: sig ?? null, more: more === true };
  if (blob?.includes('at')) row.timestamp = Buffer.from(at, 'hex');
  if (blob?.includes('type')) row.type = Buffer.from(type, 'hex');
  if (blob?.includes('data')) row.data = Buffer.from(data, 'hex');
  return row;
}

/** The signature of a hash: Ed25519 (RFC 8032) over its 64 ASCII digits, base64. */
export function signHash(hash: string, key: KeyObject): string {
  return sign(null, Buffer.from(hash), key).toString('base64');
}

/** Refuses anything but an Ed25519 private key. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkSigningKey(key: KeyObject | string): KeyObject {
  const accepted = 'an Ed25519 private key, as a KeyObject or PEM text';
  let parsed: unknown = key;
  if (typeof key === 'string') {
    try {
      parsed = createPrivateKey(key);
    } catch (cause) {
      throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `options.signingKey must be ${accepted}`, { cause });
    }
  }
  // The key itself is not part of any message.
  if (!types.isKeyObject(parsed) || parsed.type !== 'private' || parsed.asymmetricKeyType !== 'ed25519') {
    throw invalid('options.signingKey', typeof key, accepted);
  }
  return parsed;
}

/** Whether these bytes are no text; the end of a page may cut a character. */
export function isNoise(page: Buffer): boolean {
  return page.includes(0) || [0, 1, 2, 3].every((cut) => !isUtf8(page.subarray(0, page.length - cut)));
}

/** Whether these bytes are what a crash leaves of a header. */
export function isHeaderStart(bytes: Buffer): boolean {
  const opening = headerText('', '').slice(0, headerText('', '').indexOf('""'));
  const text = bytes.toString('latin1');
  return !text.includes('\n') && (opening.startsWith(text) || text.startsWith(opening));
}
