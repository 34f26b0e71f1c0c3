// Project snapshots: the state of one project as JSON in a row, taken and put back by one statement each.
import { randomUUID } from 'node:crypto';
import { StoreError } from '../../errors.ts';
import type { ModuleConnection } from '../../store.ts';
import { checkInteger, checkText, parseJson, quote, show } from '../../values.ts';
import type { JsonValue } from '../../values.ts';
import { decodeAssignment, decodeProject, decodeTaskRun, insertAssignment, instantIn } from './rows.ts';
import type { Assignment, AssignmentRow, Project, TaskRow, TaskRun } from './rows.ts';

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

/** The texts of the columns as they stand: also what cannot be read can be kept, and then be rolled back. */
const captureSql = `
  INSERT INTO project_snapshots (id, project_path, label, captured_at, state, value)
  SELECT ?1, path, ?3, ?4, json_object(
    'lastRunAt', last_run_at, 'runCount', run_count, 'claimedAt', claimed_at,
    'taskHistory', (SELECT json_group_array(json_array(task_type, last_run_at) ORDER BY task_type) FROM task_history WHERE project_path = path),
    'assignments', (SELECT json_group_array(json_array(task_id, project_path, task_type, assigned_at) ORDER BY position) FROM assigned_tasks WHERE project_path = path)), ?5
  FROM projects WHERE path = ?2`;

interface State {
  lastRunAt: string | null;
  runCount: number;
  claimedAt: string | null;
  taskHistory: TaskRow[];
  assignments: AssignmentRow[];
}

/** Keeps the state of a known project and gives the id. `value` is JSON text. */
export function capture(connection: ModuleConnection, path: string, label: string, value: string | null): string {
  const id = randomUUID();
  connection.prepare(captureSql).run(id, path, label, connection.now().toISOString(), value);
  return id;
}

type InfoRow = [id: string, path: string, label: string, capturedAt: string];

/** A project's snapshots, the newest first. */
export function listSnapshots(connection: ModuleConnection, path: string): ProjectSnapshotInfo[] {
  const sql = 'SELECT id, project_path, label, captured_at FROM project_snapshots WHERE project_path = ? ORDER BY position DESC';
  return (connection.prepare(sql).all(path) as unknown as InfoRow[]).map(decodeInfo);
}

/** A snapshot as it is stored and as values. Throws `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CORRUPT` where it cannot be read. */
export function readSnapshot(connection: ModuleConnection, what: string, id: string): { state: State; snapshot: ProjectSnapshot } {
  const sql = 'SELECT id, project_path, label, captured_at, state, value FROM project_snapshots WHERE id = ?';
  const row = connection.prepare(sql).get(id) as unknown as [...InfoRow, state: string, value: string | null] | undefined;
  if (!row) throw notFound(what, id);
  const [, path, label, capturedAt, text, value] = row;
  const state = JSON.parse(text) as State;
  try {
    checkInteger('runCount', state.runCount, 0);
    for (const part of [...state.taskHistory, ...state.assignments].flat()) checkText('a text', part);
    const snapshot: ProjectSnapshot = {
      ...decodeInfo([id, path, label, capturedAt]),
      project: decodeProject([path, state.lastRunAt, state.runCount, state.claimedAt]),
      taskHistory: state.taskHistory.map((task) => decodeTaskRun(path, task)),
      assignments: state.assignments.map(decodeAssignment),
      ...(value === null ? undefined : { value: parseJson(value) }),
    };
    return { state, snapshot };
  } catch (cause) {
    // A field that lacks or has another type is no error of this program's.
    throw new StoreError('ERR_STORE_CORRUPT', `failed to ${what} ${quote(id)}: its state cannot be read: ${show(text)}`, { cause });
  }
}

function decodeInfo([id, path, label, capturedAt]: InfoRow): ProjectSnapshotInfo {
  return { id, path, label, capturedAt: instantIn(`the time of the project snapshot ${id}`, capturedAt) };
}

/** Puts a project's row, task history and assignments back; its claim stays as it is. */
export function putBack(connection: ModuleConnection, path: string, { lastRunAt, runCount, taskHistory, assignments }: State): void {
  connection.prepare('UPDATE projects SET last_run_at = ?, run_count = ? WHERE path = ?').run(lastRunAt, runCount, path);
  connection.prepare('DELETE FROM task_history WHERE project_path = ?').run(path);
  for (const row of taskHistory) connection.prepare('INSERT INTO task_history (project_path, task_type, last_run_at) VALUES (?, ?, ?)').run(path, ...row);
  connection.prepare('DELETE FROM assigned_tasks WHERE project_path = ?').run(path);
  for (const row of assignments) {
    if (!insertAssignment(connection, row)) throw new StoreError('ERR_STORE_CONFLICT', `failed to restore ${quote(path)}: the task ${quote(row[0])} is assigned in another project now`);
  }
}

/** Throws `ERR_STORE_NOT_FOUND` where there is none. */
export function deleteSnapshot(connection: ModuleConnection, what: string, id: string): void {
  if (connection.prepare('DELETE FROM project_snapshots WHERE id = ?').run(id).changes === 0) throw notFound(what, id);
}

function notFound(what: string, id: string): StoreError {
  return new StoreError('ERR_STORE_NOT_FOUND', `failed to ${what} ${quote(id)}: there is none with this id`);
}
