// The rows of projects, their task history and their assignments, as values.
import { StoreError } from '../../errors.ts';
import type { ModuleConnection } from '../../store.ts';
import { parseInstant, quote, show } from '../../values.ts';

/** A project by its path, canonical where it was recorded here. */
export interface Project {
  path: string;
  /** The last successful run. */
  lastRunAt?: Date;
  runCount: number;
  /** When somebody who processes it now has claimed it. */
  claimedAt?: Date;
}

/** When a type of task was last done in a project. */
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

/** The instant in a column. Throws `ERR_STORE_CORRUPT` where it is none: no time would read as "never". */
export function instantIn(what: string, text: unknown): Date {
  const instant = parseInstant(text);
  if (!instant) throw new StoreError('ERR_STORE_CORRUPT', `${what} cannot be read: ${show(text)}`);
  return instant;
}

export function makeKnown(connection: ModuleConnection, path: string): void {
  connection.prepare('INSERT INTO projects (path) VALUES (?) ON CONFLICT (path) DO NOTHING').run(path);
}

const projectColumns = 'SELECT path, last_run_at, run_count, claimed_at FROM projects';
type ProjectRow = [path: string, lastRunAt: string | null, runCount: number, claimedAt: string | null];

export function projectOf(connection: ModuleConnection, path: string): Project | undefined {
  const row = connection.prepare(`${projectColumns} WHERE path = ?`).get(path) as unknown as ProjectRow | undefined;
  return row && decodeProject(row);
}

export function allProjects(connection: ModuleConnection): Project[] {
  return (connection.prepare(`${projectColumns} ORDER BY path`).all() as unknown as ProjectRow[]).map(decodeProject);
}

export function decodeProject([path, lastRunAt, runCount, claimedAt]: ProjectRow): Project {
  return {
    path,
    ...(lastRunAt === null ? undefined : { lastRunAt: instantIn(`the last run of ${quote(path)}`, lastRunAt) }),
    runCount,
    ...(claimedAt === null ? undefined : { claimedAt: instantIn(`the claim of ${quote(path)}`, claimedAt) }),
  };
}

export type TaskRow = [taskType: string, lastRunAt: string];

export function decodeTaskRun(path: string, [taskType, lastRunAt]: TaskRow): TaskRun {
  return { taskType, lastRunAt: instantIn(`the last run of ${quote(taskType)} in ${quote(path)}`, lastRunAt) };
}

export type AssignmentRow = [taskId: string, project: string, taskType: string, assignedAt: string];

export function decodeAssignment([taskId, project, taskType, assignedAt]: AssignmentRow): Assignment {
  return { taskId, project, taskType, assignedAt: instantIn(`the assignment of ${quote(taskId)}`, assignedAt) };
}

/** Inserts an assignment and says whether its task id was free. */
export function insertAssignment(connection: ModuleConnection, row: AssignmentRow): boolean {
  const sql = 'INSERT INTO assigned_tasks (task_id, project_path, task_type, assigned_at) VALUES (?, ?, ?, ?) ON CONFLICT (task_id) DO NOTHING';
  return connection.prepare(sql).run(...row).changes === 1;
}
