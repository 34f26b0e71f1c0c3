// Adoption: a database of the four tables alone becomes a store.
import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { chainedRow, genesisHash, rowHash } from '../core/chain.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { encodeState } from '../core/state.ts';
import { StoreError } from '../values/errors.ts';
import { checkUtf8, objectText } from '../values/json-text.ts';
import { mark } from './create.ts';
import { readForeignState } from './foreign-state.ts';

/**
 * Takes a database from version 0 to 1 inside the caller's transaction. `script` copies the rows, SQL functions made
 * here chain them, and an event records which ids were there before. Throws `ERR_STORE_MIGRATION` if the log cannot be
 * continued after these ids.
 */
export function adopt(db: DatabaseSync, now: Date, script: () => void): void {
  checkIds(db);
  const uuid = randomUUID();
  let head = genesisHash(uuid);
  let lastId = 0;
  const gaps: [number, number][] = [];
  let moreGaps = 0;
  db.function('chain_hash', { directOnly: true }, (given, timestamp, type, data) => {
    const id = Number(given);
    if (id <= lastId) {
      const message = `audit_log has two rows with one id, or one without: ${String(given)}`;
      throw new StoreError('ERR_STORE_MIGRATION', message);
    }
    if (id !== lastId + 1) {
      if (gaps.length < 1000) gaps.push([lastId + 1, id - 1]);
      else moreGaps++;
    }
    lastId = id;
    // A value may have any type here: every later reader of the adopted row gets the same value and the same hash.
    head = rowHash(head, chainedRow([id, timestamp, type, data]));
    return head;
  });
  // node:sqlite makes U+FFFD of bytes that are no UTF-8, and Node 24's ends a text at its first NUL. Such a text stays
  // as a BLOB of the same bytes, or the adopted row would look tampered with at once, or under another Node.
  db.function('readable', { directOnly: true, deterministic: true }, (given) => {
    const bytes = given as Uint8Array | null;
    if (bytes === null) return null; // SQLite refuses it, and names the column
    return isUtf8(bytes) && !bytes.includes(0) ? Buffer.from(bytes).toString() : bytes;
  });
  let eventFields = '';
  db.function('adopted_snapshot', { directOnly: true }, (bytes) => {
    const adopted = adoptSnapshot(bytes);
    eventFields = adopted.eventFields;
    return adopted.data;
  });
  script();
  mark(db, uuid, now.toISOString());
  const id = lastId + 1;
  const counted = JSON.stringify({ upToId: lastId, gaps, ...(moreGaps > 0 ? { moreGaps } : undefined) });
  const data = `${counted.slice(0, -1)}${eventFields}}`;
  const values = [id, now.toISOString(), 'store_adopted', data] as const;
  const sql = 'INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (?, ?, ?, ?, ?)';
  db.prepare(sql).run(...values, rowHash(head, chainedRow(values)));
  db.prepare('UPDATE store_meta SET adopted_id = ? WHERE id = 1').run(id);
}

/**
 * Converts the state in the snapshot row to this package's form. `data` is null if the state cannot be read whole: the
 * row then stays as it is, so that loading it throws instead of silently losing a session. `eventFields` is the part of
 * the event about it: why it cannot be read, or the unchanged text of the fields that a state has no place for.
 */
function adoptSnapshot(bytes: unknown): { data: string | null; eventFields: string } {
  try {
    const { state, unknown } = readForeignState(checkUtf8('the snapshot', bytes));
    const eventFields = unknown.size > 0 ? `,"snapshotFields":${objectText(unknown)}` : '';
    return { data: encodeState(state), eventFields };
  } catch (error) {
    return { data: null, eventFields: `,"unreadableSnapshot":${JSON.stringify((error as Error).message)}` };
  }
}

/** Refuses ids that are not positive whole numbers below 2^52, where JavaScript still counts exactly past the last. */
function checkIds(db: DatabaseSync): void {
  const statement = db.prepare('SELECT min(id) AS first, max(id) AS last FROM audit_log');
  statement.setReadBigInts(true);
  const { first, last } = statement.get() as { first: unknown; last: unknown };
  const isId = (id: unknown): boolean => id === null || (typeof id === 'bigint' && id > 0n && id < 2n ** 52n);
  if (isId(first) && isId(last)) return;
  const rule = 'the log can only go on after whole numbers from 1 to 2^52 - 1';
  const message = `audit_log has ids from ${String(first)} to ${String(last)}, and ${rule}`;
  throw new StoreError('ERR_STORE_MIGRATION', message);
}
