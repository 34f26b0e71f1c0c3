// Projects: when each was last processed and which of its tasks are due, whether somebody processes it now, what each
// run did, and the states of a project to go back to.
import type { ModuleConnection } from '../../core/door.ts';
import { encodeEvent } from '../../core/events.ts';
import { connect, type SqliteStore } from '../../store.ts';
import {
  checkDuration, checkInteger, checkOptionalText, checkOptions, checkRecord, checkText, invalid, quote,
} from '../../values/checks.ts';
import { localDay } from '../../values/days.ts';
import { StoreError } from '../../values/errors.ts';
import { checkJson, type JsonValue } from '../../values/json.ts';
import { projectPath } from './paths.ts';
import {
  allProjects, type Assignment, type AssignmentRow, decodeAssignment, decodeTaskRun, insertAssignment, makeKnown,
  type Project, projectOf, projectReader, type TaskRow, type TaskRun,
} from './rows.ts';
import {
  type DaySummary, deleteOldRunRecords, encodeRunRecord, insertRunRecord, newestRunRecords, type NewRunRecord,
  type RunRecord, summaryOfDay,
} from './run-records.ts';
import { dayMs, defaultWindowMs, type DueTask, dueTasks, isHeld, stalenessOf, startOfRun } from './schedule.ts';
import {
  capture, deleteSnapshot, listSnapshots, type ProjectSnapshot, type ProjectSnapshotInfo, putBack, readSnapshot,
} from './snapshots.ts';

export type { RunRecordStatus } from './run-records.ts';

export type {
  Assignment, DaySummary, DueTask, NewRunRecord, Project, ProjectSnapshot, ProjectSnapshotInfo, RunRecord, TaskRun,
};

/** The events that a `ProjectStore` appends to the audit log, for changes of which its own tables keep no trace. */
export type ProjectAuditEvent =
  | { type: 'project_claim_forced'; path: string }
  | { type: 'project_restored'; path: string; snapshotId: string; replacedId: string }
  | { type: 'run_records_pruned'; removed: number };

/**
 * The projects of a store. A project is named by its path, made canonical: `~` expanded, absolute, links resolved as
 * far as the path exists, no trailing slash; a project that is known by the path as it is given keeps that name.
 * Whatever is recorded of a project makes it known. Each writing method is one transaction, durable on return. Days are
 * those of `timeZone` (an IANA name, by default the system's zone). A time that lies ahead of the clock, because the
 * clock was set back, counts as just now. A run counts from its start: from the claim of its project or, for a task,
 * from its assignment, if there is one in the last 24 hours. All methods throw what the store's methods throw, and
 * those that take a path also throw `ERR_STORE_PERMISSION` for a path that this user may not follow.
 */
export class ProjectStore {
  readonly #connection: ModuleConnection;
  readonly #timeZone: string | undefined;

  /** Throws `ERR_STORE_INVALID_ARGUMENT` for what is no store and for an unknown time zone. */
  constructor(store: SqliteStore, options?: { timeZone?: string | undefined }) {
    const { timeZone } = checkOptions('options', options, ['timeZone']);
    if (timeZone !== undefined) localDay(new Date(0), timeZone);
    this.#connection = connect(store);
    this.#timeZone = timeZone;
  }

  // Projects and task history

  /** Gives what is known of a project; `undefined` where nothing is. */
  getProject(path: string): Project | undefined {
    const project = projectPath(this.#connection, 'path', path);
    return this.#connection.read(`read the project ${quote(project)}`, () => projectOf(this.#connection, project));
  }

  /** Gives all known projects, ordered by path. */
  listProjects(): Project[] {
    return this.#connection.read('list the projects', () => allProjects(this.#connection));
  }

  /** Says when each type of task was last done in a project, ordered by type. */
  getTaskHistory(path: string): TaskRun[] {
    const project = projectPath(this.#connection, 'path', path);
    return this.#connection.read(`read the task history of ${quote(project)}`, () => {
      const sql = 'SELECT task_type, last_run_at FROM task_history WHERE project_path = ? ORDER BY task_type';
      const rows = this.#connection.all<TaskRow>(sql, project);
      return rows.map((row) => decodeTaskRun(project, row));
    });
  }

  /** Records that a type of task has now been done in a project. The time when that began becomes its last run. */
  recordTaskRun(path: string, taskType: string): void {
    const project = projectPath(this.#connection, 'path', path);
    checkText('taskType', taskType);
    const what = `record a run of ${quote(taskType)} in ${quote(project)}`;
    this.#connection.write('ProjectStore.recordTaskRun', what, () => {
      makeKnown(this.#connection, project);
      const sql = `INSERT INTO task_history (project_path, task_type, last_run_at) VALUES (?, ?, ?)
        ON CONFLICT (project_path, task_type) DO UPDATE SET last_run_at = excluded.last_run_at`;
      const startedAt = startOfRun(this.#connection, project, taskType).toISOString();
      this.#connection.prepare(sql).run(project, taskType, startedAt);
    });
  }

  // What is due

  /** Says when a type of task was last started in a project, of those that were done; `undefined` for never. */
  lastTaskRun(path: string, taskType: string): Date | undefined {
    return this.#lastRun(projectPath(this.#connection, 'path', path), checkText('taskType', taskType)).last;
  }

  /**
   * Gives the whole days, of 24 hours each, since the last successful run of a project, or of a type of task there,
   * started; `undefined` for never.
   */
  daysSinceLastRun(path: string, taskType?: string): number | undefined {
    const project = projectPath(this.#connection, 'path', path);
    const { last, elapsedMs } = this.#lastRun(project, checkOptionalText('taskType', taskType));
    return last && Math.floor(elapsedMs / dayMs);
  }

  /**
   * Gives the time since a type of task was last started in a project, divided by its interval: the task is due from 1
   * on; `Infinity` for never. An interval of a day or more is over an hour early, as the window of `claimProjectRun`
   * is, and gives 1 from then on.
   */
  staleness(path: string, taskType: string, intervalMs: number): number {
    const project = projectPath(this.#connection, 'path', path);
    checkText('taskType', taskType);
    checkInteger('intervalMs', intervalMs, 1);
    return stalenessOf(this.#lastRun(project, taskType).elapsedMs, intervalMs);
  }

  /**
   * Gives the tasks of all known projects that are due: of the types in `intervals` (milliseconds by type), those whose
   * staleness is at least 1; the most stale first, then by path and type. This is one query.
   */
  due(options: { intervals: Record<string, number> }): DueTask[] {
    const { intervals } = checkOptions<{ intervals?: unknown }>('options', options, ['intervals']);
    const accepted = 'an object with an interval for each task type';
    const checked = checkRecord('options.intervals', intervals, accepted, (name, ms) => checkInteger(name, ms, 1));
    return this.#connection.read('find what is due', () => dueTasks(this.#connection, checked));
  }

  /** Whether the last successful run of a project, or of a type of task there, started on the clock's local day. */
  wasProcessedToday(path: string, taskType?: string): boolean {
    const project = projectPath(this.#connection, 'path', path);
    const { last, now, elapsedMs } = this.#lastRun(project, checkOptionalText('taskType', taskType));
    if (!last) return false;
    const startedAt = new Date(now.getTime() - elapsedMs);
    return localDay(startedAt, this.#timeZone) === localDay(now, this.#timeZone);
  }

  // Runs

  /**
   * Claims a project for a run, and says whether this caller got it: not if its last successful run started, or another
   * claim was made, within `windowMs`. By default that is 23 hours, so that a timer which starts a little earlier than
   * the day before gets the claim, also on the night when clocks go forward. Of several callers at once, in whatever
   * processes, one gets it. A run or claim whose time lies ahead of the clock refuses too, but for no longer than
   * `windowMs` from the first claim that finds it so. `force` always gets the claim, and an event records that. The
   * caller that got it calls `recordProjectRun`, or `releaseProjectClaim` after a failure.
   */
  claimProjectRun(path: string, options?: { windowMs?: number | undefined; force?: boolean | undefined }): boolean {
    const project = projectPath(this.#connection, 'path', path);
    const { windowMs = defaultWindowMs, force = false } = checkOptions('options', options, ['windowMs', 'force']);
    checkDuration('options.windowMs', windowMs);
    if (typeof force !== 'boolean') throw invalid('options.force', force, 'true or false');
    return this.#connection.write('ProjectStore.claimProjectRun', `claim a run of ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      if (!force && isHeld(this.#connection, project, windowMs)) return false;
      if (force) this.#record({ type: 'project_claim_forced', path: project });
      this.#connection.prepare('UPDATE projects SET claimed_at = ? WHERE path = ?').run(this.#nowText(), project);
      return true;
    });
  }

  /** Records that a run of a project has succeeded: sets the last run to its start, counts it, and ends the claim. */
  recordProjectRun(path: string): void {
    const project = projectPath(this.#connection, 'path', path);
    this.#connection.write('ProjectStore.recordProjectRun', `record a run of ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      // A damaged count is refused, because it would be added to. Damaged times are not, because they are replaced.
      const countSql = 'SELECT run_count FROM projects WHERE path = ?';
      const [runCount] = this.#connection.get<[unknown]>(countSql, project)!;
      projectReader(project).count('run_count', runCount);
      const sql = `UPDATE projects SET last_run_at = ?, run_count = run_count + 1, claimed_at = NULL,
        clock_behind_at = NULL WHERE path = ?`;
      this.#connection.prepare(sql).run(startOfRun(this.#connection, project).toISOString(), project);
    });
  }

  /** Ends the claim of a project after a failure, so that the next caller gets it; does nothing where there is none. */
  releaseProjectClaim(path: string): void {
    const project = projectPath(this.#connection, 'path', path);
    this.#connection.write('ProjectStore.releaseProjectClaim', `release the claim of ${quote(project)}`, () => {
      this.#connection.prepare('UPDATE projects SET claimed_at = NULL WHERE path = ?').run(project);
    });
  }

  /**
   * Keeps what a run of the service did and gives the record's id. The record makes its projects known and changes
   * nothing else about them: `recordProjectRun` and `recordTaskRun` do. Throws `ERR_STORE_CONFLICT` for an id that is
   * taken.
   */
  addRunRecord(record: NewRunRecord): string {
    const { row, projects } = encodeRunRecord(this.#connection, record);
    return this.#connection.write('ProjectStore.addRunRecord', `add the run record ${row[0]}`, () => {
      insertRunRecord(this.#connection, row, projects);
      return row[0];
    });
  }

  /** Gives the run records by their start, the newest first; at most `limit`. */
  getRunRecords(limit: number): RunRecord[] {
    checkInteger('limit', limit, 0);
    return this.#connection.read('read the run records', () => newestRunRecords(this.#connection, limit));
  }

  /** Removes all run records but the `keep` that started last, and says how many; an event records that number. */
  pruneRunRecords(options: { keep: number }): number {
    const { keep } = checkOptions<{ keep?: unknown }>('options', options, ['keep']);
    const count = checkInteger('options.keep', keep, 0);
    return this.#connection.write('ProjectStore.pruneRunRecords', 'prune the run records', () => {
      const removed = deleteOldRunRecords(this.#connection, count);
      if (removed > 0) this.#record({ type: 'run_records_pruned', removed });
      return removed;
    });
  }

  /** Sums up the run records of the runs that started on the clock's local day. */
  todaySummary(): DaySummary {
    return this.#connection.read("sum up today's runs", () => {
      return summaryOfDay(this.#connection, this.#connection.now(), this.#timeZone);
    });
  }

  // Tasks in progress

  /**
   * Assigns a task, which is in progress from now on. Throws `ERR_STORE_CONFLICT` where it is in progress already, so
   * that only one of two schedulers starts it.
   */
  assignTask(task: { taskId: string; project: string; taskType: string }): void {
    const { taskId, project, taskType } = checkOptions('task', task, ['taskId', 'project', 'taskType']);
    checkText('task.taskId', taskId);
    const path = projectPath(this.#connection, 'task.project', project);
    checkText('task.taskType', taskType);
    this.#connection.write('ProjectStore.assignTask', `assign the task ${quote(taskId)}`, () => {
      makeKnown(this.#connection, path);
      if (insertAssignment(this.#connection, [taskId, path, taskType, this.#nowText()])) return;
      throw new StoreError('ERR_STORE_CONFLICT', `failed to assign the task ${quote(taskId)}: it is assigned already`);
    });
  }

  /** Whether a task is in progress. */
  isAssigned(taskId: string): boolean {
    checkText('taskId', taskId);
    return this.#connection.read(`look for the task ${quote(taskId)}`, () => {
      return this.#connection.get('SELECT 1 FROM assigned_tasks WHERE task_id = ?', taskId) !== undefined;
    });
  }

  /** Gives all tasks in progress, in the order of their assignment. */
  listAssigned(): Assignment[] {
    const sql = 'SELECT task_id, project_path, task_type, assigned_at FROM assigned_tasks ORDER BY position';
    return this.#connection.read('list the assigned tasks', () => {
      return this.#connection.all<AssignmentRow>(sql).map(decodeAssignment);
    });
  }

  /** Ends the assignment of a task, done or not; does nothing where there is none. */
  clearAssigned(taskId: string): void {
    checkText('taskId', taskId);
    this.#connection.write('ProjectStore.clearAssigned', `clear the task ${quote(taskId)}`, () => {
      this.#connection.prepare('DELETE FROM assigned_tasks WHERE task_id = ?').run(taskId);
    });
  }

  /**
   * Ends the assignments older than `maxAgeMs`, which a crash may have left behind, and says how many. An assignment
   * whose time lies ahead of the clock gets the time of now, so that it becomes older from now on.
   */
  clearStaleAssignments(maxAgeMs: number): number {
    checkDuration('maxAgeMs', maxAgeMs);
    return this.#connection.write('ProjectStore.clearStaleAssignments', 'clear the stale assignments', () => {
      const now = this.#connection.now();
      const sql = 'UPDATE assigned_tasks SET assigned_at = ?1 WHERE assigned_at > ?1';
      this.#connection.prepare(sql).run(now.toISOString());
      // No assignment is older than the year 0, which is the first that a stored text can name.
      const before = new Date(Math.max(now.getTime() - maxAgeMs, yearZeroMs)).toISOString();
      return Number(this.#connection.prepare('DELETE FROM assigned_tasks WHERE assigned_at < ?').run(before).changes);
    });
  }

  // Project snapshots

  /**
   * Keeps the state of a project, for instance before maintenance: its row, task history, assignments, and any JSON
   * `value` that the caller gives. Gives the snapshot's id. Throws `ERR_STORE_SERIALIZATION` for a value that JSON does
   * not carry.
   */
  captureProject(path: string, label: string, value?: JsonValue): string {
    const project = projectPath(this.#connection, 'path', path);
    checkText('label', label);
    const text = value === undefined ? null : JSON.stringify(checkJson('value', value));
    return this.#connection.write('ProjectStore.captureProject', `capture the project ${quote(project)}`, () => {
      makeKnown(this.#connection, project);
      return capture(this.#connection, project, label, text);
    });
  }

  /** Gives the snapshots of a project, the newest first. */
  listProjectSnapshots(path: string): ProjectSnapshotInfo[] {
    const project = projectPath(this.#connection, 'path', path);
    const what = `list the snapshots of ${quote(project)}`;
    return this.#connection.read(what, () => listSnapshots(this.#connection, project));
  }

  /** Gives a snapshot with all that it keeps. Throws `ERR_STORE_NOT_FOUND`. */
  getProjectSnapshot(id: string): ProjectSnapshot {
    const what = 'read the project snapshot';
    checkText('id', id);
    return this.#connection.read(what, () => readSnapshot(this.#connection, what, id).snapshot);
  }

  /**
   * Rolls a project back to a snapshot, and gives the id of a new snapshot that keeps what was replaced. The claim
   * stays as it is, because it belongs to the caller that runs now; run records stay, because those runs happened. An
   * event records the restore. Throws `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CONFLICT` where a task of the snapshot is
   * assigned in another project now.
   */
  restoreProjectSnapshot(id: string): string {
    const what = 'restore the project snapshot';
    checkText('id', id);
    return this.#connection.write('ProjectStore.restoreProjectSnapshot', what, () => {
      const { state, snapshot } = readSnapshot(this.#connection, what, id);
      const replacedId = capture(this.#connection, snapshot.path, `before the restore of ${id}`, null);
      putBack(this.#connection, snapshot.path, state);
      this.#record({ type: 'project_restored', path: snapshot.path, snapshotId: id, replacedId });
      return replacedId;
    });
  }

  /** Removes a snapshot. Throws `ERR_STORE_NOT_FOUND`. */
  deleteProjectSnapshot(id: string): void {
    const what = 'delete the project snapshot';
    checkText('id', id);
    this.#connection.write('ProjectStore.deleteProjectSnapshot', what, () => {
      deleteSnapshot(this.#connection, what, id);
    });
  }

  #record(event: ProjectAuditEvent): void {
    this.#connection.appendAudit(encodeEvent(event));
  }

  #nowText(): string {
    return this.#connection.now().toISOString();
  }

  /**
   * Says when a project, or a type of task there, was last run, and how long ago that is: never negative, `Infinity`
   * where it was never run.
   */
  #lastRun(path: string, taskType: string | undefined): { last: Date | undefined; now: Date; elapsedMs: number } {
    return this.#connection.read(`read the last run of ${quote(path)}`, () => {
      const ofTask = taskType !== undefined;
      const last = ofTask ? this.#lastTaskRun(path, taskType) : projectOf(this.#connection, path)?.lastRunAt;
      const now = this.#connection.now();
      return { last, now, elapsedMs: last ? Math.max(0, now.getTime() - last.getTime()) : Infinity };
    });
  }

  #lastTaskRun(path: string, taskType: string): Date | undefined {
    const sql = 'SELECT task_type, last_run_at FROM task_history WHERE project_path = ? AND task_type = ?';
    const row = this.#connection.get<TaskRow>(sql, path, taskType);
    return row && decodeTaskRun(path, row).lastRunAt;
  }
}

const yearZeroMs = Date.parse('0000-01-01T00:00:00.000Z');
