// The first source's own store, `shepherdd.db`, as its service writes it. Its encodings: an event is one JSON object with
// its type inside; an absent option is null; a duration is {"secs","nanos"} in JSON and whole seconds in `usage`; an
// instant is RFC 3339 with an offset and up to nine digits of a second's fraction.
import { hash } from 'node:crypto';
import { encodeEvent } from '../events.ts';
import { adoptSnapshot, decodeState } from '../snapshot-file.ts';
import { checkInteger, checkText, invalid, parseInstant } from '../values.ts';
import type { JsonObject, JsonValue } from '../values.ts';
import { isRefusal } from './sink.ts';
import type { RowName, Sink, SourceEvent } from './sink.ts';
import { exact, quoted, textOf } from './source.ts';
import type { Source, SourceKind } from './source.ts';

const columns: Record<string, readonly string[]> = {
  audit_log: ['id', 'timestamp', 'event_json'],
  usage: ['entry_id', 'day', 'duration_secs'],
  cooldowns: ['entry_id', 'until'],
  snapshot: ['id', 'snapshot_json'],
};

export const shepherdd: SourceKind = {
  name: 'shepherdd',
  recognise: ({ tables }) => Object.entries(columns).every(([table, names]) => names.every((name) => tables.get(table)?.includes(name))),
  count: (source) => Array.from(source.tables.keys(), (table) => Number(source.all<[bigint]>(`SELECT count(*) FROM ${quoted(table)}`)[0]![0])).reduce((sum, rows) => sum + rows, 0),
  // The log only grows (AUTOINCREMENT, and its service deletes nothing), so its first row stays what it is; it is
  // written before any usage, by the start of the service.
  identity: (source) => hash('sha256', JSON.stringify(source.all(`${auditSql} LIMIT 1`, firstRow).map(rowText))).slice(0, 32),
  *walk(source, sink) {
    yield* walkRows(source, sink, auditSql, takeEvent);
    yield* walkRows(source, sink, usageSql, takeUsage);
    yield* walkRows(source, sink, cooldownSql, takeCooldown);
    yield* walkRows(source, sink, snapshotSql, takeSnapshot);
    yield* listOthers(source, sink);
  },
};

// Small enough that a page of long events fits into memory and an abort is heard soon.
const pageRows = 500;
const firstRow = -(2n ** 63n);

type Row = [rowid: bigint, ...columns: unknown[]];

// By rowid, which every table of the service has and which no odd value in a column can end early.
const auditSql = `SELECT id, ${exact('timestamp')}, ${exact('event_json')} FROM audit_log WHERE id >= ? ORDER BY id`;
const usageSql = `SELECT rowid, ${exact('entry_id')}, ${exact('day')}, duration_secs FROM usage WHERE rowid >= ? ORDER BY rowid`;
const cooldownSql = `SELECT rowid, ${exact('entry_id')}, ${exact('until')} FROM cooldowns WHERE rowid >= ? ORDER BY rowid`;
const snapshotSql = `SELECT id, ${exact('snapshot_json')} FROM snapshot WHERE id >= ? ORDER BY id`;

/** Every row of a table; one that `take` refuses is listed, and the next one is taken all the same. */
function* walkRows(source: Source, sink: Sink, sql: string, take: (row: Row, sink: Sink) => void): Generator<number, void, undefined> {
  for (let next = firstRow; ; ) {
    const rows = source.all<Row>(`${sql} LIMIT ${pageRows}`, next);
    for (const row of rows) take(row, sink);
    yield rows.length;
    const last = rows.at(-1);
    if (rows.length < pageRows || !last) return;
    next = last[0] + 1n;
  }
}

/** Converts a row; `undefined` where it is refused, and listed as `at`. */
function orSkip<T>(sink: Sink, at: RowName, convert: () => T): T | undefined {
  try {
    return convert();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    sink.skip(at, error.message);
    return undefined;
  }
}

/** A row as a text that is the same at each import, also where it cannot be read. */
function rowText(row: readonly unknown[]): string {
  return row.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value))).join('\n');
}

/** A value as part of a row's name in a report. */
function named(value: unknown): string {
  return value instanceof Uint8Array ? JSON.stringify(Buffer.from(value).toString()).slice(1, -1) : String(value);
}

// Events

function takeEvent(row: Row, sink: Sink): void {
  const [id, timestamp, json] = row;
  const event = orSkip(sink, { table: 'audit_log', row: String(id) }, () => convertEvent(row, textOf('timestamp', timestamp), textOf('event_json', json)));
  if (event) sink.event(event);
}

function convertEvent(row: Row, timestamp: string, json: string): SourceEvent {
  const members = membersOf(json);
  const type = checkText('type', JSON.parse(members.get('type') ?? 'null'));
  members.delete('type');
  const { texts, meta, sessionId } = Object.hasOwn(known, type) ? convertFields(known[type]!, members) : { texts: members, meta: {}, sessionId: undefined };
  const data = `{${Array.from(texts, ([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`;
  // For its checks; its text would write the numbers anew (1.0 as 1, 2^53 + 1 as 2^53), and the source's says what it says.
  encodeEvent({ ...(JSON.parse(data) as JsonObject), type });
  return {
    sourceRow: `shepherdd:${row[0]}:${hash('sha256', rowText(row)).slice(0, 32)}`,
    ...(onceASession.includes(type) ? { eventId: `${type}:${sessionId}` } : undefined),
    type, data, timestamp: instant('timestamp', timestamp), meta: { sourceTimestamp: timestamp, ...meta },
  };
}

// They get the event ids that SessionTracker gives them: it must see that a session has ended, or it would charge the
// session that the snapshot still shows as running once more.
const onceASession = ['session_started', 'session_ended'];

/** How a field of a known event is converted. What a time loses in it, and the field's text, are kept in `event_meta`. */
interface Field {
  name: string;
  convert: (name: string, value: unknown) => JsonValue | undefined;
  meta?: string;
}

const session: Record<string, Field> = { session_id: { name: 'sessionId', convert: checkText } };
const entry: Record<string, Field> = { entry_id: { name: 'entryId', convert: checkText } };

/** The events that this project has too. All others are kept as they are. */
const known: Record<string, Record<string, Field>> = {
  service_started: {},
  service_stopped: {},
  policy_loaded: { entry_count: { name: 'entryCount', convert: (name, value) => checkInteger(name, value, 0) } },
  config_reloaded: { success: { name: 'success', convert: (name, value) => ofType(name, value, 'boolean') } },
  session_started: {
    ...session, ...entry,
    label: { name: 'label', convert: unlessNull((name, value) => ofType(name, value, 'string')) },
    deadline: { name: 'deadline', convert: unlessNull(instant), meta: 'sourceDeadline' },
  },
  session_ended: {
    ...session, ...entry,
    reason: { name: 'reason', convert: endReason },
    duration: { name: 'durationMs', convert: durationMs, meta: 'sourceDuration' },
  },
  warning_issued: { ...session, threshold_seconds: { name: 'thresholdSecs', convert: (name, value) => checkInteger(name, value, 0) } },
  launch_denied: { ...entry, reasons: { name: 'reasons', convert: denialReasons } },
};

/** A known event's fields under this project's names; a field that a later version of the service added stays as it is. */
function convertFields(fields: Record<string, Field>, members: Map<string, string>): { texts: Map<string, string>; meta: JsonObject; sessionId: string | undefined } {
  const texts = new Map<string, string>();
  const meta: JsonObject = {};
  const add = (name: string, text: string): void => {
    if (texts.has(name)) throw invalid('event_json', name, 'an object without two fields of one meaning');
    texts.set(name, text);
  };
  for (const [source, field] of Object.entries(fields)) {
    const text = members.get(source);
    const given: unknown = text === undefined ? undefined : JSON.parse(text);
    const value = field.convert(source, given);
    if (value === undefined) continue;
    add(field.name, JSON.stringify(value));
    if (field.meta !== undefined) meta[field.meta] = given as JsonValue;
  }
  for (const [name, text] of members) {
    if (!Object.hasOwn(fields, name)) add(name, text);
  }
  return { texts, meta, sessionId: texts.has('sessionId') ? (JSON.parse(texts.get('sessionId')!) as string) : undefined };
}

function unlessNull(convert: Field['convert']): Field['convert'] {
  return (name, value) => (value === null || value === undefined ? undefined : convert(name, value));
}

function ofType<T extends 'boolean' | 'string'>(name: string, value: unknown, type: T): JsonValue {
  if (typeof value !== type) throw invalid(name, value, `a ${type}`);
  return value as JsonValue;
}

function objectOf(name: string, value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, value, 'an object');
  return value as JsonObject;
}

/** To the millisecond, in UTC: as this project writes every instant. */
function instant(name: string, value: unknown): string {
  const date = parseInstant(value);
  if (!date) throw invalid(name, value, 'an instant as RFC 3339 has it');
  return date.toISOString();
}

/** Whole milliseconds, what is less dropped: a session is not charged for time that it has not run. */
function durationMs(name: string, value: unknown): number {
  const { secs, nanos } = objectOf(name, value);
  const ms = Math.floor(checkInteger(`${name}.nanos`, nanos, 0, 999_999_999) / 1e6);
  return checkInteger(name, checkInteger(`${name}.secs`, secs, 0) * 1000 + ms, 0);
}

/** A reason that only a later version of the service knows is kept as it is. */
function endReason(name: string, value: unknown): JsonObject {
  const { exit_code: exitCode, ...reason } = objectOf(name, value);
  checkText(`${name}.type`, reason['type']);
  if (reason['type'] === 'launch_failed') ofType(`${name}.error`, reason['error'], 'string');
  if (reason['type'] !== 'process_exited') return objectOf(name, value);
  const code = unlessNull((item, given) => checkInteger(item, given, Number.MIN_SAFE_INTEGER))(`${name}.exit_code`, exitCode);
  return { ...reason, ...(code === undefined ? undefined : { exitCode: code }) };
}

function denialReasons(name: string, value: unknown): JsonValue {
  if (!Array.isArray(value) || !value.every((reason) => typeof reason === 'string')) throw invalid(name, value, 'an array of strings');
  return value;
}

/** The members of the JSON object in a text: each name, and the text of its value exactly as it stands. */
function membersOf(json: string): Map<string, string> {
  objectOf('event_json', parse(json)); // from here on every character is where the grammar has it
  const members = new Map<string, string>();
  let depth = 0;
  let start = 0;
  let colon = 0;
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '"') at = endOfString(json, at);
    else if (character === ':' && depth === 1) colon = at;
    else if (character === '{' || character === '[') start = depth++ === 0 ? at + 1 : start;
    else if (character === ',' ? depth === 1 : (character === '}' || character === ']') && --depth === 0) {
      if (colon > start) addMember(members, json.slice(start, colon), json.slice(colon + 1, at).trim());
      start = at + 1;
    }
  }
  return members;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}

function addMember(members: Map<string, string>, key: string, text: string): void {
  const name = JSON.parse(key) as string;
  // A parser keeps the last one and drops the others, without a word.
  if (members.has(name)) throw invalid('event_json', name, 'an object that has each name once');
  members.set(name, text);
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    throw invalid('event_json', json, 'JSON');
  }
}

// Usage, cooldowns, snapshot: what the store itself checks (entry ids, days, totals) is left to it

function takeUsage([, entryBytes, dayBytes, secs]: Row, sink: Sink): void {
  const at = { table: 'usage', row: `${named(entryBytes)} ${named(dayBytes)}` };
  const found = orSkip(sink, at, () => {
    const seconds = checkInteger('duration_secs', typeof secs === 'bigint' ? Number(secs) : secs, 0);
    return { entryId: textOf('entry_id', entryBytes), day: textOf('day', dayBytes), durationMs: seconds * 1000 };
  });
  if (found) sink.usage(at, found.entryId, found.day, found.durationMs);
}

function takeCooldown([, entryBytes, untilBytes]: Row, sink: Sink): void {
  const at = { table: 'cooldowns', row: named(entryBytes) };
  const found = orSkip(sink, at, () => ({
    entryId: textOf('entry_id', entryBytes),
    until: new Date(instant('until', textOf('until', untilBytes))),
  }));
  if (found) sink.cooldown(at, found.entryId, found.until);
}

function takeSnapshot([id, bytes]: Row, sink: Sink): void {
  const at = { table: 'snapshot', row: String(id) };
  const found = orSkip(sink, at, () => {
    const text = textOf('snapshot_json', bytes);
    const state = decodeState(adoptSnapshot(text));
    if (!state) throw invalid('snapshot_json', text, 'a state with a timestamp');
    return { identity: hash('sha256', text).slice(0, 32), state };
  });
  if (found) sink.snapshot(at, found.identity, found.state);
}

// What has no place here

/**
 * Later versions of the service have more: tables (`token_balances`, `daily_overrides`, `settings`) and perhaps columns.
 * Each row is listed by its key, without its values: a setting may be a secret.
 */
function* listOthers(source: Source, sink: Sink): Generator<number, void, undefined> {
  for (const [table, names] of source.tables) {
    if (Object.hasOwn(columns, table)) {
      for (const name of names.filter((column) => !columns[table]!.includes(column))) {
        const [[count] = [0n]] = source.all<[bigint]>(`SELECT count(${quoted(name)}) FROM ${quoted(table)}`);
        if (count > 0n) sink.skip({ table, row: `column ${name}` }, `this store has no place for it; ${count} rows have a value there`);
      }
      continue;
    }
    const keys = source.all<[string]>('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk', table).map(([name]) => name);
    const rows = source.all(`SELECT ${(keys.length > 0 ? keys : names).map(quoted).join()} FROM ${quoted(table)}`);
    for (const row of rows) sink.skip({ table, row: row.map(named).join(' ') }, `this store has no place for ${table}`);
    yield rows.length;
  }
}
