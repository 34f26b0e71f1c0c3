// A line of the ledger: how an audit row becomes text and back. Pure functions, no I/O.
import { isUtf8 } from 'node:buffer';
import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { types } from 'node:util';
import { type Anchor, genesisHash, hashedColumns, hashedNames, rowHash } from '../core/chain.ts';
import type { FormerIdentity } from '../core/identity.ts';
import { checkOptions, invalid } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import type { RawLine } from './read-lines.ts';
import type { LedgerRow } from './rows.ts';

/**
 * A line of the ledger: one row of the audit log. `data` and `meta` are strings that hold the exact stored text,
 * because a number that is parsed and written again may change (1.5e-7). `blob` names those of `at`, `type` and `data`
 * that hold the hexadecimal digits of a BLOB, which only an adopted row can have. `prev` and `hash` are those of the
 * chain (`lib/core/chain.ts`); `sig` is the Ed25519 signature, base64, over the 64 ASCII digits of the hash. `more`
 * says that the next line belongs to the same group of events, which were committed together; it is not hashed.
 */
export interface LedgerLine extends HashedFields {
  id: number;
  blob?: FieldOf<false>[] | undefined;
  prev: string;
  hash: string;
  more?: true | undefined;
  sig?: string | undefined;
}

type Hashed = (typeof hashedColumns)[keyof typeof hashedColumns];
type FieldOf<IsOptional> = Extract<Hashed, { isOptional: IsOptional }>['field'];
/** `at`, `type`, `data` and, where the event has attributes, `meta`. */
type HashedFields = Record<FieldOf<false>, string> & { [Field in FieldOf<true>]?: string | undefined };

/**
 * The first line: it names the format and the store. `created` is when the store was made. `after` is the row before
 * the first line, where that is in an archive; the first line of a ledger without it is the store's first row.
 * `renewed` has the identities that the store had before, oldest first. Fields that a newer version has added stand
 * behind these, and stay.
 */
export interface LedgerHeader {
  format: 'shepherd-store ledger 1';
  store: string;
  created: string;
  after?: Anchor | undefined;
  renewed?: readonly FormerIdentity[] | undefined;
}

/** The text of the first line, with its newline. */
export function headerText({ store, created, after, renewed = [] }: Omit<LedgerHeader, 'format'>): string {
  const from = after && { id: after.id, hash: after.hash };
  const before = renewed.map((former) => ({ store: former.store, until: former.until }));
  const told = { after: from, renewed: before.length > 0 ? before : undefined };
  return `${JSON.stringify({ format: 'shepherd-store ledger 1', store, created, ...told })}\n`;
}

/** Parses a header, which must begin exactly as `headerText` writes it; `undefined` for anything else. */
export function parseHeader(bytes: Buffer): LedgerHeader | undefined {
  const { text, value: { format, store, created, ...others } = {} } = parseObject(bytes);
  if (format !== 'shepherd-store ledger 1') return undefined;
  if (typeof store !== 'string' || typeof created !== 'string') return undefined;
  if (text !== JSON.stringify({ format, store, created, ...others })) return undefined;
  const { after, renewed } = others as Pick<LedgerHeader, 'after' | 'renewed'>;
  const isExact = (given: unknown, read: unknown): boolean => JSON.stringify(given) === JSON.stringify(read);
  if (after !== undefined && !(isRow(after) && isExact(after, { id: after.id, hash: after.hash }))) return undefined;
  const before = renewed === undefined ? undefined : parseRenewed(renewed);
  if (!isExact(renewed, before)) return undefined;
  const told = { ...(after ? { after } : undefined), ...(before ? { renewed: before } : undefined) };
  return { format, store, created, ...told };
}

function isRow(after: Anchor | null): after is Anchor {
  return Number.isSafeInteger(after?.id) && after!.id >= 1 && /^[0-9a-f]{64}$/.test(after!.hash);
}

/** The identities in a header; `undefined` for what none of them can be. */
function parseRenewed(given: unknown): FormerIdentity[] | undefined {
  if (!Array.isArray(given) || given.length === 0) return undefined;
  const renewed = (given as (FormerIdentity | null)[]).map((each) => ({ store: each?.store, until: each?.until }));
  const isEach = renewed.every(({ store, until }, index) => {
    const before = renewed[index - 1]?.until ?? 0;
    return typeof store === 'string' && Number.isSafeInteger(until) && (until as number) > before;
  });
  return isEach ? (renewed as FormerIdentity[]) : undefined;
}

/** The row that a ledger begins behind: the last archived one, or id 0 and the hash that stands for none. */
export function beginningOf({ store, after, renewed }: Pick<LedgerHeader, 'store' | 'after' | 'renewed'>): Anchor {
  return after ?? { id: 0, hash: genesisHash(renewed?.[0]?.store ?? store) };
}

/** The text of a line, with its newline. */
export function lineText(line: LedgerLine): string {
  return `${encodeLine(line)}\n`;
}

/** The order of the fields is part of the format. */
function encodeLine(line: LedgerLine): string {
  const ordered: Record<string, unknown> = {};
  for (const field of lineFields) ordered[field] = line[field];
  return JSON.stringify(ordered);
}

const hashedFields = Object.values(hashedColumns).map(({ field }) => field);
const blobFields = fieldsOf(false);
const lineFields: readonly (keyof LedgerLine)[] = ['id', ...hashedFields, 'blob', 'prev', 'hash', 'more', 'sig'];
const optionalTexts = [...fieldsOf(true), 'sig'] as const;
const requiredTexts = [...blobFields, 'prev', 'hash'] as const;

function fieldsOf<IsOptional extends boolean>(isOptional: IsOptional): FieldOf<IsOptional>[] {
  const fields = Object.values(hashedColumns).filter((each) => each.isOptional === isOptional);
  return fields.map(({ field }) => field as FieldOf<IsOptional>);
}

/** Parses a line, which must be exactly as `lineText` writes it, whatever its hash; `undefined` for anything else. */
export function parseLine(bytes: Buffer): LedgerLine | undefined {
  const { text, value } = parseObject(bytes);
  if (!value) return undefined;
  const { id, more = true } = value;
  if (!Number.isSafeInteger(id) || (id as number) < 1 || more !== true) return undefined;
  if (requiredTexts.some((field) => typeof value[field] !== 'string')) return undefined;
  if (optionalTexts.some((field) => value[field] !== undefined && typeof value[field] !== 'string')) return undefined;
  const line = value as unknown as LedgerLine;
  if (line.blob !== undefined && !hasBlobs(line)) return undefined;
  return text === encodeLine(line) ? line : undefined; // to compare without the newline saves two copies of each line
}

/** A copy of a caller's line, whatever its hash. Throws `ERR_STORE_INVALID_ARGUMENT` for what no ledger can hold. */
export function checkLine(value: LedgerLine): LedgerLine {
  const given = checkOptions('line', value, lineFields);
  let line: LedgerLine | undefined;
  try {
    line = parseLine(Buffer.from(encodeLine(given)));
  } catch {
    // JSON has no BigInt and no cycle: such a line is refused below
  }
  if (!line) throw invalid('line', value, 'a line as the ledger gives it');
  return line;
}

/** Decodes bytes and parses a JSON object. Only UTF-8 is accepted, where one text has exactly one encoding. */
function parseObject(bytes: Buffer): { text?: string; value?: Record<string, unknown> } {
  if (!isUtf8(bytes)) return {};
  const text = bytes.toString();
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? { text, value: value as Record<string, unknown> } : {};
  } catch {
    return {}; // the caller reports which line it was
  }
}

/** Whether `blob` names one or more of its fields, in their order, and these hold hexadecimal digits. */
function hasBlobs(line: LedgerLine): boolean {
  const named = blobFields.filter((field) => Array.isArray(line.blob) && line.blob.includes(field));
  const isNamed = named.length > 0 && named.join() === line.blob?.join();
  return isNamed && named.every((field) => /^([0-9a-f]{2})*$/.test(line[field]));
}

/** The hash of the line's content, which is the hash of its row. */
export function lineHash(line: LedgerLine): string {
  return rowHash(line.prev, toRow(line));
}

/** Whether the line's hash is that of its content. Only a caller that knows the line before can check `prev`. */
export function isSound(line: LedgerLine): boolean {
  return lineHash(line) === line.hash;
}

/** The line in these bytes, where it is whole and has the hash of its content. */
export function soundLine({ bytes, complete }: RawLine): LedgerLine | undefined {
  const line = bytes && complete ? parseLine(bytes) : undefined;
  return line && isSound(line) ? line : undefined;
}

/**
 * Whether a file is a ledger whose damaged beginning has no header, or that of another store: it holds a sound line, or
 * nothing but zeros.
 */
export function hasLostHeader(header: LedgerHeader | undefined, lines: Iterable<RawLine>): boolean {
  let isBlank = true;
  for (const { number, bytes } of lines) {
    isBlank &&= bytes !== undefined && bytes.every((byte) => byte === 0);
    const line = number > 1 && bytes ? parseLine(bytes) : undefined;
    if (header && number > 1) {
      const { id, hash } = beginningOf(header);
      return line?.id === id + 1 && isSound(line) && line.prev !== hash;
    }
    if (line && isSound(line)) return true;
  }
  return !header && isBlank;
}

/** A row of the audit log as a line. */
export function toLine(row: LedgerRow): LedgerLine {
  const line: Record<string, unknown> = { id: row.id, prev: row.previous, hash: row.hash };
  const blob: string[] = [];
  for (const name of hashedNames) {
    const { field } = hashedColumns[name];
    const value = row[name];
    if (value !== null && typeof value !== 'string') blob.push(field);
    if (value !== null) line[field] = typeof value === 'string' ? value : Buffer.from(value).toString('hex');
  }
  if (blob.length > 0) line['blob'] = blob;
  if (row.more) line['more'] = true;
  if (row.signature !== null) line['sig'] = row.signature;
  return line as unknown as LedgerLine;
}

/** A line as a row of the audit log. */
export function toRow(line: LedgerLine): LedgerRow {
  const { id, prev, hash, sig, more } = line;
  const blob: readonly string[] = line.blob ?? [];
  const row: Record<string, unknown> = { id, previous: prev, hash, signature: sig ?? null, more: more === true };
  for (const name of hashedNames) {
    const { field } = hashedColumns[name];
    const text = line[field] ?? null;
    row[name] = blob.includes(field) ? Buffer.from(text!, 'hex') : text;
  }
  return row as unknown as LedgerRow;
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
  // The message names only the type of the value, because the key must not appear in any message.
  if (!types.isKeyObject(parsed) || parsed.type !== 'private' || parsed.asymmetricKeyType !== 'ed25519') {
    throw invalid('options.signingKey', typeof key, accepted);
  }
  return parsed;
}

/** Whether these bytes are no text, given that the end of a page may cut a character. */
export function isNoise(page: Buffer): boolean {
  return page.includes(0) || [0, 1, 2, 3].every((cut) => !isUtf8(page.subarray(0, page.length - cut)));
}

/** Whether these bytes are the part of a header that a crash leaves. */
export function isHeaderStart(bytes: Buffer): boolean {
  const whole = headerText({ store: '', created: '' });
  const opening = whole.slice(0, whole.indexOf('""'));
  const text = bytes.toString('latin1');
  return !text.includes('\n') && (opening.startsWith(text) || text.startsWith(opening));
}
