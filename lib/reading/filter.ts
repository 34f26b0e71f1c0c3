// Searches of the log: the filter of `getRecentAudits` and `findAudits`, checked and as SQL, and the walk of
// `iterateAudits`.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { chainedColumns } from '../core/chain.ts';
import { Connection } from '../core/connection.ts';
import { type AuditEvent, type AuditRow, decodeEvent, type EventBase } from '../core/events.ts';
import { checkAdvance, pageRows, readHead } from '../core/log.ts';
import { checkDate, checkInteger, checkOptions, checkSignal, checkText } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';

/** Which events to give. Every field narrows; `until` and `beforeId` are exclusive. */
export interface AuditFilter {
  type?: string;
  source?: string;
  target?: string;
  /** Matches events that have this `sessionId` among their fields. */
  sessionId?: string;
  since?: Date;
  until?: Date;
  beforeId?: number;
}

/** What the command asks for besides; the words of a person, who remembers the beginning of an id. */
export interface SearchFilter extends AuditFilter {
  /** Matches events that have this text as the value of any field or attribute, however deep. */
  entryId?: string;
  /** Matches events whose `sessionId` begins with this. */
  sessionPrefix?: string;
}

const textFields = ['type', 'source', 'target', 'sessionId'] as const;

/** Refuses what is no filter. Throws `ERR_STORE_INVALID_ARGUMENT`. */
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

/** What reads the log: a store's connection, or a module's. */
export interface LogReader {
  read<T>(what: string, fn: () => T): T;
  all<Row extends readonly unknown[]>(sql: string, ...values: (string | number | bigint | null)[]): Row[];
}

// SQLite's own first and last id: a row that a stranger put beyond what JavaScript can count is an error and not
// absent.
const [firstId, lastId] = [-(2n ** 63n), 2n ** 63n - 1n];

/** The newest events that match, newest first. */
export function recentAudits<E extends EventBase>(
  reader: LogReader, limit: number, filter: AuditFilter | undefined,
): AuditEvent<E>[] {
  const rows = filter
    ? matchingRows(reader, filter, { from: firstId, to: endOf(filter) }, limit)
    : reader.all<AuditRow>(`SELECT ${chainedColumns} FROM audit_log ORDER BY id DESC LIMIT ?`, limit);
  return rows.map((row) => decodeEvent<E>(row));
}

/** Rows next to each other in the log, both ends inclusive. */
export interface Range {
  from: number | bigint;
  to: number | bigint;
}

/** A range that begins with a row. */
export interface Page extends Range {
  from: number;
}

/** The last `rows` rows of the log up to the id `to`, whichever of them match; `undefined` where there are none. */
export function pageUpTo(reader: LogReader, to: number | bigint, rows = pageRows): Page | undefined {
  const sql = 'SELECT min(id) FROM (SELECT id FROM audit_log WHERE id <= ? ORDER BY id DESC LIMIT ?)';
  const [from] = reader.all<[number | null]>(sql, to, rows)[0]!;
  if (from === null) return undefined;
  // A damaged page gives rows that were not asked for; a walk that goes on behind them would never end.
  if (from > to) throw new StoreError('ERR_STORE_CORRUPT', `audit_log is damaged: row ${from} stands before row ${to}`);
  return { from, to };
}

/** The last id that a filter lets through. */
export function endOf({ beforeId }: AuditFilter): Range['to'] {
  return beforeId === undefined ? lastId : beforeId - 1;
}

// A row matches every filter on what cannot be read of it: it comes back as an error, not as absent.
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

/** The rows of a range that match, newest first. */
export function matchingRows(reader: LogReader, filter: SearchFilter, { from, to }: Range, limit = -1): AuditRow[] {
  const { type = null, source = null, target = null, sessionId = null, sessionPrefix = null, entryId = null } = filter;
  const [since, until] = [filter.since?.toISOString() ?? null, filter.until?.toISOString() ?? null];
  return reader.all<AuditRow>(
    filterSql, limit, type, source, target, sessionId, since, until, sessionPrefix, entryId, from, to,
  );
}

/**
 * The events that match, newest first, a page of the log at a time: no statement and no transaction is open between two
 * pages, and the event loop has its turn. Throws the reason of a signal that is aborted.
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

/** The signal among the options of a search. */
export function checkSearchOptions(options: { signal?: AbortSignal } | undefined): AbortSignal | undefined {
  return checkSignal('options.signal', checkOptions('options', options, ['signal']).signal);
}

/** The events from one id to another in order, a page at a time: no statement stays open between two pages. */
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
