// Projects: when each was last processed and which of its tasks are due, who processes it now, what runs did, and the
// state of a project to go back to.
import { localDay } from '../days.ts';
import { StoreError } from '../errors.ts';
import type { EventBase } from '../events.ts';
import { connect } from '../store.ts';
import type { ModuleConnection, SqliteStore } from '../store.ts';
import { checkDuration, checkInteger, checkJson, checkOptions, checkRecord, checkText, invalid, quote } from '../values.ts';
import type { JsonValue } from '../values.ts';
import { projectPath } from './projects/paths.ts';
import { allProjects, decodeAssignment, decodeTaskRun, insertAssignment, makeKnown, projectOf, projectReader } from './projects/rows.ts';
import type { Assignment, AssignmentRow, Project, TaskRow, TaskRun } from './projects/rows.ts';
import { deleteOldRunRecords, encodeRunRecord, insertRunRecord, newestRunRecords, summaryOfDay } from './projects/run-records.ts';
import type { DaySummary, NewRunRecord, RunRecord } from './projects/run-records.ts';
import { dayMs, defaultWindowMs, stalenessOf, startOfRun } from './projects/schedule.ts';
import { capture, deleteSnapshot, listSnapshots, putBack, readSnapshot } from './projects/snapshots.ts';
import type { ProjectSnapshot, ProjectSnapshotInfo } from './projects/snapshots.ts';

export type { Assignment, DaySummary, NewRunRecord, Project, ProjectSnapshot, ProjectSnapshotInfo, RunRecord, TaskRun };
export type { RunRecordStatus } from './projects/run-records.ts';

/** A type of task that is due in a project; `staleness` is `Infinity` where it was never done there. */
export interface DueTask {
  path: string;
  taskType: string;
  staleness: number;
}

/**
 * The projects of a store. A project is named by its path, made canonical: `~` expanded, absolute, links resolved as far as
 * the path exists, no trailing slash; one that is known by the path as it is given keeps that name. Whatever is recorded of a
 * project makes it known. Each writing method is one transaction, durable on return. Days are those of `timeZone` (an IANA
 * name, by default the system's zone). A time that lies ahead of the clock, because that was set back, counts as just now. A
 * run counts from its start: from the claim of its project or, for a task, its assignment, if one lies in the last 24 hours.
 * All methods throw what the store's methods throw, and those that take a path also `ERR_STORE_PERMISSION` for one that this
 * user may not follow.
 */
export class ProjectStore<E extends EventBase> {
  readonly #store: SqliteStore<E>;
  readonly #connection: ModuleConnection;
  readonly #timeZone: string | undefined;

  /** Throws `ERR_STORE_INVALID_ARGUMENT` for what is no store and for an unknown time zone. */
  constructor(store: SqliteStore<E>, options?: { timeZone?: string }) {
    const { timeZone } = checkOptions('options', options, ['timeZone']);
    if (timeZone !== undefined) localDay(new Date(0), timeZone);
    this.#store = store;
    this.#connection = connect(store);
    this.#timeZone = timeZone;
  }

  // Projects and task history

  /** What is known of a project; `undefined` where nothing is. */
  getProject(path: string): Project | undefined {
    const project = projectPath(this.#connection, 'path', path);
    return this.#connection.read(`read the project ${quote(project)}`, () => projectOf(this.#connection, project));
  }

  /** All known projects, by path. */
  listProjects(): Project[] {
    return this.#connection.read('list the projects', () => allProjects(this.#connection));
  }

  /** When each type of task was last done in a project, by type. */
  getTaskHistory(path: string): TaskRun[] {
    const project = projectPath(this.#connection, 'path', path);
    return this.#connection.read(`read the task history of ${quote(project)}`, () => {
      const sql = 'SELECT task_type, last_run_at FROM task_history WHERE project_path = ? ORDER BY task_type';
      return (this.#connection.prepare(sql).all(project) as unknown as TaskRow[]).map((row) => decodeTaskRun(project, row));
    });
  }

  /** Records that a type of task has now been done in a project. It was last run when that began. */
  recordTaskRun(path: string, taskType: string): void {
    const project = projectPath(this.#connection, 'path', path);
    checkText('taskType', taskType);
    this.#connection.write(`record a run of ${quote(taskType)} in ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      const sql = `INSERT INTO task_history (project_path, task_type, last_run_at) VALUES (?, ?, ?)
        ON CONFLICT (project_path, task_type) DO UPDATE SET last_run_at = excluded.last_run_at`;
      const startedAt = startOfRun(this.#connection, project, taskType).toISOString();
      this.#connection.prepare(sql).run(project, taskType, startedAt);
    });
  }

  // What is due

  /** When a type of task was last started in a project, of those that were done; `undefined` for never. */
  lastTaskRun(path: string, taskType: string): Date | undefined {
    return this.#lastRun(projectPath(this.#connection, 'path', path), checkText('taskType', taskType)).last;
  }

  /**
   * Whole days, of 24 hours each, since the last successful run of a project, or of a type of task there, started;
   * `undefined` for never.
   */
  daysSinceLastRun(path: string, taskType?: string): number | undefined {
    const { last, elapsedMs } = this.#lastRun(projectPath(this.#connection, 'path', path), optionalText('taskType', taskType));
    return last && Math.floor(elapsedMs / dayMs);
  }

  /**
   * The time since a type of task was last started in a project, over its interval: due from 1 on; `Infinity` for never.
   * An interval of a day or more is full an hour early, as the window of `claimProjectRun` is: 1 from then on.
   */
  staleness(path: string, taskType: string, intervalMs: number): number {
    const project = projectPath(this.#connection, 'path', path);
    checkText('taskType', taskType);
    checkInteger('intervalMs', intervalMs, 1);
    return stalenessOf(this.#lastRun(project, taskType).elapsedMs, intervalMs);
  }

  /**
   * Of all known projects, the types of task among `intervals` (milliseconds by type) whose staleness is at least 1; the
   * most stale first, then by path and type. One query.
   */
  due(options: { intervals: Record<string, number> }): DueTask[] {
    const { intervals } = checkOptions<{ intervals?: unknown }>('options', options, ['intervals']);
    const checked = checkRecord('options.intervals', intervals, 'an object with an interval for each task type', (name, ms) => checkInteger(name, ms, 1));
    return this.#connection.read('find what is due', () => {
      const now = this.#connection.now().getTime();
      // Pairs, as the keys of a JSON object may come back escaped.
      const rows = this.#connection.prepare(dueSql).all(JSON.stringify(checked)) as unknown as [path: string, taskType: string, intervalMs: number, found: string | null, lastRunAt: string][];
      const tasks = rows.map(([path, taskType, intervalMs, found, lastRunAt]): DueTask => {
        const elapsedMs = found === null ? Infinity : now - decodeTaskRun(path, [taskType, lastRunAt]).lastRunAt.getTime();
        return { path: projectReader(path).text('path', path), taskType, staleness: stalenessOf(elapsedMs, intervalMs) };
      });
      return tasks.filter(({ staleness }) => staleness >= 1).sort((a, b) => (a.staleness === b.staleness ? 0 : b.staleness - a.staleness));
    });
  }

  /** Whether the last successful run of a project, or of a type of task there, started on the clock's local day. */
  wasProcessedToday(path: string, taskType?: string): boolean {
    const { last, now, elapsedMs } = this.#lastRun(projectPath(this.#connection, 'path', path), optionalText('taskType', taskType));
    return last !== undefined && localDay(new Date(now.getTime() - elapsedMs), this.#timeZone) === localDay(now, this.#timeZone);
  }

  // Runs

  /**
   * Claims a project for a run, and says whether this caller got it: not if the start of its last successful run, or another
   * claim, lies within `windowMs`. By default that is 23 hours, so that a timer which starts a little earlier than the day
   * before gets it, also on the night when clocks go forward. Of callers at once, in whatever processes, one gets it. One of
   * these times that lies ahead of the clock refuses too, but for no longer than `windowMs` from the first claim that finds it
   * so. `force` always gets it, and is recorded by an event. Who got it calls `recordProjectRun`, or `releaseProjectClaim`
   * after a failure.
   */
  claimProjectRun(path: string, options?: { windowMs?: number; force?: boolean }): boolean {
    const project = projectPath(this.#connection, 'path', path);
    const { windowMs = defaultWindowMs, force = false } = checkOptions('options', options, ['windowMs', 'force']);
    checkDuration('options.windowMs', windowMs);
    if (typeof force !== 'boolean') throw invalid('options.force', force, 'true or false');
    return this.#connection.write(`claim a run of ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      if (!force && this.#isHeld(project, windowMs)) return false;
      if (force) this.#store.appendAudit({ type: 'project_claim_forced', path: project });
      this.#connection.prepare('UPDATE projects SET claimed_at = ? WHERE path = ?').run(this.#now(), project);
      return true;
    });
  }

  /** Records that a run of a project has now ended well: sets the last run to its start, counts it, and ends the claim. */
  recordProjectRun(path: string): void {
    const project = projectPath(this.#connection, 'path', path);
    this.#connection.write(`record a run of ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      // A damaged count must not be gone on from. Damaged times are: this sets them.
      const [runCount] = this.#connection.prepare('SELECT run_count FROM projects WHERE path = ?').get(project) as unknown as [unknown];
      projectReader(project).count('run_count', runCount);
      const sql = 'UPDATE projects SET last_run_at = ?, run_count = run_count + 1, claimed_at = NULL, clock_behind_at = NULL WHERE path = ?';
      this.#connection.prepare(sql).run(startOfRun(this.#connection, project).toISOString(), project);
    });
  }

  /** Gives the claim of a project back after a failure, so that the next one gets it; none is fine. */
  releaseProjectClaim(path: string): void {
    const project = projectPath(this.#connection, 'path', path);
    this.#connection.write(`release the claim of ${quote(project)}`, () => {
      this.#connection.prepare('UPDATE projects SET claimed_at = NULL WHERE path = ?').run(project);
    });
  }

  /**
   * Keeps what a run of the service did and gives the record's id. It makes its projects known and changes nothing else:
   * `recordProjectRun` and `recordTaskRun` do. Throws `ERR_STORE_CONFLICT` for an id that is taken.
   */
  addRunRecord(record: NewRunRecord): string {
    const { row, projects } = encodeRunRecord(this.#connection, record);
    return this.#connection.write(`add the run record ${row[0]}`, () => {
      insertRunRecord(this.#connection, row, projects);
      return row[0];
    });
  }

  /** The run records by their start, the newest first; at most `limit`. */
  getRunRecords(limit: number): RunRecord[] {
    checkInteger('limit', limit, 0);
    return this.#connection.read('read the run records', () => newestRunRecords(this.#connection, limit));
  }

  /** Removes all run records but the `keep` that started last, and says how many; an event keeps that number. */
  pruneRunRecords(options: { keep: number }): number {
    const { keep } = checkOptions<{ keep?: unknown }>('options', options, ['keep']);
    const count = checkInteger('options.keep', keep, 0);
    return this.#connection.write('prune the run records', () => {
      const removed = deleteOldRunRecords(this.#connection, count);
      if (removed > 0) this.#store.appendAudit({ type: 'run_records_pruned', removed });
      return removed;
    });
  }

  /** What the run records say of the runs that started on the clock's local day. */
  todaySummary(): DaySummary {
    return this.#connection.read("sum up today's runs", () => summaryOfDay(this.#connection, this.#connection.now(), this.#timeZone));
  }

  // Tasks in progress

  /** Assigns a task: it is in progress from now on. Throws `ERR_STORE_CONFLICT` where it is already, so that of two schedulers one starts it. */
  assignTask(task: { taskId: string; project: string; taskType: string }): void {
    const { taskId, project, taskType } = checkOptions('task', task, ['taskId', 'project', 'taskType']);
    checkText('task.taskId', taskId);
    const path = projectPath(this.#connection, 'task.project', project);
    checkText('task.taskType', taskType);
    this.#connection.write(`assign the task ${quote(taskId)}`, () => {
      makeKnown(this.#connection, path);
      if (!insertAssignment(this.#connection, [taskId, path, taskType, this.#now()])) throw new StoreError('ERR_STORE_CONFLICT', `failed to assign the task ${quote(taskId)}: it is assigned already`);
    });
  }

  /** Whether a task is in progress. */
  isAssigned(taskId: string): boolean {
    checkText('taskId', taskId);
    return this.#connection.read(`look for the task ${quote(taskId)}`, () => this.#connection.prepare('SELECT 1 FROM assigned_tasks WHERE task_id = ?').get(taskId) !== undefined);
  }

  /** All tasks in progress, in the order of their assignment. */
  listAssigned(): Assignment[] {
    const sql = 'SELECT task_id, project_path, task_type, assigned_at FROM assigned_tasks ORDER BY position';
    return this.#connection.read('list the assigned tasks', () => (this.#connection.prepare(sql).all() as unknown as AssignmentRow[]).map(decodeAssignment));
  }

  /** Ends the assignment of a task, done or not; none is fine. */
  clearAssigned(taskId: string): void {
    checkText('taskId', taskId);
    this.#connection.write(`clear the task ${quote(taskId)}`, () => {
      this.#connection.prepare('DELETE FROM assigned_tasks WHERE task_id = ?').run(taskId);
    });
  }

  /** Ends the assignments older than `maxAgeMs`, which a crash may have left behind, and says how many. One ahead of the clock ages from now on. */
  clearStaleAssignments(maxAgeMs: number): number {
    checkDuration('maxAgeMs', maxAgeMs);
    return this.#connection.write('clear the stale assignments', () => {
      const now = this.#connection.now();
      this.#connection.prepare('UPDATE assigned_tasks SET assigned_at = ?1 WHERE assigned_at > ?1').run(now.toISOString());
      // Nothing is older than the year 0, which is the first that a stored text can name.
      const before = new Date(Math.max(now.getTime() - maxAgeMs, yearZeroMs)).toISOString();
      return Number(this.#connection.prepare('DELETE FROM assigned_tasks WHERE assigned_at < ?').run(before).changes);
    });
  }

  // Project snapshots

  /**
   * Keeps the state of a project, before maintenance: its row, task history, assignments, and any JSON `value` of the
   * caller's. Gives the snapshot's id. Throws `ERR_STORE_SERIALIZATION` for a value that JSON does not carry.
   */
  captureProject(path: string, label: string, value?: JsonValue): string {
    const project = projectPath(this.#connection, 'path', path);
    checkText('label', label);
    const text = value === undefined ? null : JSON.stringify(checkJson('value', value));
    return this.#connection.write(`capture the project ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      return capture(this.#connection, project, label, text);
    });
  }

  /** The snapshots of a project, the newest first. */
  listProjectSnapshots(path: string): ProjectSnapshotInfo[] {
    const project = projectPath(this.#connection, 'path', path);
    return this.#connection.read(`list the snapshots of ${quote(project)}`, () => listSnapshots(this.#connection, project));
  }

  /** A snapshot with all that it keeps. Throws `ERR_STORE_NOT_FOUND`. */
  getProjectSnapshot(id: string): ProjectSnapshot {
    const what = 'read the project snapshot';
    checkText('id', id);
    return this.#connection.read(what, () => readSnapshot(this.#connection, what, id).snapshot);
  }

  /**
   * Rolls a project back to a snapshot, and gives the id of another one that keeps what this replaced. The claim stays as it
   * is, since it belongs to who runs now; run records stay, since they happened. An event records it. Throws
   * `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CONFLICT` where a task of the snapshot is assigned in another project now.
   */
  restoreProjectSnapshot(id: string): string {
    const what = 'restore the project snapshot';
    checkText('id', id);
    return this.#connection.write(what, () => {
      const { state, snapshot } = readSnapshot(this.#connection, what, id);
      const replacedId = capture(this.#connection, snapshot.path, `before the restore of ${id}`, null);
      putBack(this.#connection, snapshot.path, state);
      this.#store.appendAudit({ type: 'project_restored', path: snapshot.path, snapshotId: id, replacedId });
      return replacedId;
    });
  }

  /** Removes a snapshot. Throws `ERR_STORE_NOT_FOUND`. */
  deleteProjectSnapshot(id: string): void {
    const what = 'delete the project snapshot';
    checkText('id', id);
    this.#connection.write(what, () => deleteSnapshot(this.#connection, what, id));
  }

  #now(): string {
    return this.#connection.now().toISOString();
  }

  /** When a project, or a type of task there, was last run, and how long ago: not negative, `Infinity` for never. */
  #lastRun(path: string, taskType: string | undefined): { last: Date | undefined; now: Date; elapsedMs: number } {
    return this.#connection.read(`read the last run of ${quote(path)}`, () => {
      const last = taskType === undefined ? projectOf(this.#connection, path)?.lastRunAt : this.#lastTaskRun(path, taskType);
      const now = this.#connection.now();
      return { last, now, elapsedMs: last ? Math.max(0, now.getTime() - last.getTime()) : Infinity };
    });
  }

  #lastTaskRun(path: string, taskType: string): Date | undefined {
    const row = this.#connection.prepare('SELECT task_type, last_run_at FROM task_history WHERE project_path = ? AND task_type = ?').get(path, taskType);
    return row && decodeTaskRun(path, row as unknown as TaskRow).lastRunAt;
  }

  /**
   * Inside the transaction of a claim: whether the last run or another claim refuses it. A machine without a clock of its
   * own starts in the past: times ahead of it must not let everybody in, nor keep everybody out for years.
   */
  #isHeld(path: string, windowMs: number): boolean {
    const sql = 'SELECT last_run_at, claimed_at, clock_behind_at FROM projects WHERE path = ?';
    const [lastRunAt, claimedAt, clockBehindAt] = this.#connection.prepare(sql).get(path) as unknown as [string | null, string | null, string | null];
    const ageOf = (column: string, text: string | null): number[] => {
      const at = projectReader(path).optionalInstant(column, text);
      return at ? [this.#connection.now().getTime() - at.getTime()] : [];
    };
    const ages = [...ageOf('last_run_at', lastRunAt), ...ageOf('claimed_at', claimedAt)];
    if (ages.some((ageMs) => ageMs >= 0 && ageMs < windowMs)) return true;
    if (ages.every((ageMs) => ageMs >= 0)) {
      this.#connection.prepare('UPDATE projects SET clock_behind_at = NULL WHERE path = ? AND clock_behind_at IS NOT NULL').run(path);
      return false;
    }
    const [behindMs = -1] = ageOf('clock_behind_at', clockBehindAt);
    if (behindMs >= 0) return behindMs < windowMs;
    this.#connection.prepare('UPDATE projects SET clock_behind_at = ? WHERE path = ?').run(this.#now(), path);
    return windowMs > 0;
  }
}

const yearZeroMs = Date.parse('0000-01-01T00:00:00.000Z');

const dueSql = `
  SELECT projects.path, wanted.value ->> 0, wanted.value ->> 1, task_history.project_path, task_history.last_run_at
  FROM projects CROSS JOIN json_each(?) AS wanted
  LEFT JOIN task_history ON project_path = projects.path AND task_type = wanted.value ->> 0
  ORDER BY projects.path, wanted.value ->> 0`;

function optionalText(name: string, value: string | undefined): string | undefined {
  return value === undefined ? undefined : checkText(name, value);
}
