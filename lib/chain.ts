// The hash chain over the audit log: pure functions, no I/O.
import { hash } from 'node:crypto';

/** The columns of an audit row that its hash covers, exactly as they are stored. `meta` is null where there is none. */
export interface ChainedRow {
  id: number;
  timestamp: string;
  type: string;
  data: string | Uint8Array;
  meta: string | null;
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
 * separates it from every other use of SHA-256 and carries the version of this format. (An event_data that is a BLOB,
 * which only an adopted file can hold, stands as `x<length>:` and its hexadecimal digits.)
 */
export function rowHash(previous: string, row: ChainedRow): string {
  const { id, timestamp, type, data, meta } = row;
  const body = typeof data === 'string' ? framed(data) : `x${framed(Buffer.from(data).toString('hex'))}`;
  return hash(
    'sha256',
    `shepherd-store audit v1\n${previous}\n${id}\n${framed(timestamp)}${framed(type)}${body}${meta === null ? '-\n' : framed(meta)}`,
  );
}

function framed(text: string): string {
  return `${Buffer.byteLength(text)}:${text}\n`;
}
