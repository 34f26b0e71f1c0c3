// When a run counts as started, and when a task is due again. Whatever starts runs at a time of the day must find
// yesterday's a day old, although that took its time and although no timer is exact.
import type { ModuleConnection } from '../../store.ts';
import { parseInstant } from '../../values.ts';

export const dayMs = 86_400_000;

// A timer is up to this much earlier than the day before: timers that spread their load start somewhere within an hour,
// and the night on which clocks go forward has 23 hours.
const timerRoomMs = 3_600_000;

/** How long a claim or a run keeps others out by default: a day, but for a timer's room. */
export const defaultWindowMs = dayMs - timerRoomMs;

/** The time since a task was last started over its interval; one of a day or more is full a timer's room early. */
export function stalenessOf(elapsedMs: number, intervalMs: number): number {
  const isInRoom = intervalMs >= dayMs && elapsedMs < intervalMs && elapsedMs >= intervalMs - timerRoomMs;
  return isInRoom ? 1 : elapsedMs / intervalMs;
}

// A claim that is older than this was left by a crash, or its clock has been set since: it says nothing of this run.
const longestRunMs = dayMs;

/**
 * When the run that is recorded now has started: at the project's claim or, of a task, at its assignment, if that was
 * before; now where there is none. Counted from its end, a run of ten minutes would not be a day old when the timer
 * next comes, and be left out every second day.
 */
export function startOfRun(connection: ModuleConnection, path: string, taskType?: string): Date {
  const sql = `SELECT claimed_at FROM projects WHERE path = ?1
    UNION ALL SELECT assigned_at FROM assigned_tasks WHERE project_path = ?1 AND task_type = ?2`;
  const now = connection.now().getTime();
  const rows = connection.prepare(sql).all(path, taskType ?? null) as unknown as [text: unknown][];
  // A time that cannot be read is replaced by what is recorded, or is reported to whoever asks for it.
  const times = rows.flatMap(([text]) => parseInstant(text)?.getTime() ?? []);
  return new Date(Math.min(now, ...times.filter((time) => time > now - longestRunMs)));
}
