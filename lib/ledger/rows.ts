// The rows of the audit log as a ledger gets them.
import { type Anchor, chainedColumns, chainedRow, type ChainedRow, rowHash } from '../core/chain.ts';
import { checkAdvance } from '../core/log.ts';
import type { LogReader } from '../reading/filter.ts';
import { StoreError } from '../values/errors.ts';

/** A row of the audit log as a line keeps it: the exact stored values. */
export interface LedgerRow extends ChainedRow {
  previous: string;
  hash: string;
  signature: string | null;
  /** Whether the next row belongs to the same group of events. */
  more: boolean;
}

/** A row of the log as the database has it, which does not store the hash of the row before. */
export type StoredRow = Omit<LedgerRow, 'previous' | 'more'>;

const hashAt = chainedColumns.split(',').length;
const columns = `${chainedColumns}, event_hash, signature`;

function storedRow(values: readonly unknown[]): StoredRow {
  const [hash, signature] = values.slice(hashAt) as [string, string | null];
  return { ...chainedRow(values), hash, signature };
}

// V8 enlarges its young generation where rows are held while it collects: over a million rows, pages of 500 cost 50 MB
// and pages of 32 cost 24 MB.
const pageRows = 32;

/** The row of the log with this id. */
export function rowAt(reader: LogReader, id: number): StoredRow | undefined {
  const [values] = reader.all<unknown[]>(`SELECT ${columns} FROM audit_log WHERE id = ?`, id);
  return values && storedRow(values);
}

/** The rows of the log after the id `after` up to the id `upTo`, read in pages of so many rows. */
export function* pagedRows(
  reader: LogReader, upTo: number = Number.MAX_SAFE_INTEGER, after = 0, rows: number = pageRows,
): Generator<StoredRow, undefined, undefined> {
  const sql = `SELECT ${columns} FROM audit_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`;
  for (let last = after; ; ) {
    const page = reader.read('read the audit log', () => reader.all<unknown[]>(sql, last, upTo, rows));
    for (const values of page) yield storedRow(values);
    if (page.length === 0) return undefined;
    const id = Number(page.at(-1)![0]);
    checkAdvance(id, last);
    last = id;
  }
}

/**
 * The rows of the log after an anchor as the ledger holds them; `end` is the id of the last one. With `asGroup` all of
 * them are one group. Throws `ERR_STORE_PARITY` for a row that does not have the hash of its content.
 */
export function* ledgerRows(
  reader: LogReader, after: Anchor, end: number, asGroup = false,
): Generator<LedgerRow, void, undefined> {
  let previous = after.hash;
  for (const row of pagedRows(reader, end, after.id)) {
    if (rowHash(previous, row) !== row.hash) {
      const message = `row ${row.id} of the database does not have the hash of its content, and goes into no ledger`;
      throw new StoreError('ERR_STORE_PARITY', message);
    }
    yield { ...row, previous, more: asGroup && row.id !== end };
    previous = row.hash;
  }
}
