// Project snapshots: the state of one project as JSON in a row, to be put back later.
import { randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import { quote } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
import type { JsonValue } from '../../values/json.ts';
import { present, RowReader } from '../row-reader.ts';
import {
  type Assignment, type AssignmentRow, decodeAssignment, decodeProject, decodeTaskRun, insertAssignment, type Project,
  type TaskRow, type TaskRun,
} from './rows.ts';

/** What tells snapshots of a project apart. */
export interface ProjectSnapshotInfo {
  id: string;
  path: string;
  label: string;
  capturedAt: Date;
}

/** The state of a project at a moment, and what the caller kept with it. */
export interface ProjectSnapshot extends ProjectSnapshotInfo {
  project: Project;
  taskHistory: TaskRun[];
  assignments: Assignment[];
  value?: JsonValue;
}

/** Copies the columns as they stand, so that a restore can also be undone where it replaced what could not be read. */
const captureSql = `
  INSERT INTO project_snapshots (id, project_path, label, captured_at, state, value)
  SELECT ?1, path, ?3, ?4, json_object(
    'lastRunAt', last_run_at, 'runCount', run_count, 'claimedAt', claimed_at,
    'taskHistory', (
      SELECT json_group_array(json_array(task_type, last_run_at) ORDER BY task_type)
      FROM task_history WHERE project_path = path),
    'assignments', (
      SELECT json_group_array(json_array(task_id, project_path, task_type, assigned_at) ORDER BY position)
      FROM assigned_tasks WHERE project_path = path)), ?5
  FROM projects WHERE path = ?2`;

interface State {
  lastRunAt: string | null;
  runCount: number;
  claimedAt: string | null;
  taskHistory: TaskRow[];
  assignments: AssignmentRow[];
}

/** Keeps the state of a known project and gives the snapshot's id. `value` is a JSON text. */
export function capture(connection: ModuleConnection, path: string, label: string, value: string | null): string {
  const id = randomUUID();
  connection.prepare(captureSql).run(id, path, label, connection.now().toISOString(), value);
  return id;
}

type InfoRow = [id: string, path: string, label: string, capturedAt: string];

/** Gives a project's snapshots, the newest first. */
export function listSnapshots(connection: ModuleConnection, path: string): ProjectSnapshotInfo[] {
  const sql = `SELECT id, project_path, label, captured_at FROM project_snapshots
    WHERE project_path = ? ORDER BY position DESC`;
  return connection.all<InfoRow>(sql, path).map(decodeInfo);
}

type SnapshotRow = [...InfoRow, state: string, value: string | null];

interface Found {
  /** The state as it is stored. */
  state: State;
  /** The same as values. */
  snapshot: ProjectSnapshot;
}

/** Reads a snapshot. Throws `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CORRUPT` where it cannot be read. */
export function readSnapshot(connection: ModuleConnection, what: string, id: string): Found {
  const sql = 'SELECT id, project_path, label, captured_at, state, value FROM project_snapshots WHERE id = ?';
  const row = connection.get<SnapshotRow>(sql, id);
  if (!row) throw notFound(what, id);
  const [, path, , , text, value] = row;
  const reader = readerOf(id);
  const state = reader.json('state', text) as unknown as State;
  const kept = present<Pick<ProjectSnapshot, 'value'>>({ value: reader.optionalJson('value', value) });
  const info = { ...decodeInfo(row), ...kept };
  try {
    // The rows are put back as they are stored, so they must hold exactly what is decoded here and name this project.
    if (!state.taskHistory.every((task) => task.length === 2)) throw reader.damaged('state', text);
    if (!state.assignments.every((task) => task.length === 4 && task[1] === path)) throw reader.damaged('state', text);
    const project = decodeProject([path, state.lastRunAt, state.runCount, state.claimedAt]);
    const taskHistory = state.taskHistory.map((task) => decodeTaskRun(path, task));
    const assignments = state.assignments.map(decodeAssignment);
    return { state, snapshot: { ...info, project, taskHistory, assignments } };
  } catch (cause) {
    // A TypeError means that a field of the state is missing or has another type: the state is damaged, not this
    // program.
    throw reader.damaged('state', text, cause);
  }
}

function readerOf(id: string): RowReader {
  return new RowReader(`project snapshot ${quote(id)}`);
}

function decodeInfo([id, path, label, capturedAt]: InfoRow | [...InfoRow, ...unknown[]]): ProjectSnapshotInfo {
  const reader = readerOf(id);
  return {
    id: reader.text('id', id), path: reader.text('project_path', path), label: reader.text('label', label),
    capturedAt: reader.instant('captured_at', capturedAt),
  };
}

/** Puts a project's row, task history and assignments back. Its claim stays as it is. */
export function putBack(connection: ModuleConnection, path: string, state: State): void {
  const { lastRunAt, runCount, taskHistory, assignments } = state;
  const sql = 'UPDATE projects SET last_run_at = ?, run_count = ? WHERE path = ?';
  connection.prepare(sql).run(lastRunAt, runCount, path);
  connection.prepare('DELETE FROM task_history WHERE project_path = ?').run(path);
  const insertSql = 'INSERT INTO task_history (project_path, task_type, last_run_at) VALUES (?, ?, ?)';
  for (const row of taskHistory) connection.prepare(insertSql).run(path, ...row);
  connection.prepare('DELETE FROM assigned_tasks WHERE project_path = ?').run(path);
  for (const row of assignments) {
    if (insertAssignment(connection, row)) continue;
    const why = `the task ${quote(row[0])} is assigned in another project now`;
    throw new StoreError('ERR_STORE_CONFLICT', `failed to restore ${quote(path)}: ${why}`);
  }
}

/** Deletes a snapshot. Throws `ERR_STORE_NOT_FOUND` where there is none. */
export function deleteSnapshot(connection: ModuleConnection, what: string, id: string): void {
  if (connection.prepare('DELETE FROM project_snapshots WHERE id = ?').run(id).changes === 0) throw notFound(what, id);
}

function notFound(what: string, id: string): StoreError {
  return new StoreError('ERR_STORE_NOT_FOUND', `failed to ${what} ${quote(id)}: there is none with this id`);
}
