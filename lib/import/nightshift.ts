// Nightshift's database, and what it shares with the state.json of the versions that had no database: projects, when
// each type of task was done there, tasks in progress, and a record of each run. Instants are Go's
// (lib/import/go-time.ts).
import { hash } from 'node:crypto';
import { posix } from 'node:path';
import { encodeEvent } from '../core/events.ts';
import { checkCount, checkText, invalid } from '../values/checks.ts';
import type { JsonObject } from '../values/json.ts';
import { type Conversion, type Convert, convertRow, freeText, oneOf, optional, textsOfJson } from './convert.ts';
import { goInstant, goInstantOrNever } from './go-time.ts';
import type { Sink, SourceEvent } from './sink.ts';
import type { SourceKind } from './source.ts';
import type { TargetRow } from './tables.ts';
import { type Cells, countRows, hasColumns, listOthers, nameOf, orSkip, walkTable } from './walk.ts';

/** Converts a path by its text alone: the path, and the home folder that `~` stands for, may be another machine's. */
const projectPath: Convert = (name, value) => {
  const path = posix.normalize(checkText(name, value));
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
};
/** Converts the project of a run of the service, which had one project or none, to a list. */
const projectPaths: Convert = (name, value) => {
  return JSON.stringify(value === '' || value === undefined ? [] : [projectPath(name, value)]);
};
const count: Convert = (name, value) => checkCount(name, value ?? 0);

const projects: Conversion = {
  path: ['path', projectPath], last_run_at: ['last_run', goInstantOrNever], run_count: ['run_count', count],
};
const taskHistory: Conversion = {
  project_path: ['project_path', projectPath], task_type: ['task_type', checkText],
  last_run_at: ['last_run', goInstant],
};
const assignedTasks: Conversion = {
  task_id: ['task_id', checkText], project_path: ['project', projectPath], task_type: ['task_type', checkText],
  assigned_at: ['assigned_at', goInstant],
};
const runHistory: Conversion = {
  id: ['id', checkText], started_at: ['start_time', goInstant], ended_at: ['end_time', goInstantOrNever],
  provider: ['provider', optional(checkText)], projects: ['project', projectPaths],
  tasks: ['tasks', optional(textsOfJson, '[]')], tokens_used: ['tokens_used', count],
  status: ['status', oneOf('success', 'failed', 'partial')], error: ['error', optional(freeText)],
  branch: ['branch', optional(checkText)],
};

/** Where the rows of a table go. */
export interface Destination {
  table: TargetRow['table'];
  conversion: Conversion;
  /** The columns of the source that name a row in a report. */
  names: readonly string[];
}

/** The destinations, by the names of the database's tables. */
export const destinations: Record<'projects' | 'task_history' | 'assigned_tasks' | 'run_history', Destination> = {
  projects: { table: 'projects', conversion: projects, names: ['path'] },
  task_history: { table: 'task_history', conversion: taskHistory, names: ['project_path', 'task_type'] },
  assigned_tasks: { table: 'assigned_tasks', conversion: assignedTasks, names: ['task_id'] },
  run_history: { table: 'run_records', conversion: runHistory, names: ['id'] },
};

/** What the kinds of source of Nightshift have in common. */
export const common: Required<Pick<SourceKind, 'tables' | 'identity'>> = {
  tables: () => ['projects', 'task_history', 'assigned_tasks', 'run_records'],
  identity: () => 'nightshift',
};

/** Takes a row, whichever file it comes from. `from` is its table there. */
export function takeRow(sink: Sink, from: string, { table, conversion, names }: Destination, cells: Cells): void {
  const at = { table: from, row: nameOf(cells, names) };
  const values = orSkip(sink, at, () => convertRow(conversion, cells));
  if (values) sink.row(at, { table, values });
}

/** Gives the columns of the source from which the rows of a destination are made. */
export function sourceNames({ conversion }: Destination): string[] {
  return Object.values(conversion).map(([from]) => from);
}

const later = ['provider', 'branch']; // columns that earlier versions of the service do not have
const columns = Object.fromEntries(Object.entries(destinations).map(([table, destination]) => {
  return [table, sourceNames(destination).filter((name) => !later.includes(name))];
}));
/** The types of the events that measurements become, because this store has no table for them. */
const measurements: Record<string, string> = {
  snapshots: 'nightshift_snapshot', bus_factor_results: 'nightshift_bus_factor_result',
};

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
      yield* walkTable(source, sink, table, names, (cells) => {
        takeRow(sink, table, destination, (name) => (names.includes(name) ? cells(name) : undefined));
      });
    }
    for (const [table, type] of Object.entries(measurements)) {
      const names = source.tables.get(table);
      if (!names?.includes('timestamp')) continue;
      known[table] = names;
      yield* walkTable(source, sink, table, names, (cells, rowid, text) => {
        const sourceRow = `nightshift:${table}:${rowid}:${hash('sha256', text).slice(0, 32)}`;
        const at = { table, row: String(rowid) };
        const event = orSkip(sink, at, () => convertMeasurement(type, names, cells, sourceRow));
        if (event) sink.event(event);
      });
    }
    yield* listOthers(source, sink, known);
  },
};

/** Converts a measurement to an event. Its columns become the fields and keep their names. */
function convertMeasurement(type: string, names: readonly string[], cells: Cells, sourceRow: string): SourceEvent {
  if (names.includes('type')) throw invalid('type', cells('type'), 'no column of the table');
  const timestamp = goInstant('timestamp', cells('timestamp'));
  const others = names.filter((name) => name !== 'timestamp');
  const values = others.map((name) => [name, cells(name) as string | number | undefined]);
  const fields = Object.fromEntries(values) as JsonObject;
  const { data } = encodeEvent({ ...fields, type });
  return { sourceRow, type, data, timestamp, meta: { observedAt: timestamp, sourceTimestamp: cells('timestamp') } };
}
