// The rows of `runs`.
import { randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import { checkInstant, checkOneOf, checkOptions, checkText, quote } from '../../values/checks.ts';
import type { JsonValue } from '../../values/json.ts';
import { present, RowReader } from '../row-reader.ts';
import { conflict, encodeJson, naming, notFound, nowText, type Page, shownNames, timesAfter } from './rows.ts';

const runStatuses = ['pending', 'running', 'completed', 'failed', 'cancelled'] as const;
/** The status of a run: pending → running or cancelled, running → completed, failed or cancelled. */
export type RunStatus = (typeof runStatuses)[number];

const changes: Record<RunStatus, readonly RunStatus[]> = {
  pending: ['running', 'cancelled'], running: ['completed', 'failed', 'cancelled'],
  completed: [], failed: [], cancelled: [],
};

/** One execution of a plan. */
export interface Run {
  id: string;
  planPath: string;
  status: RunStatus;
  startedAt?: Date;
  completedAt?: Date;
  /** What was given with the last change of status. */
  error?: string;
  metadata: JsonValue;
  createdAt: Date;
  updatedAt: Date;
}

/** What a run is created with: a new UUID as its id, pending and `{}` as metadata unless given. */
export interface NewRun {
  id?: string | undefined;
  planPath: string;
  status?: RunStatus | undefined;
  /** When the run started, where that is not when it gets the status `running`. */
  startedAt?: Date | undefined;
  metadata?: JsonValue | undefined;
}

/** Which runs to list. */
export interface RunFilter extends Page {
  status?: RunStatus | undefined;
}

interface CheckedRun {
  id: string;
  planPath: string;
  status: RunStatus;
  startedAt: string | null;
  metadata: string;
}

export function checkNewRun(given: NewRun): CheckedRun {
  const names = ['id', 'planPath', 'status', 'startedAt', 'metadata'];
  const checked = checkOptions('run', given, names);
  const { id = randomUUID(), planPath, status = 'pending', startedAt, metadata = {} } = checked;
  return {
    id: checkText('run.id', id), planPath: checkText('run.planPath', planPath),
    status: checkRunStatus('run.status', status),
    startedAt: startedAt === undefined ? null : checkInstant('run.startedAt', startedAt),
    metadata: encodeJson('run.metadata', metadata),
  };
}

export function checkRunStatus(name: string, value: unknown): RunStatus {
  return checkOneOf(name, value, runStatuses);
}

const columns = 'id, plan_path, status, started_at, completed_at, error, metadata, created_at, updated_at';
type RunRow = [id: string, ...unknown[]];

function decodeRun([id, planPath, status, startedAt, completedAt, error, metadata, createdAt, updatedAt]: RunRow): Run {
  const reader = new RowReader(`run ${quote(id)}`);
  return present<Run>({
    id: reader.text('id', id), planPath: reader.text('plan_path', planPath),
    status: reader.word('status', status, runStatuses),
    error: reader.optionalText('error', error), metadata: reader.json('metadata', metadata),
    startedAt: reader.optionalInstant('started_at', startedAt),
    completedAt: reader.optionalInstant('completed_at', completedAt),
    createdAt: reader.instant('created_at', createdAt), updatedAt: reader.instant('updated_at', updatedAt),
  });
}

export function insertRun(connection: ModuleConnection, what: string, run: CheckedRun): Run {
  if (hasRun(connection, run.id)) throw conflict(what, 'the id is taken');
  const now = nowText(connection);
  const sql = `INSERT INTO runs (id, plan_path, status, started_at, completed_at, metadata, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) RETURNING ${columns}`;
  const times = timesAfter(run.status, run.startedAt, now);
  const row = connection.get<RunRow>(sql, run.id, run.planPath, run.status, ...times, run.metadata, now)!;
  return decodeRun(row);
}

function hasRun(connection: ModuleConnection, id: string): boolean {
  return connection.get('SELECT 1 FROM runs WHERE id = ?', id) !== undefined;
}

export function mustHaveRun(connection: ModuleConnection, what: string, id: string): void {
  if (!hasRun(connection, id)) throw notFound(what, `run ${quote(id)}`);
}

export function findRun(connection: ModuleConnection, what: string, id: string): Run {
  const row = connection.get<RunRow>(`SELECT ${columns} FROM runs WHERE id = ?`, id);
  if (!row) throw notFound(what, `run ${quote(id)}`);
  return decodeRun(row);
}

/** Changes a run's status and gives the run as it was before and as it is now. */
export function changeRunStatus(
  connection: ModuleConnection, what: string, id: string, status: RunStatus, error: string | undefined,
): [before: Run, after: Run] {
  const before = findRun(connection, what, id);
  if (!changes[before.status].includes(status)) throw conflict(what, `it is ${before.status}`);
  const now = nowText(connection);
  const sql = `UPDATE runs SET status = ?2, started_at = ?3, completed_at = ?4, error = ?5, updated_at = ?6
    WHERE id = ?1 RETURNING ${columns}`;
  const times = timesAfter(status, before.startedAt?.toISOString() ?? null, now);
  const row = connection.get<RunRow>(sql, id, status, ...times, error ?? null, now)!;
  return [before, decodeRun(row)];
}

export function selectRuns(
  connection: ModuleConnection, status: RunStatus | undefined, page: [limit: number, offset: number],
): Run[] {
  // The position is the order of creation, whatever the clock said.
  const rest = 'ORDER BY position DESC LIMIT ? OFFSET ?';
  if (status === undefined) {
    return connection.all<RunRow>(`SELECT ${columns} FROM runs ${rest}`, ...page).map(decodeRun);
  }
  // The rows are read in a second step: in one step SQLite would take the status from the index, and a damaged status
  // in the row would go unseen.
  const sql = `SELECT ${columns} FROM runs WHERE position IN (SELECT position FROM runs WHERE status = ? ${rest})
    ORDER BY position DESC`;
  return connection.all<RunRow>(sql, status, ...page).map(decodeRun);
}

/** Deletes a run and gives it as it was. Its units and events are deleted with it, by their foreign keys. */
export function removeRun(connection: ModuleConnection, what: string, id: string): Run {
  const run = findRun(connection, what, id);
  const sql = `SELECT resource_type, resource_name FROM resource_state WHERE last_run_id = ? LIMIT ${shownNames + 1}`;
  const states = connection.all<[string, string]>(sql, id).map((state) => state.join('/'));
  if (states.length > 0) throw conflict(what, `it is the last run of the resource state ${naming(states)}`);
  connection.prepare('DELETE FROM runs WHERE id = ?').run(id);
  return run;
}
