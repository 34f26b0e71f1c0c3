// An OpenFroyo database (its `pkg/stores`): runs, plan units, their events, resource states, facts, and an audit trail.
// Instants are Go's (lib/import/go-time.ts) or CURRENT_TIMESTAMP's; JSON is stored as text.
import { hash } from 'node:crypto';
import { encodeEvent } from '../core/events.ts';
import { checkCount, checkText, invalid } from '../values/checks.ts';
import { jsonOf, membersOf } from '../values/json-text.ts';
import type { JsonObject } from '../values/json.ts';
import { type Conversion, convertRow, freeText, jsonText, oneOf, optional, sameNames, textsOfJson } from './convert.ts';
import { goInstant, goInstantOrNever } from './go-time.ts';
import type { Sink, SourceEvent } from './sink.ts';
import type { Source, SourceKind } from './source.ts';
import type { TargetRow } from './tables.ts';
import { type Cells, countRows, hasColumns, listOthers, nameOf, orSkip, walkTable } from './walk.ts';

const times = { created_at: goInstant, updated_at: goInstant };

const runs = sameNames({
  id: checkText, plan_path: freeText, status: oneOf('pending', 'running', 'completed', 'failed', 'cancelled'),
  started_at: goInstantOrNever, completed_at: goInstantOrNever, error: optional(freeText),
  metadata: optional(jsonText, '{}'), ...times,
});
const planUnits = sameNames({
  id: checkText, run_id: checkText, resource_type: checkText, resource_name: checkText,
  action: oneOf('create', 'update', 'delete', 'read'),
  status: oneOf('pending', 'running', 'completed', 'failed', 'skipped'),
  dependencies: optional(textsOfJson, '[]'), desired_state: jsonText, actual_state: optional(jsonText),
  diff: optional(jsonText), error: optional(freeText), retries: checkCount,
  started_at: goInstantOrNever, completed_at: goInstantOrNever, ...times,
});
const runEvents = sameNames({
  run_id: optional(checkText), plan_unit_id: optional(checkText), level: oneOf('debug', 'info', 'warning', 'error'),
  message: freeText, details: optional(jsonText), timestamp: goInstant,
});
const resourceState = sameNames({
  id: checkText, resource_type: checkText, resource_name: checkText, state: jsonText, last_run_id: checkText,
  last_applied: goInstant, ...times,
});
const facts: Conversion = {
  ...sameNames({ id: checkText, target_id: checkText, namespace: checkText, key: checkText, value: jsonText }),
  ttl_seconds: ['ttl', checkCount],
  ...sameNames({ expires_at: goInstantOrNever, ...times }),
};

const sourceNames = (conversion: Conversion): string[] => Object.values(conversion).map(([from]) => from);
const auditColumns = ['id', 'action', 'actor', 'target_id', 'details', 'ip_address', 'timestamp'];
const columns: Record<string, readonly string[]> = {
  runs: sourceNames(runs),
  plan_units: sourceNames(planUnits),
  events: ['id', ...sourceNames(runEvents)],
  resource_state: [...sourceNames(resourceState), 'hash'],
  facts: sourceNames(facts),
  audit: auditColumns,
};

export const openfroyo: SourceKind = {
  name: 'openfroyo',
  tables: () => ['runs', 'plan_units', 'run_events', 'resource_state', 'facts'],
  recognise: (source) => hasColumns(source, columns),
  count: (source) => countRows(source, 'schema_migrations'),
  identity: () => 'openfroyo',
  has: (source, table, id) => source.all(`SELECT 1 FROM ${table} WHERE id = ?`, id).length > 0,
  *walk(source, sink) {
    // The rows to which others belong come first.
    yield* walkRowsOf(source, sink, 'runs', 'runs', runs);
    yield* walkRowsOf(source, sink, 'plan_units', 'plan_units', planUnits);
    yield* walkTable(source, sink, 'events', sourceNames(runEvents), (cells, rowid) => {
      const at = { table: 'events', row: String(rowid) };
      const values = orSkip(sink, at, () => convertRow(runEvents, cells));
      if (values) sink.row(at, { table: 'run_events', values, sourceRow: `openfroyo:${rowid}` });
    });
    yield* walkRowsOf(source, sink, 'resource_state', 'resource_state', resourceState, withHash);
    yield* walkRowsOf(source, sink, 'facts', 'facts', facts, checkExpiry);
    yield* walkTable(source, sink, 'audit', auditColumns, (cells, rowid, text) => {
      const event = orSkip(sink, { table: 'audit', row: String(rowid) }, () => convertAudit(cells, rowid, text));
      if (event) sink.event(event);
    });
    yield* listOthers(source, sink, { ...columns, schema_migrations: source.tables.get('schema_migrations') ?? [] });
  },
};

function* walkRowsOf(
  source: Source, sink: Sink, from: string, table: TargetRow['table'], conversion: Conversion,
  finish = (values: TargetRow['values']) => values,
): Generator<number, void, undefined> {
  yield* walkTable(source, sink, from, sourceNames(conversion), (cells) => {
    const at = { table: from, row: nameOf(cells, ['id']) };
    const values = orSkip(sink, at, () => finish(convertRow(conversion, cells)));
    if (values) sink.row(at, { table, values });
  });
}

/** Adds the hash of the state. The source's own hash is not used, because its callers decided what they hashed. */
function withHash(values: TargetRow['values']): TargetRow['values'] {
  return { ...values, hash: hash('sha256', String(values['state'])) };
}

/** Refuses a fact whose ttl and expires_at contradict each other: the source reads only the latter, this store both. */
function checkExpiry(values: TargetRow['values']): TargetRow['values'] {
  const { expires_at: expiresAt, ttl_seconds: ttl } = values;
  if ((expiresAt === null) === (ttl === 0)) return values;
  throw invalid('expires_at', expiresAt, ttl === 0 ? 'absent where ttl is 0' : `an instant where ttl is ${ttl}`);
}

/** Converts an entry of the audit trail to an event of the log: its action becomes the type, its details the fields. */
function convertAudit(cells: Cells, rowid: bigint, text: string): SourceEvent {
  const type = checkText('action', cells('action'));
  const data = fieldsOf(optional(checkText)('details', cells('details')) as string | null);
  encodeEvent({ ...(JSON.parse(data) as JsonObject), type }); // for its checks
  const timestamp = goInstant('timestamp', cells('timestamp'));
  const meta: Record<string, unknown> = { observedAt: timestamp, sourceTimestamp: cells('timestamp') };
  for (const [name, column] of [['source', 'actor'], ['target', 'target_id'], ['ipAddress', 'ip_address']] as const) {
    const value = optional(checkText)(column, cells(column));
    if (value !== null) meta[name] = value;
  }
  return { sourceRow: `openfroyo:audit:${rowid}:${hash('sha256', text).slice(0, 32)}`, type, data, timestamp, meta };
}

/** Gives the text of an event's fields. Details that are no object, or have a field `type`, become one field. */
function fieldsOf(details: string | null): string {
  if (details === null) return '{}';
  const value = jsonOf('details', details);
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject && !membersOf('details', details).has('type') ? details : `{"details":${details}}`;
}
