// The log from its first row to its last, for what a report shows of it. A row that cannot be read hides no other.
import type { ModuleConnection } from '../../core/door.ts';
import { checkAdvance, pageRows } from '../../core/log.ts';
import { parseInstant } from '../../values/checks.ts';
import { hasCode, toStoreError } from '../../values/errors.ts';

/** A row of the log, as far as a report needs it. */
export interface LogRow {
  id: number;
  /** `undefined` where it cannot be read, as all of a row that lies on a damaged page. */
  time: number | undefined;
  type: string | null;
  /** The fields, as JSON, of an event of a type that was asked for. */
  data: string | null;
  /** Who caused it, where the type was asked for. */
  source: string | null;
  /** Whether all that a reader of the event would need can be read. */
  isSound: boolean;
}

const texts = ['timestamp', 'event_type', 'event_data'];
// No text is read of what is none: node:sqlite throws for a number beyond 2^53, which would hide the rows around it.
const textOr = (column: string): string => `iif(typeof(${column}) = 'text', ${column}, NULL)`;
const columnsFor = (types: readonly string[]): string => {
  const isAsked = `event_type IN (${types.map((type) => `'${type}'`).join(', ')})`;
  return `id, ${textOr('timestamp')}, ${textOr('event_type')},
    CASE WHEN ${isAsked} THEN ${textOr('event_data')} END,
    CASE WHEN event_meta IS NULL OR NOT ${isAsked} OR NOT json_valid(event_meta) THEN NULL
      WHEN json_type(event_meta, '$.source') = 'text' THEN json_extract(event_meta, '$.source') END,
    ${texts.map((column) => `typeof(${column}) = 'text'`).join(' AND ')}
      AND json_valid(event_data) AND (event_meta IS NULL OR json_valid(event_meta))`;
};
// node:sqlite cannot read ids beyond 2^53; that a stranger put rows there is found by the verification.
const nextRows = `FROM audit_log WHERE id > ? AND id <= ${Number.MAX_SAFE_INTEGER} ORDER BY id LIMIT ${pageRows}`;

type Stored = [
  id: number, timestamp: string | null, type: string | null, data: string | null, source: string | null, sound: number,
];

/** Gives every row to `step`, oldest first, with the fields of the events of these types, which are words of ours. */
export function walkLog(door: ModuleConnection, types: readonly string[], step: (row: LogRow) => void): void {
  const columns = columnsFor(types);
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const rows = readPage(door, columns, after);
    for (const row of rows) step(row);
    if (rows.length < pageRows) return;
    const { id } = rows.at(-1)!;
    checkAdvance(id, after);
    after = id;
  }
}

function readPage(door: ModuleConnection, columns: string, after: number): LogRow[] {
  const rows = unlessDamaged(() => door.all<Stored>(`SELECT ${columns} ${nextRows}`, after));
  if (rows) return rows.map(rowOf);
  // A row has a page of its own where it is long, and only that may be damaged.
  return door.all<[number]>(`SELECT id ${nextRows}`, after).map(([id]) => {
    const row = unlessDamaged(() => door.get<Stored>(`SELECT ${columns} FROM audit_log WHERE id = ?`, id));
    return rowOf(row ?? [id, null, null, null, null, 0]);
  });
}

function rowOf([id, timestamp, type, data, source, sound]: Stored): LogRow {
  const time = parseInstant(timestamp)?.getTime();
  return { id, time, type, data, source, isSound: sound === 1 && time !== undefined };
}

function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (hasCode(toStoreError(error, 'read the log'), 'ERR_STORE_CORRUPT')) return undefined;
    throw error;
  }
}
