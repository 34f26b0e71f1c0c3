// Searches of the log: the filter of `getRecentAudits` and `findAudits`, checked and as SQL, and the walk of
// `iterateAudits`.
import type { SQLInputValue } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { chainedColumns } from '../core/chain.ts';
import type { Connection } from '../core/connection.ts';
import { type AuditEvent, type AuditRow, decodeEvent, type EventBase } from '../core/events.ts';
import { checkAdvance, pageRows, readHead } from '../core/log.ts';
import { checkDate, checkInteger, checkOptions, checkSignal, checkText } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';

/** Selects events: an event must match every field that is given. `until` and `beforeId` are exclusive. */
export interface AuditFilter {
  type?: string | undefined;
  source?: string | undefined;
  target?: string | undefined;
  /** Matches events that have this `sessionId` among their fields. */
  sessionId?: string | undefined;
  since?: Date | undefined;
  until?: Date | undefined;
  beforeId?: number | undefined;
}

/** The filter of the audit command, which also takes what a person remembers, such as the beginning of an id. */
export interface SearchFilter extends AuditFilter {
  /** Matches events that have this text as the value of any field or attribute, at any depth. */
  entryId?: string;
  /** Matches events whose `sessionId` begins with this. */
  sessionPrefix?: string;
}

const textFields = ['type', 'source', 'target', 'sessionId'] as const;

/** Checks a filter and copies its dates. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkFilter(filter: AuditFilter | undefined): AuditFilter {
  const checked = checkOptions('filter', filter, [...textFields, 'since', 'until', 'beforeId']);
  for (const name of textFields) {
    if (checked[name] !== undefined) checkText(`filter.${name}`, checked[name]);
  }
  if (checked.since !== undefined) checked.since = checkDate('filter.since', checked.since);
  if (checked.until !== undefined) checked.until = checkDate('filter.until', checked.until);
  if (checked.beforeId !== undefined) checkInteger('filter.beforeId', checked.beforeId, 0);
  return checked;
}

/** Reads the log: the connection of a store or of a module. */
export interface LogReader {
  read<T>(what: string, fn: () => T): T;
  all<Row extends readonly unknown[]>(sql: string, ...values: SQLInputValue[]): Row[];
}

// SQLite's own first and last id, so that a row that a stranger put beyond 2^53 is found and raises an error.
const firstId = -(2n ** 63n);
const lastId = 2n ** 63n - 1n;

/** Returns the newest matching events, newest first. */
export function recentAudits<E extends EventBase>(
  reader: LogReader, limit: number, filter: AuditFilter | undefined,
): AuditEvent<E>[] {
  const rows = filter
    ? matchingRows(reader, filter, { from: firstId, to: endOf(filter) }, limit)
    : reader.all<AuditRow>(`SELECT ${chainedColumns} FROM audit_log ORDER BY id DESC LIMIT ?`, limit);
  return rows.map((row) => decodeEvent<E>(row));
}

/** A range of row ids of the log, both ends inclusive. */
export interface Range {
  from: number | bigint;
  to: number | bigint;
}

/** A range whose first id is that of an existing row. */
export interface Page extends Range {
  from: number;
}

/** Finds the last `rows` rows of the log up to the id `to`, matching or not; `undefined` if there are none. */
export function pageUpTo(reader: LogReader, to: number | bigint, rows: number = pageRows): Page | undefined {
  const sql = 'SELECT min(id) FROM (SELECT id FROM audit_log WHERE id <= ? ORDER BY id DESC LIMIT ?)';
  const [from] = reader.all<[number | null]>(sql, to, rows)[0]!;
  if (from === null) return undefined;
  // A damaged page can return a row beyond the range, and a walk that continued from there would never end.
  if (from > to) throw new StoreError('ERR_STORE_CORRUPT', `audit_log is damaged: row ${from} stands before row ${to}`);
  return { from, to };
}

/** The last id that a filter allows. */
export function endOf({ beforeId }: AuditFilter): Range['to'] {
  return beforeId === undefined ? lastId : beforeId - 1;
}

// A filter never hides a damaged row: a field that cannot be read matches, and decoding the row throws an error.
const filterSql = `SELECT ${chainedColumns} FROM audit_log
  WHERE (?2 IS NULL OR event_type = ?2)
    AND (?3 IS NULL OR json_extract(event_meta, '$.source') = ?3)
    AND (?4 IS NULL OR json_extract(event_meta, '$.target') = ?4)
    AND (?5 IS NULL OR CASE WHEN json_valid(event_data) THEN json_extract(event_data, '$.sessionId') = ?5 ELSE 1 END)
    AND (?6 IS NULL OR coalesce(unixepoch(timestamp, 'subsec') >= unixepoch(?6, 'subsec'), 1))
    AND (?7 IS NULL OR coalesce(unixepoch(timestamp, 'subsec') < unixepoch(?7, 'subsec'), 1))
    AND (?8 IS NULL OR CASE WHEN json_valid(event_data)
      THEN substr(json_extract(event_data, '$.sessionId'), 1, length(?8)) = ?8 ELSE 1 END)
    AND (?9 IS NULL OR CASE WHEN json_valid(event_data) THEN EXISTS (
      SELECT 1 FROM json_tree(event_data) WHERE type = 'text' AND atom = ?9
      UNION ALL SELECT 1 FROM json_tree(coalesce(event_meta, 'null')) WHERE type = 'text' AND atom = ?9) ELSE 1 END)
    AND id BETWEEN ?10 AND ?11
  ORDER BY id DESC LIMIT ?1`;

/** Returns the matching rows of a range, newest first. */
export function matchingRows(reader: LogReader, filter: SearchFilter, { from, to }: Range, limit = -1): AuditRow[] {
  const { type = null, source = null, target = null, sessionId = null, sessionPrefix = null, entryId = null } = filter;
  const [since, until] = [filter.since?.toISOString() ?? null, filter.until?.toISOString() ?? null];
  return reader.all<AuditRow>(
    filterSql, limit, type, source, target, sessionId, since, until, sessionPrefix, entryId, from, to,
  );
}

/**
 * Yields the matching events, newest first. The log is read a page at a time: between two pages no statement and no
 * transaction is open, and the event loop runs. Throws the reason of a signal that is aborted.
 */
export async function* findAudits<E extends EventBase>(
  reader: LogReader, filter: AuditFilter, signal: AbortSignal | undefined,
): AsyncGenerator<AuditEvent<E>, void, undefined> {
  const what = 'find events';
  signal?.throwIfAborted();
  for (let page = reader.read(what, () => pageUpTo(reader, endOf(filter))); page; ) {
    const range = page;
    for (const row of reader.read(what, () => matchingRows(reader, filter, range))) {
      yield decodeEvent<E>(row);
      signal?.throwIfAborted();
    }
    await nextTurn();
    signal?.throwIfAborted();
    page = reader.read(what, () => pageUpTo(reader, range.from - 1));
  }
}

/** Options of a search: `signal` ends it. */
export interface SearchOptions {
  signal?: AbortSignal | undefined;
}

/** Checks the options of a search and returns their signal. */
export function checkSearchOptions(options: SearchOptions | undefined): AbortSignal | undefined {
  return checkSignal('options.signal', checkOptions('options', options, ['signal']).signal);
}

/** Yields the events from one id to another in order, reading a page at a time: no statement is open between pages. */
export function* walkAudits<E extends EventBase>(
  connection: Connection, fromId: number, toId: number,
): Generator<AuditEvent<E>, void, undefined> {
  const what = 'iterate over the audit log';
  const sql = `SELECT ${chainedColumns} FROM audit_log WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ${pageRows}`;
  // The walk ends at the present head, because a loop that appends an event for each one it gets would never end.
  const last = Math.min(toId, connection.read(what, () => readHead(connection)?.id ?? 0));
  for (let next = fromId; next <= last; ) {
    const rows = connection.read(what, () => connection.all<AuditRow>(sql, next, last));
    for (const row of rows) yield decodeEvent<E>(row);
    if (rows.length < pageRows) return;
    checkAdvance(rows.at(-1)![0], next - 1);
    next = rows.at(-1)![0] + 1;
  }
}
