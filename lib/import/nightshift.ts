// Nightshift's database, and the state.json of the versions before it had one: projects, when which task was done in each,
// tasks in progress, and a record of each run. Instants are Go's (lib/import/go-time.ts).
import { hash } from 'node:crypto';
import { posix } from 'node:path';
import { encodeEvent } from '../events.ts';
import { checkText, invalid } from '../values.ts';
import type { JsonObject } from '../values.ts';
import { convertRow, freeText, oneOf, optional, textsOfJson, wholeNumber } from './convert.ts';
import type { Conversion, Convert } from './convert.ts';
import { goInstant, goInstantOrNever } from './go-time.ts';
import type { Sink, SourceEvent } from './sink.ts';
import type { SourceKind } from './source.ts';
import type { TargetRow } from './tables.ts';
import { countRows, hasColumns, listOthers, nameOf, orSkip, walkTable } from './walk.ts';
import type { Cells } from './walk.ts';

/** By its text alone: the path may be another machine's, and so may the home that `~` stands for. */
const projectPath: Convert = (name, value) => {
  const path = posix.normalize(checkText(name, value));
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
};
/** A run of the service had one project, or none. */
const projectPaths: Convert = (name, value) => JSON.stringify(value === '' || value === undefined ? [] : [projectPath(name, value)]);
const count: Convert = (name, value) => wholeNumber(name, value ?? 0);

const projects: Conversion = { path: ['path', projectPath], last_run_at: ['last_run', goInstantOrNever], run_count: ['run_count', count] };
const taskHistory: Conversion = { project_path: ['project_path', projectPath], task_type: ['task_type', checkText], last_run_at: ['last_run', goInstant] };
const assignedTasks: Conversion = {
  task_id: ['task_id', checkText], project_path: ['project', projectPath], task_type: ['task_type', checkText], assigned_at: ['assigned_at', goInstant],
};
const runHistory: Conversion = {
  id: ['id', checkText], started_at: ['start_time', goInstant], ended_at: ['end_time', goInstantOrNever], provider: ['provider', optional(checkText)],
  projects: ['project', projectPaths], tasks: ['tasks', optional(textsOfJson, '[]')], tokens_used: ['tokens_used', count],
  status: ['status', oneOf('success', 'failed', 'partial')], error: ['error', optional(freeText)], branch: ['branch', optional(checkText)],
};

/** Where the rows of a table go. */
export interface Destination {
  table: TargetRow['table'];
  conversion: Conversion;
  /** What names a row. */
  names: readonly string[];
}

/** By the names that they have in the database. */
export const destinations = {
  projects: { table: 'projects', conversion: projects, names: ['path'] },
  task_history: { table: 'task_history', conversion: taskHistory, names: ['project_path', 'task_type'] },
  assigned_tasks: { table: 'assigned_tasks', conversion: assignedTasks, names: ['task_id'] },
  run_history: { table: 'run_records', conversion: runHistory, names: ['id'] },
} as const satisfies Record<string, Destination>;

/** What both kinds of source have. */
export const common = {
  tables: () => ['projects', 'task_history', 'assigned_tasks', 'run_records'],
  identity: () => 'nightshift',
} as const satisfies Partial<SourceKind>;

/** Takes a row, whichever file it comes from. `from` is its table there. */
export function takeRow(sink: Sink, from: string, { table, conversion, names }: Destination, cells: Cells): void {
  const at = { table: from, row: nameOf(cells, names) };
  const values = orSkip(sink, at, () => convertRow(conversion, cells));
  if (values) sink.row(at, { table, values });
}

/** The columns of a table that its rows are made from. */
export function sourceNames({ conversion }: Destination): string[] {
  return Object.values(conversion).map(([from]) => from);
}

const later = ['provider', 'branch']; // columns that earlier versions of the service do not have
const columns = Object.fromEntries(Object.entries(destinations).map(([table, destination]) => [table, sourceNames(destination).filter((name) => !later.includes(name))]));
/** Measurements that have no table here: each becomes an event, so that nothing is lost. */
const measurements: Record<string, string> = { snapshots: 'nightshift_snapshot', bus_factor_results: 'nightshift_bus_factor_result' };

export const nightshift: SourceKind = {
  ...common,
  name: 'nightshift',
  recognise: (source) => hasColumns(source, columns),
  count: (source) => countRows(source, 'schema_version'),
  *walk(source, sink) {
    const known: Record<string, readonly string[]> = { schema_version: source.tables.get('schema_version') ?? [] };
    for (const [table, destination] of Object.entries(destinations)) {
      const names = sourceNames(destination).filter((name) => source.tables.get(table)!.includes(name));
      known[table] = names;
      yield* walkTable(source, sink, table, names, (cells) => takeRow(sink, table, destination, (name) => (names.includes(name) ? cells(name) : undefined)));
    }
    for (const [table, type] of Object.entries(measurements)) {
      const names = source.tables.get(table);
      if (!names?.includes('timestamp')) continue;
      known[table] = names;
      yield* walkTable(source, sink, table, names, (cells, rowid, text) => {
        const event = orSkip(sink, { table, row: String(rowid) }, () => convertMeasurement(type, names, cells, `nightshift:${table}:${rowid}:${hash('sha256', text).slice(0, 32)}`));
        if (event) sink.event(event);
      });
    }
    yield* listOthers(source, sink, known);
  },
};

/** The columns are the fields, under the names that they have. */
function convertMeasurement(type: string, names: readonly string[], cells: Cells, sourceRow: string): SourceEvent {
  if (names.includes('type')) throw invalid('type', cells('type'), 'no column of the table');
  const timestamp = goInstant('timestamp', cells('timestamp'));
  const fields: JsonObject = Object.fromEntries(names.filter((name) => name !== 'timestamp').map((name) => [name, cells(name) as string | number | undefined]));
  const { data } = encodeEvent({ ...fields, type });
  return { sourceRow, type, data, timestamp, meta: { observedAt: timestamp, sourceTimestamp: cells('timestamp') } };
}
