// Runs for export: a row for each, with how many of its units are where.
import { type Run, RunStore } from '../modules/runs/runs.ts';
import { connect, type SqliteStore } from '../store.ts';
import { type Cell, durationCells, jsonCell } from './csv.ts';
import { type Asked, hasInstant, pageSize, type Table, Unread } from './export-table.ts';
import { attemptRow, keyText } from './rows.ts';

const unitStatuses = ['pending', 'running', 'completed', 'failed', 'skipped'] as const;

/** A run, how long it took by the wall clock, and the number of its units by their status. */
type RunRow = Run & { durationMs?: number; units: Record<string, number> };

const columns = [
  'id', 'plan_path', 'status', 'created_at', 'started_at', 'completed_at', 'duration_ms', 'duration', 'units',
  ...unitStatuses.map((status) => `units_${status}`), 'error', 'metadata',
];

/** The runs that were created on the days asked for, in that order. */
export function runsTable({ store, range }: Asked): Table<RunRow> {
  return {
    columns,
    pages: runsIn(store, (row) => row instanceof Unread || hasInstant(range, row.createdAt)),
    cells: runCells,
    document: (run) => run,
  };
}

function* runsIn(
  store: SqliteStore, isAsked: (row: RunRow | Unread) => boolean,
): Generator<(RunRow | Unread)[], void, undefined> {
  const door = connect(store);
  const runStore = new RunStore(store);
  const sql = `SELECT position, id FROM runs WHERE position > ? ORDER BY position LIMIT ${pageSize}`;
  for (let last = -1; ; ) {
    const [position, rows] = door.readTogether('read the runs', () => {
      const keys = door.all<[number, unknown]>(sql, last);
      return [keys.at(-1)?.[0], keys.map(([, id]) => readRun(store, runStore, id))];
    });
    yield rows.filter(isAsked);
    if (position === undefined || position <= last) return;
    last = position;
  }
}

function readRun(store: SqliteStore, runStore: RunStore, id: unknown): RunRow | Unread {
  const { value, error } = attemptRow((): RunRow => {
    const run = runStore.getRun(id as string);
    const { startedAt, completedAt } = run;
    const durationMs = startedAt && completedAt && completedAt.getTime() - startedAt.getTime();
    return { ...run, ...(durationMs === undefined ? undefined : { durationMs }), units: unitsOf(store, run.id) };
  });
  return error ? new Unread({ id: keyText(id) }, error) : value;
}

function unitsOf(store: SqliteStore, runId: string): Record<string, number> {
  const door = connect(store);
  const sql = 'SELECT status, count(*) FROM plan_units WHERE run_id = ? GROUP BY status';
  const rows = door.read('count the units', () => door.all<[unknown, number]>(sql, runId));
  return Object.fromEntries(rows.map(([status, units]) => [keyText(status), units]));
}

function runCells(run: RunRow): Cell[] {
  const { id, planPath, status, createdAt, startedAt, completedAt, durationMs, units, error, metadata } = run;
  return [
    id, planPath, status, createdAt, startedAt, completedAt, ...durationCells(durationMs),
    Object.values(units).reduce((sum, number) => sum + number, 0),
    ...unitStatuses.map((unitStatus) => units[unitStatus] ?? 0), error, jsonCell(metadata),
  ];
}
