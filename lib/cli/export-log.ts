// The log for export: its rows oldest first, from the archives and from the log, whatever is archived meanwhile.
import { type Anchor, chainedColumns } from '../core/chain.ts';
import type { ModuleConnection } from '../core/door.ts';
import {
  type AuditEvent, type AuditRow as StoredRow, damagedRow, decodeEvent, type EventBase,
} from '../core/events.ts';
import { checkAdvance } from '../core/log.ts';
import { StoreError, type StoreErrorCode } from '../values/errors.ts';
import { type Cell, jsonCell } from './csv.ts';
import { type DayRange, hasInstant, pageSize, type Table, Unread } from './export-table.ts';
import { attemptRow, type RowError } from './rows.ts';

/** An event with the hash of its row. */
export type LogEvent = AuditEvent<EventBase> & { hash: string };

/** The columns of a row: those of `decodeEvent`, and its hash. */
export type LogRow = [...StoredRow, hash: unknown];

/** A row behind which reading goes on; its hash is unknown where the caller has named the id alone. */
export interface Place {
  id: number;
  hash: string | undefined;
}

/** Gives the archived rows behind a place up to the row that the log begins behind. */
export type ArchivedRows = (after: Place, beginning: Anchor) => Iterable<LogRow[]>;

/** A log up to the event that was the newest one when reading began. */
export interface LogToRead {
  door: ModuleConnection;
  lastId: number;
  /** Absent where the archives are not asked for. */
  archived: ArchivedRows | undefined;
}

/** Rows that can be read and others, and the row behind which the next page begins. */
export interface LogPage {
  rows: (LogEvent | Unread)[];
  place: Place;
}

/** Which events are read: those of some types, and of these perhaps only those of some sessions. */
export interface Wanted {
  types: readonly string[];
  sessionIds?: readonly string[];
}

/**
 * The events behind a place, oldest first, all or those that are wanted, and of archives those of the wanted types. No
 * statement is open between two pages. Each page begins behind the row at which the last one ended; where that is
 * another row now, as after a restore, or has gone into an archive and these are not asked for, it throws
 * `ERR_STORE_BUSY`, and so it does where the log now ends before the event that was the newest one.
 */
export function* logPages(
  { door, lastId, archived }: LogToRead, after: Place, wanted?: Wanted,
): Generator<LogPage, void, undefined> {
  for (let place = after; place.id < lastId; ) {
    const found = door.readTogether('read the log', () => nextPage(door, place, lastId, wanted));
    if (!Array.isArray(found)) {
      place = found.place;
      yield { rows: found.rows, place };
      continue;
    }
    const [beginning] = found;
    if (!archived) throw busy('rows were archived meanwhile: export again, with --archives');
    for (const rows of archived(place, beginning)) {
      const [id, , , , , hash] = rows.at(-1)!;
      place = { id, hash: hash as string };
      yield { rows: rows.filter((row) => isWanted(row, wanted)).map(decoded), place };
    }
    place = beginning;
  }
}

function busy(why: string): StoreError {
  return new StoreError('ERR_STORE_BUSY', `failed to export the log: ${why}`);
}

/** The error where the row that was the newest one is there no more, nor any other up to it. */
function lost(lastId: number): StoreError {
  return busy(`the rows up to ${lastId} are not there any more, as after a restore: export again`);
}

function isWanted(row: LogRow, wanted: Wanted | undefined): boolean {
  return !wanted || wanted.types.includes(row[2]);
}

const select = `SELECT ${chainedColumns}, event_hash FROM audit_log`;

/** How many rows are gone through for a page, of which some may be wanted. That takes a few milliseconds. */
function rowsOfPage(wanted: Wanted | undefined): number {
  if (!wanted) return pageSize;
  return wanted.sessionIds ? 200 * pageSize : pageSize;
}

/** The page behind a place; instead of it, the row that the log begins behind where the place lies before that. */
function nextPage(
  door: ModuleConnection, place: Place, lastId: number, wanted: Wanted | undefined,
): LogPage | [beginning: Anchor] {
  const { log } = door.parts;
  const beginning = log.beginning();
  if (beginning.id > place.id) return [beginning];
  const isAnother = place.hash !== undefined && log.hashAt(place.id) !== place.hash;
  if (isAnother) throw busy(`row ${place.id} is another one than before, as after a restore: export again`);
  const whole = attemptRow(() => door.read('read the log', () => rowsBehind(door, place.id, lastId, wanted)));
  const { rows, endId } = whole.value ?? singleRows(door, place.id, lastId, whole.error, wanted);
  const end = attemptRow(() => door.read('read a hash', () => log.hashAt(endId)));
  return { rows, place: { id: endId, hash: end.value } };
}

interface Rows {
  rows: (LogEvent | Unread)[];
  endId: number;
}

const wantedSql = `event_type IN (SELECT value FROM json_each(?3))
  AND (?4 IS NULL OR CASE WHEN json_valid(event_data)
    THEN json_extract(event_data, '$.sessionId') IN (SELECT value FROM json_each(?4)) END)`;

function rowsBehind(door: ModuleConnection, after: number, lastId: number, wanted: Wanted | undefined): Rows {
  const endSql = 'SELECT max(id) FROM (SELECT id FROM audit_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)';
  const endId = door.get<[number | null]>(endSql, after, lastId, rowsOfPage(wanted))?.[0] ?? undefined;
  if (endId === undefined) throw lost(lastId);
  checkAdvance(endId, after);
  const range = 'id > ?1 AND id <= ?2';
  if (!wanted) {
    const rows = door.all<LogRow>(`${select} WHERE ${range} ORDER BY id`, after, endId);
    return { rows: rows.map(decoded), endId };
  }
  const [types, ids] = [wanted.types, wanted.sessionIds].map((list) => (list ? JSON.stringify(list) : null));
  const sql = `${select} WHERE ${range} AND ${wantedSql} ORDER BY id`;
  const rows = door.all<LogRow>(sql, after, endId, types ?? null, ids ?? null);
  return { rows: rows.map(decoded), endId };
}

/** Reads row by row where a page cannot be read. Throws the error of the page where not even the ids can be found. */
function singleRows(
  door: ModuleConnection, after: number, lastId: number, pageError: RowError, wanted: Wanted | undefined,
): Rows {
  const found: Rows = { rows: [], endId: after };
  for (let count = 0; count < pageSize; count++) {
    const id = idBehind(door, found.endId, lastId, pageError);
    if (id === undefined && found.endId < lastId) throw lost(lastId);
    if (id === undefined) return found;
    found.endId = id;
    const read = (): LogRow | undefined => door.get<LogRow>(`${select} WHERE id = ?`, id);
    const { value, error } = attemptRow(() => door.read(`read row ${id}`, read));
    if (error) found.rows.push(new Unread({ id }, error));
    else if (value && isWanted(value, wanted)) found.rows.push(decoded(value));
  }
  return found;
}

function idBehind(door: ModuleConnection, after: number, lastId: number, pageError: RowError): number | undefined {
  const sql = 'SELECT min(id) FROM audit_log WHERE id > ? AND id <= ?';
  const read = (): [number | null] | undefined => door.get<[number | null]>(sql, after, lastId);
  const { value, error } = attemptRow(() => door.read('read the log', read));
  if (error) throw new StoreError(pageError.code as StoreErrorCode, pageError.message);
  const id = value?.[0] ?? undefined;
  if (id !== undefined) checkAdvance(id, after);
  return id;
}

function decoded([id, timestamp, type, data, meta, hash]: LogRow): LogEvent | Unread {
  const { value, error } = attemptRow(() => {
    if (typeof type !== 'string') throw damagedRow(id, 'event_type', type);
    if (typeof hash !== 'string') throw damagedRow(id, 'event_hash', hash);
    return Object.assign(decodeEvent([id, timestamp, type, data, meta]), { hash });
  });
  return error ? new Unread({ id }, error) : value;
}

const columns = [
  'id', 'timestamp', 'type', 'entry_id', 'session_id', 'source', 'target', 'event', 'attributes', 'hash',
] as const;

/** The events of the log. A row that cannot be read may be of any day, so that it is always told. */
export function auditTable(log: LogToRead, after: Place, range: DayRange): Table<LogEvent> {
  return {
    columns,
    pages: eventsOf(log, after, range),
    cells: auditCells,
    document: (event) => event,
  };
}

function* eventsOf(log: LogToRead, after: Place, range: DayRange): Generator<(LogEvent | Unread)[], void, undefined> {
  for (const { rows } of logPages(log, after)) {
    yield rows.filter((row) => row instanceof Unread || hasInstant(range, row.timestamp));
  }
}

function auditCells({ id, timestamp, event, hash, ...attributes }: LogEvent): Cell[] {
  const { type, ...fields } = event;
  const { entryId, sessionId } = fields as { entryId?: unknown; sessionId?: unknown };
  const { source, target } = attributes;
  const isBare = Object.keys(attributes).length === 0;
  return [
    id, timestamp, type, textIn(entryId), textIn(sessionId), source, target, jsonCell(fields),
    isBare ? undefined : jsonCell(attributes), hash,
  ];
}

/** A field of an event that is meant as a text: another program's event may hold anything. */
export function textIn(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
