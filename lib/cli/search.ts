// Searches of the log for the commands that show events: a row that cannot be read hides no other.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AuditRow as StoredRow, decodeEvent } from '../core/events.ts';
import { endOf, type LogReader, matchingRows, type Page, pageUpTo, type SearchFilter } from '../reading/filter.ts';
import type { AuditRow } from './audit-lines.ts';
import { attemptRow } from './rows.ts';

/** Where a session has exactly the given id, the filter matches that session alone and none with a longer id. */
export async function preferExactSession(
  reader: LogReader, filter: SearchFilter, signal: AbortSignal | undefined,
): Promise<SearchFilter> {
  const { sessionPrefix, ...otherFilters } = filter;
  if (sessionPrefix === undefined) return filter;
  // A damaged row matches every filter, so the first match is not enough.
  for await (const rows of search(reader, Number.MAX_SAFE_INTEGER, { sessionId: sessionPrefix }, signal)) {
    if (rows.some((row) => !('error' in row))) return { ...otherFilters, sessionId: sessionPrefix };
  }
  return filter;
}

/**
 * The matching events, newest first and a page at a time as in `findAudits`. A row that cannot be read is given as an
 * error, so that it hides no other row.
 */
export async function* search(
  reader: LogReader, limit: number, filter: SearchFilter, signal: AbortSignal | undefined,
): AsyncGenerator<AuditRow[]> {
  let remaining = limit;
  let page = readPage(reader, endOf(filter));
  while (page && remaining > 0) {
    signal?.throwIfAborted();
    const rows = rowsOf(reader, filter, page, remaining);
    if (rows.length > 0) yield rows;
    remaining -= rows.length;
    await nextTurn();
    page = readPage(reader, page.from - 1);
  }
}

/** The last rows up to an id, matching or not. */
export function readPage(reader: LogReader, to: Page['to'], rows?: number): Page | undefined {
  return reader.read('find events', () => pageUpTo(reader, to, rows));
}

/** The matching rows of a page, newest first. */
export function rowsOf(
  reader: LogReader, filter: SearchFilter, page: Page, limit: number = Number.MAX_SAFE_INTEGER,
): AuditRow[] {
  const wholePage = attemptRow(() => reader.read('read events', () => matchingRows(reader, filter, page, limit)));
  if (wholePage.value) return wholePage.value.map(decodeRow);
  const rows: AuditRow[] = [];
  for (let to = page.to; rows.length < limit; ) {
    const oneRow = readPage(reader, to, 1);
    if (!oneRow || oneRow.from < page.from) break;
    const { value, error } = attemptRow(() => reader.read('read events', () => matchingRows(reader, filter, oneRow)));
    // An unreadable row is always shown, because nobody can say whether it would match the filter.
    rows.push(...(error ? [{ id: oneRow.from, error }] : value.map(decodeRow)));
    to = oneRow.from - 1;
  }
  return rows;
}

function decodeRow(row: StoredRow): AuditRow {
  const { value, error } = attemptRow(() => decodeEvent(row));
  return value ?? { id: row[0], error: error! };
}
