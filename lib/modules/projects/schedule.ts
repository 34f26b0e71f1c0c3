// Says when a run counts as started, who may claim one, and when a task is due again. A timer that starts a run at the
// same time every day must find yesterday's run a day old, although that run took its time and no timer is exact.
import type { ModuleConnection } from '../../core/door.ts';
import { parseInstant } from '../../values/checks.ts';
import { decodeTaskRun, projectReader } from './rows.ts';

export const dayMs = 86_400_000;

// A timer may start this much earlier than the day before: timers that spread their load start somewhere within an
// hour, and the night on which clocks go forward has 23 hours.
const timerToleranceMs = 3_600_000;

/** How long a claim or a run keeps others out by default: a day minus the tolerance for timers. */
export const defaultWindowMs: number = dayMs - timerToleranceMs;

/**
 * Divides the time since a task was last started by its interval. An interval of a day or more counts as over when only
 * the tolerance for timers is left of it.
 */
export function stalenessOf(elapsedMs: number, intervalMs: number): number {
  const isTolerated = intervalMs >= dayMs && elapsedMs < intervalMs && elapsedMs >= intervalMs - timerToleranceMs;
  return isTolerated ? 1 : elapsedMs / intervalMs;
}

// A claim that is older than this was left by a crash, or the clock was set since, so it does not say when this run
// began.
const longestRunMs = dayMs;

/**
 * Says when the run that is recorded now has started: at the claim of its project or, for a task, at its assignment,
 * whichever came first; now where there is neither. If runs counted from their end, a run of ten minutes would not be a
 * day old when the timer starts the next one, and would be left out every second day.
 */
export function startOfRun(connection: ModuleConnection, path: string, taskType?: string): Date {
  const sql = `SELECT claimed_at FROM projects WHERE path = ?1
    UNION ALL SELECT assigned_at FROM assigned_tasks WHERE project_path = ?1 AND task_type = ?2`;
  const now = connection.now().getTime();
  const rows = connection.all<[text: unknown]>(sql, path, taskType ?? null);
  // A time that cannot be read is passed over here: recording replaces it, or whoever asks for it gets the error.
  const times = rows.flatMap(([text]) => parseInstant(text)?.getTime() ?? []);
  return new Date(Math.min(now, ...times.filter((time) => time > now - longestRunMs)));
}

/**
 * Inside the transaction of a claim, says whether the last run or another claim refuses it. A machine without a battery
 * for its clock starts in the past: times ahead of that clock must not let everybody in, nor keep everybody out for
 * years.
 */
export function isHeld(connection: ModuleConnection, path: string, windowMs: number): boolean {
  type Times = [lastRunAt: unknown, claimedAt: unknown, clockBehindAt: unknown];
  const sql = 'SELECT last_run_at, claimed_at, clock_behind_at FROM projects WHERE path = ?';
  const [lastRunAt, claimedAt, clockBehindAt] = connection.get<Times>(sql, path)!;
  const ageOf = (column: string, text: unknown): number[] => {
    const instant = projectReader(path).optionalInstant(column, text);
    return instant ? [connection.now().getTime() - instant.getTime()] : [];
  };
  const ages = [...ageOf('last_run_at', lastRunAt), ...ageOf('claimed_at', claimedAt)];
  if (ages.some((ageMs) => ageMs >= 0 && ageMs < windowMs)) return true;
  if (ages.every((ageMs) => ageMs >= 0)) {
    const endSql = 'UPDATE projects SET clock_behind_at = NULL WHERE path = ? AND clock_behind_at IS NOT NULL';
    connection.prepare(endSql).run(path);
    return false;
  }
  const [behindMs = -1] = ageOf('clock_behind_at', clockBehindAt);
  if (behindMs >= 0) return behindMs < windowMs;
  const beginSql = 'UPDATE projects SET clock_behind_at = ? WHERE path = ?';
  connection.prepare(beginSql).run(connection.now().toISOString(), path);
  return windowMs > 0;
}

/** A type of task that is due in a project; `staleness` is `Infinity` where it was never done there. */
export interface DueTask {
  path: string;
  taskType: string;
  staleness: number;
}

type DueRow = [path: string, taskType: string, intervalMs: number, found: string | null, lastRunAt: string];
const dueSql = `
  SELECT projects.path, wanted.value ->> 0, wanted.value ->> 1, task_history.project_path, task_history.last_run_at
  FROM projects CROSS JOIN json_each(?) AS wanted
  LEFT JOIN task_history ON project_path = projects.path AND task_type = wanted.value ->> 0
  ORDER BY projects.path, wanted.value ->> 0`;

/**
 * Gives the tasks that are due, the most stale first. `intervals` are pairs and not an object, because SQLite may give
 * the keys of a JSON object back escaped.
 */
export function dueTasks(connection: ModuleConnection, intervals: [taskType: string, ms: number][]): DueTask[] {
  const now = connection.now().getTime();
  const rows = connection.all<DueRow>(dueSql, JSON.stringify(intervals));
  const tasks = rows.map(([path, taskType, intervalMs, found, lastRunAt]): DueTask => {
    const last = found === null ? undefined : decodeTaskRun(path, [taskType, lastRunAt]).lastRunAt;
    const staleness = stalenessOf(last ? now - last.getTime() : Infinity, intervalMs);
    return { path: projectReader(path).text('path', path), taskType, staleness };
  });
  const due = tasks.filter(({ staleness }) => staleness >= 1);
  return due.sort((a, b) => (a.staleness === b.staleness ? 0 : b.staleness - a.staleness));
}
