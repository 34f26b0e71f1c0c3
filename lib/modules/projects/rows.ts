// Reads and writes the rows of projects, their task history and their assignments.
import type { ModuleConnection } from '../../core/door.ts';
import { quote } from '../../values/checks.ts';
import { present, RowReader } from '../row-reader.ts';

/** A project. Its path is canonical unless the project was imported. */
export interface Project {
  path: string;
  /** When its last successful run started. */
  lastRunAt?: Date;
  runCount: number;
  /** When the caller who processes it now claimed it. */
  claimedAt?: Date;
}

/** When the last task of a type that was done in a project was started. */
export interface TaskRun {
  taskType: string;
  lastRunAt: Date;
}

/** A task in progress. */
export interface Assignment {
  taskId: string;
  project: string;
  taskType: string;
  assignedAt: Date;
}

export function makeKnown(connection: ModuleConnection, path: string): void {
  connection.prepare('INSERT INTO projects (path) VALUES (?) ON CONFLICT (path) DO NOTHING').run(path);
}

const selectSql = 'SELECT path, last_run_at, run_count, claimed_at FROM projects';
type ProjectRow = [path: string, ...unknown[]];

export function projectOf(connection: ModuleConnection, path: string): Project | undefined {
  const row = connection.get<ProjectRow>(`${selectSql} WHERE path = ?`, path);
  return row && decodeProject(row);
}

export function allProjects(connection: ModuleConnection): Project[] {
  return connection.all<ProjectRow>(`${selectSql} ORDER BY path`).map(decodeProject);
}

/** Gives a reader for the row of a project. */
export function projectReader(path: string): RowReader {
  return new RowReader(`project ${quote(path)}`);
}

export function decodeProject([path, lastRunAt, runCount, claimedAt]: ProjectRow): Project {
  const reader = projectReader(path);
  return present<Project>({
    path: reader.text('path', path), lastRunAt: reader.optionalInstant('last_run_at', lastRunAt),
    runCount: reader.count('run_count', runCount), claimedAt: reader.optionalInstant('claimed_at', claimedAt),
  });
}

export type TaskRow = [taskType: string, lastRunAt: string];

export function decodeTaskRun(path: string, [taskType, lastRunAt]: TaskRow): TaskRun {
  const reader = new RowReader(`task ${quote(taskType)} of ${quote(path)}`);
  return { taskType: reader.text('task_type', taskType), lastRunAt: reader.instant('last_run_at', lastRunAt) };
}

export type AssignmentRow = [taskId: string, project: string, taskType: string, assignedAt: string];

export function decodeAssignment([taskId, project, taskType, assignedAt]: AssignmentRow): Assignment {
  const reader = new RowReader(`assigned task ${quote(taskId)}`);
  return {
    taskId: reader.text('task_id', taskId), project: reader.text('project_path', project),
    taskType: reader.text('task_type', taskType), assignedAt: reader.instant('assigned_at', assignedAt),
  };
}

/** Inserts an assignment and says whether its task id was free. */
export function insertAssignment(connection: ModuleConnection, row: AssignmentRow): boolean {
  const sql = `INSERT INTO assigned_tasks (task_id, project_path, task_type, assigned_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (task_id) DO NOTHING`;
  return connection.prepare(sql).run(...row).changes === 1;
}
