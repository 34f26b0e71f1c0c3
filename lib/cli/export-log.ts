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

/**
 * The events behind a place, oldest first, those of some types or all. No statement is open between two pages. Each
 * page begins behind the row at which the last one ended; where that is another row now, as after a restore, or has
 * gone into an archive and these are not asked for, it throws `ERR_STORE_BUSY`.
 */
export function* logPages(
  { door, lastId, archived }: LogToRead, after: Place, types?: readonly string[],
): Generator<LogPage, void, undefined> {
  const wanted = types && ((row: LogRow): boolean => types.includes(row[2]));
  for (let place = after; place.id < lastId; ) {
    const found = door.readTogether('read the log', () => nextPage(door, place, lastId, types));
    if (!(found instanceof Array)) {
      place = found.place;
      yield { rows: found.rows, place };
      continue;
    }
    const [beginning] = found;
    if (!archived) throw busy('rows were archived meanwhile: export again, with --archives');
    for (const rows of archived(place, beginning)) {
      const [id, , , , , hash] = rows.at(-1)!;
      place = { id, hash: hash as string };
      yield { rows: (wanted ? rows.filter(wanted) : rows).map(decoded), place };
    }
    place = beginning;
  }
}

function busy(why: string): StoreError {
  return new StoreError('ERR_STORE_BUSY', `failed to export the log: ${why}`);
}

const select = `SELECT ${chainedColumns}, event_hash FROM audit_log`;
// A page of one or two types is read faster, and holds few of its rows.
const scannedRows = 10 * pageSize;

/** The page behind a place; instead of it, the row that the log begins behind where the place lies before that. */
function nextPage(
  door: ModuleConnection, place: Place, lastId: number, types: readonly string[] | undefined,
): LogPage | [beginning: Anchor] {
  const { log } = door.parts;
  const beginning = log.beginning();
  if (beginning.id > place.id) return [beginning];
  const isAnother = place.hash !== undefined && log.hashAt(place.id) !== place.hash;
  if (isAnother) throw busy(`row ${place.id} is another one than before, as after a restore: export again`);
  const size = types ? scannedRows : pageSize;
  const whole = attemptRow(() => door.read('read the log', () => rowsBehind(door, place.id, lastId, size, types)));
  const { rows, endId } = whole.value ?? singleRows(door, place.id, lastId, whole.error, types);
  const end = attemptRow(() => door.read('read a hash', () => log.hashAt(endId)));
  return { rows, place: { id: endId, hash: end.value } };
}

interface Rows {
  rows: (LogEvent | Unread)[];
  endId: number;
}

function rowsBehind(
  door: ModuleConnection, after: number, lastId: number, size: number, types: readonly string[] | undefined,
): Rows {
  const endSql = 'SELECT max(id) FROM (SELECT id FROM audit_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)';
  const endId = door.get<[number | null]>(endSql, after, lastId, size)?.[0] ?? lastId;
  checkAdvance(endId, after);
  const ofTypes = 'event_type IN (SELECT value FROM json_each(?))';
  const rows = types
    ? door.all<LogRow>(`${select} WHERE id > ? AND id <= ? AND ${ofTypes} ORDER BY id`, after, endId,
      JSON.stringify(types))
    : door.all<LogRow>(`${select} WHERE id > ? AND id <= ? ORDER BY id`, after, endId);
  return { rows: rows.map(decoded), endId };
}

/** Reads row by row where a page cannot be read. Throws the error of the page where not even the ids can be found. */
function singleRows(
  door: ModuleConnection, after: number, lastId: number, pageError: RowError, types: readonly string[] | undefined,
): Rows {
  const found: Rows = { rows: [], endId: after };
  for (let count = 0; count < pageSize; count++) {
    const id = idBehind(door, found.endId, lastId, pageError);
    if (id === undefined) return { ...found, endId: lastId };
    found.endId = id;
    const read = (): LogRow | undefined => door.get<LogRow>(`${select} WHERE id = ?`, id);
    const { value, error } = attemptRow(() => door.read(`read row ${id}`, read));
    if (error) found.rows.push(new Unread({ id }, error));
    else if (value && (!types || types.includes(value[2]))) found.rows.push(decoded(value));
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
