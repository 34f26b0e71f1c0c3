// The store of the service shepherdd: `shepherdd.db`, or `lunchboxd.db` since the service is called Lunchbox. Its
// encodings: an event is one JSON object with its type inside; an absent option is null; a duration is {"secs","nanos"}
// in JSON and whole seconds in `usage`; an instant is RFC 3339 with an offset and up to nine digits of a second's
// fraction.
import { hash } from 'node:crypto';
import { type Availability, encodeEvent } from '../core/events.ts';
import { readForeignState } from '../migrate/foreign-state.ts';
import { checkInteger, checkText, invalid, parseInstant } from '../values/checks.ts';
import { checkDay } from '../values/days.ts';
import { checkUtf8, membersOf, objectOf, objectText } from '../values/json-text.ts';
import { checkJson, type JsonObject, type JsonValue } from '../values/json.ts';
import { isRefusal, named, type Sink, type SourceEvent } from './sink.ts';
import { exact, type Source, type SourceKind } from './source.ts';
import type { CountedTable } from './tables.ts';
import {
  type Cells, countRows, firstRow, hasColumns, listOthers, nameOf, orSkip, type Row, rowText, walkRows, walkTable,
} from './walk.ts';

/** The columns of its tables; `key` is the column of `cooldowns` that names what the cooldown is for. */
const columnsOf = (key: string): Record<string, readonly string[]> => ({
  audit_log: ['id', 'timestamp', 'event_json'],
  usage: ['entry_id', 'day', 'duration_secs'],
  cooldowns: [key, 'until'],
  snapshot: ['id', 'snapshot_json'],
});

/** A table that only later versions of the service have. */
interface LaterTable {
  name: string;
  columns: readonly string[];
  /** The table here that its rows go to. */
  goesTo: CountedTable;
  take: (cells: Cells, sink: Sink) => void;
}

const laterTables: readonly LaterTable[] = [
  { name: 'settings', columns: ['key', 'value'], goesTo: 'facts', take: takeSetting },
  {
    name: 'daily_overrides', goesTo: 'overrides', take: takeOverride,
    columns: ['subject', 'day', 'availability', 'quota_delta_seconds', 'created_at', 'updated_at'],
  },
  {
    name: 'token_balances', columns: ['subject', 'balance_secs', 'updated_day'], goesTo: 'balances', take: takeBalance,
  },
];

function laterTablesOf(source: Source): LaterTable[] {
  return laterTables.filter(({ name, columns }) => hasColumns(source, { [name]: columns }));
}

// Versions of the service that have limits for groups call that column `subject`, because a cooldown can be for
// `group:NAME`.
export const shepherdd: SourceKind = serviceKind('shepherdd', 'entry_id');
export const lunchbox: SourceKind = serviceKind('lunchbox', 'subject');

function serviceKind(name: string, key: string): SourceKind {
  const columns = columnsOf(key);
  return {
    name,
    tables: (source) => laterTablesOf(source).map(({ goesTo }) => goesTo),
    recognise: (source) => hasColumns(source, columns),
    count: (source) => countRows(source),
    // The log only grows (AUTOINCREMENT, and the service deletes nothing), so its first row never changes, even when
    // the service is updated. The start of the service writes that row before there is any usage.
    identity: (source) => {
      const first = source.all(`${auditSql} LIMIT 1`, firstRow).map(rowText);
      return hash('sha256', JSON.stringify(first)).slice(0, 32);
    },
    *walk(source, sink) {
      yield* walkRows(source, sink, auditSql, takeEvent);
      yield* walkRows(source, sink, usageSql, takeUsage);
      yield* walkRows(source, sink, cooldownSql(key), takeCooldown);
      yield* walkRows(source, sink, snapshotSql, takeSnapshot);
      const later = laterTablesOf(source);
      for (const table of later) {
        yield* walkTable(source, sink, table.name, table.columns, (cells) => table.take(cells, sink));
      }
      const laterColumns = Object.fromEntries(later.map((table) => [table.name, table.columns]));
      yield* listOthers(source, sink, { ...columns, ...laterColumns });
    },
  };
}

// The tables are read by rowid, which every table of the service has. An odd value in a column cannot end the walk
// early.
const auditSql = `SELECT id, ${exact('timestamp')}, ${exact('event_json')} FROM audit_log WHERE id >= ? ORDER BY id`;
const usageSql = `SELECT rowid, ${exact('entry_id')}, ${exact('day')}, duration_secs FROM usage
  WHERE rowid >= ? ORDER BY rowid`;
const cooldownSql = (key: string): string =>
  `SELECT rowid, ${exact(key)}, ${exact('until')} FROM cooldowns WHERE rowid >= ? ORDER BY rowid`;
const snapshotSql = `SELECT id, ${exact('snapshot_json')} FROM snapshot WHERE id >= ? ORDER BY id`;

// Events

function takeEvent(row: Row, sink: Sink): void {
  const [id, timestamp, json] = row;
  const event = orSkip(sink, { table: 'audit_log', row: String(id) }, () => {
    return convertEvent(row, checkUtf8('timestamp', timestamp), checkUtf8('event_json', json));
  });
  if (event) sink.event(event);
}

function convertEvent(row: Row, timestamp: string, json: string): SourceEvent {
  const members = membersOf('event_json', json);
  const type = checkText('type', JSON.parse(members.get('type') ?? 'null'));
  members.delete('type');
  const isKnown = Object.hasOwn(known, type);
  const unchanged: ConvertedFields = { texts: members, meta: {}, sessionId: undefined };
  const { texts, meta, sessionId } = isKnown ? convertFields(known[type]!, members) : unchanged;
  const data = objectText(texts);
  // The event is encoded for the checks alone: the encoded text would have numbers that are written anew (1.0 as 1,
  // 2^53 + 1 as 2^53), so the source's own text is kept.
  encodeEvent({ ...(JSON.parse(data) as JsonObject), type });
  return {
    sourceRow: `shepherdd:${row[0]}:${hash('sha256', rowText(row)).slice(0, 32)}`,
    ...(onceASession.includes(type) ? { eventId: `${type}:${sessionId}` } : undefined),
    type, data, timestamp: instant('timestamp', timestamp), meta: { sourceTimestamp: timestamp, ...meta },
  };
}

// These events get the event ids that SessionTracker gives them: it must find the end of a session that the snapshot
// still shows as running, or it would charge that session once more.
const onceASession = ['session_started', 'session_ended'];

/** How a field of a known event is converted. */
interface Field {
  name: string;
  convert: (name: string, value: unknown) => JsonValue | undefined;
  /** The name under which `event_meta` keeps the source's value, for a time that is stored less exactly here. */
  meta?: string;
}

const session: Record<string, Field> = { session_id: { name: 'sessionId', convert: checkText } };
const entry: Record<string, Field> = { entry_id: { name: 'entryId', convert: checkText } };

/** The events that this project has too, with their fields. All other events keep their fields as they are. */
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
  warning_issued: {
    ...session,
    threshold_seconds: { name: 'thresholdSecs', convert: (name, value) => checkInteger(name, value, 0) },
  },
  launch_denied: { ...entry, reasons: { name: 'reasons', convert: denialReasons } },
};

interface ConvertedFields {
  /** The JSON text of each field. */
  texts: Map<string, string>;
  meta: JsonObject;
  sessionId: string | undefined;
}

/** Gives a known event's fields this project's names. A field that a later version of the service added stays as is. */
function convertFields(fields: Record<string, Field>, members: Map<string, string>): ConvertedFields {
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
  const sessionText = texts.get('sessionId');
  return { texts, meta, sessionId: sessionText === undefined ? undefined : (JSON.parse(sessionText) as string) };
}

function unlessNull(convert: Field['convert']): Field['convert'] {
  return (name, value) => (value === null || value === undefined ? undefined : convert(name, value));
}

function ofType<T extends 'boolean' | 'string'>(name: string, value: unknown, type: T): JsonValue {
  if (typeof value !== type) throw invalid(name, value, `a ${type}`);
  return value as JsonValue;
}

/** Converts an instant to the form in which this project writes every instant: to the millisecond, in UTC. */
function instant(name: string, value: unknown): string {
  const date = parseInstant(value);
  if (!date) throw invalid(name, value, 'an instant as RFC 3339 has it');
  return date.toISOString();
}

/** Converts a duration to whole milliseconds, rounded down: a session is not charged for time that it has not run. */
function durationMs(name: string, value: unknown): number {
  const { secs, nanos } = objectOf(name, value);
  const ms = Math.floor(checkInteger(`${name}.nanos`, nanos, 0, 999_999_999) / 1e6);
  return checkInteger(name, checkInteger(`${name}.secs`, secs, 0) * 1000 + ms, 0);
}

/** Converts the reason of a session's end. A reason that only a later version of the service knows stays as it is. */
function endReason(name: string, value: unknown): JsonObject {
  const { exit_code: exitCode, ...reason } = objectOf(name, value);
  checkText(`${name}.type`, reason['type']);
  if (reason['type'] === 'launch_failed') ofType(`${name}.error`, reason['error'], 'string');
  if (reason['type'] !== 'process_exited') return objectOf(name, value);
  const convertCode = unlessNull((item, given) => checkInteger(item, given, Number.MIN_SAFE_INTEGER));
  const code = convertCode(`${name}.exit_code`, exitCode);
  return { ...reason, ...(code === undefined ? undefined : { exitCode: code }) };
}

function denialReasons(name: string, value: unknown): JsonValue {
  if (Array.isArray(value) && value.every((reason) => typeof reason === 'string')) return value;
  throw invalid(name, value, 'an array of strings');
}

// Usage, cooldowns, snapshot, settings and limits. The store's own methods check entry ids, days and totals.

const maxSeconds = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

function takeUsage([, entryBytes, dayBytes, secs]: Row, sink: Sink): void {
  const at = { table: 'usage', row: `${named(entryBytes)} ${named(dayBytes)}` };
  const found = orSkip(sink, at, () => {
    const seconds = checkInteger('duration_secs', typeof secs === 'bigint' ? Number(secs) : secs, 0);
    return { entryId: checkUtf8('entry_id', entryBytes), day: checkUtf8('day', dayBytes), durationMs: seconds * 1000 };
  });
  if (found) sink.usage(at, found.entryId, found.day, found.durationMs);
}

function takeCooldown([, subjectBytes, untilBytes]: Row, sink: Sink): void {
  const at = { table: 'cooldowns', row: named(subjectBytes) };
  const found = orSkip(sink, at, () => ({
    entryId: checkUtf8('the subject', subjectBytes),
    until: new Date(instant('until', checkUtf8('until', untilBytes))),
  }));
  if (found) sink.cooldown(at, found.entryId, found.until);
}

function takeSnapshot([id, bytes]: Row, sink: Sink): void {
  const at = { table: 'snapshot', row: String(id) };
  try {
    const text = checkUtf8('snapshot_json', bytes);
    sink.snapshot(at, { identity: hash('sha256', text).slice(0, 32), ...readForeignState(text) });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    sink.skip(at, `${error.message}; if a session was running, it was not taken`);
  }
}

function takeSetting(cells: Cells, sink: Sink): void {
  const at = { table: 'settings', row: nameOf(cells, ['key']) };
  const found = orSkip(sink, at, () => {
    return { key: checkText('key', cells('key')), value: checkJson('value', cells('value') ?? null) };
  });
  if (found) sink.setting(at, found.key, found.value);
}

function takeOverride(cells: Cells, sink: Sink): void {
  const at = { table: 'daily_overrides', row: nameOf(cells, ['subject', 'day']) };
  const found = orSkip(sink, at, () => ({
    subject: checkText('subject', cells('subject')),
    day: checkDay('day', cells('day')),
    grantedMs: 1000 * checkInteger('quota_delta_seconds', cells('quota_delta_seconds') ?? 0, -maxSeconds, maxSeconds),
    availability: availabilityOf(cells('availability')),
  }));
  if (found) sink.override(at, found);
}

function availabilityOf(value: unknown): Availability | null {
  if (value === undefined) return null;
  return checkInteger('availability', value, 0, 1) === 0 ? 'denied' : 'allowed';
}

function takeBalance(cells: Cells, sink: Sink): void {
  const at = { table: 'token_balances', row: nameOf(cells, ['subject']) };
  const found = orSkip(sink, at, () => ({
    subject: checkText('subject', cells('subject')),
    balanceMs: 1000 * checkInteger('balance_secs', cells('balance_secs'), 0, maxSeconds),
  }));
  if (found) sink.balance(at, found.subject, found.balanceMs);
}
