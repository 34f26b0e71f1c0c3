// The hash chain over the audit log, and what a row of the log consists of: pure functions, no I/O.
import { hash } from 'node:crypto';
import { checkInteger, checkOptions, invalid } from '../values/checks.ts';

/** A row's id and hash (64 hexadecimal digits). Kept elsewhere, it proves every row of the log up to this one. */
export interface Anchor {
  id: number;
  hash: string;
}

/** Checks an anchor that a caller gives. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkAnchor(name: string, anchor: Anchor): Anchor {
  const { id, hash: digits } = checkOptions(name, anchor, ['id', 'hash']);
  checkInteger(`${name}.id`, id, 1);
  if (typeof digits === 'string' && /^[0-9a-f]{64}$/.test(digits)) return { id, hash: digits };
  throw invalid(`${name}.hash`, digits, '64 hexadecimal digits, a to f small');
}

/**
 * The values of a row of the audit log that its hash covers, exactly as stored. Only an adopted row can hold a BLOB.
 */
export interface ChainedRow {
  id: number;
  timestamp: string | Uint8Array;
  type: string | Uint8Array;
  data: string | Uint8Array;
  /** `null` where the event has no attributes. */
  meta: string | null;
}

/**
 * What a row's hash covers besides its id, in the order in which it covers it: the column of `audit_log`, and the field
 * in a line of a ledger. The statements that insert and read rows, the lines, the hash and its check take them from
 * here. An optional column is NULL, and its field missing, where there is nothing to say; it never holds a BLOB.
 */
export const hashedColumns = {
  timestamp: { column: 'timestamp', field: 'at', isOptional: false },
  type: { column: 'event_type', field: 'type', isOptional: false },
  data: { column: 'event_data', field: 'data', isOptional: false },
  meta: { column: 'event_meta', field: 'meta', isOptional: true },
} as const;

type HashedName = keyof typeof hashedColumns;

/** Their names. The compiler refuses this line where a value of a `ChainedRow` is not hashed. */
export const hashedNames: HashedName[] = Object.keys(hashedColumns) as Exclude<keyof ChainedRow, 'id'>[];

/** The columns of a `ChainedRow` for a SELECT; `chainedRow` converts the rows that it gives. */
export const chainedColumns: string = ['id', ...Object.values(hashedColumns).map(({ column }) => column)].join(', ');

/** The `ChainedRow` in the first values of a row read with `chainedColumns`; what is missing behind them is `null`. */
export function chainedRow(values: readonly unknown[]): ChainedRow {
  const row: Record<string, unknown> = { id: values[0] };
  for (let index = 0; index < hashedNames.length; index++) row[hashedNames[index]!] = values[index + 1] ?? null;
  return row as unknown as ChainedRow;
}

/**
 * The predecessor of a store's first row, 64 hexadecimal digits: SHA-256 of the two lines
 *
 *     shepherd-store genesis v1\n
 *     <the store's UUID>\n
 *
 * so that a row of one store never fits into another's log.
 */
export function genesisHash(uuid: string): string {
  return hash('sha256', `shepherd-store genesis v1\n${uuid}\n`);
}

/**
 * The hash of a row, 64 hexadecimal digits: SHA-256 of the UTF-8 text of seven lines
 *
 *     shepherd-store audit v1\n
 *     <the previous row's hash>\n
 *     <id, decimal>\n
 *     <length>:<timestamp>\n
 *     <length>:<event_type>\n
 *     <length>:<event_data>\n
 *     <length>:<event_meta>\n       or  -\n  where event_meta is NULL
 *
 * with each length in bytes of UTF-8. The lengths make the framing unambiguous whatever the texts hold; the first line
 * separates it from every other use of SHA-256 and carries the version of this format. (A timestamp, event_type or
 * event_data that is a BLOB, which only an adopted file can hold, stands as `x<length>:` and its hexadecimal digits.)
 */
export function rowHash(previous: string, row: ChainedRow): string {
  // toFixed: V8 keeps the texts of the numbers that templates make, and a million of them cost 20 to 50 MB.
  let text = `shepherd-store audit v1\n${previous}\n${row.id.toFixed()}\n`;
  for (const name of hashedNames) text += framed(row[name]);
  return hash('sha256', text);
}

function framed(value: string | Uint8Array | null): string {
  if (value === null) return '-\n';
  if (typeof value === 'string') return `${Buffer.byteLength(value)}:${value}\n`;
  return `x${framed(Buffer.from(value).toString('hex'))}`;
}
