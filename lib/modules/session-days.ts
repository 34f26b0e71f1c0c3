// Finds the days of a session's time: a forward-only clock says how long it ran, and the wall clock names the days.
import type { SessionSnapshot } from '../core/state.ts';
import { type DayPart, localDay, nameable, splitByDay } from '../values/days.ts';

/** A session with the time that it ran, and the days that the time belongs to. */
export type CountedSession = SessionSnapshot & { elapsedMs: number; days: DayPart[] };

/** Completes a saved session. A snapshot from elsewhere may lack its time, which then follows from the wall clock. */
export function countedSession(session: SessionSnapshot, savedAt: Date, timeZone: string | undefined): CountedSession {
  const { startedAt, elapsedMs = Math.max(0, savedAt.getTime() - startedAt.getTime()) } = session;
  return { ...session, elapsedMs, days: grownDays(session.days, elapsedMs, [startedAt, savedAt], timeZone) };
}

/** From when to when a time passed by the wall clock. `to` may lie before `from`, because the clock can be set back. */
type WallSpan = readonly [from: Date, to: Date];

/**
 * Gives days that add up to `elapsedMs`: those given, and what they lack on the days that the clock named meanwhile.
 * Days that hold more than `elapsedMs` come from another count, so all of the time is divided anew.
 */
export function grownDays(
  given: readonly DayPart[] | undefined, elapsedMs: number, wall: WallSpan, timeZone: string | undefined,
): DayPart[] {
  const days = given ?? [];
  const addedMs = elapsedMs - sumOf(days);
  if (addedMs < 0) return daysBetween(wall, elapsedMs, timeZone);
  return merged([...days, ...daysBetween(wall, addedMs, timeZone)]);
}

const hourMs = 3_600_000;
// A clock that is moved by less than this cannot pass over a whole day: a day has 23 hours, or less where a zone
// changes.
const shortestDayMs = 20 * hourMs;
const longestSplitMs = 366 * 24 * hourMs;

/**
 * Divides a time during which the wall clock went from `from` to `to` among days. The clock went further than the time
 * where the machine slept, and anywhere where it was set. The time is counted back from `to`, because what ran before a
 * sleep was saved by then, but for the last seconds. A day that the clock may have passed over gets nothing: its part,
 * and what does not fit between `from` and `to`, goes to the day of `from`, which the clock named for sure. A time of
 * years comes from a broken clock, and goes to the last day.
 */
function daysBetween([from, to]: WallSpan, durationMs: number, timeZone: string | undefined): DayPart[] {
  const [first, last] = [nameable(from, timeZone), nameable(to, timeZone)];
  const [firstDay, lastDay] = [localDay(first, timeZone), localDay(last, timeZone)];
  if (durationMs > longestSplitMs) return [{ day: lastDay, durationMs }];
  const wallMs = last.getTime() - first.getTime();
  const wentThrough = wallMs >= 0 && wallMs - durationMs < shortestDayMs;
  const countedBack = nameable(new Date(last.getTime() - durationMs), timeZone).getTime();
  const start = Math.min(last.getTime(), wallMs >= 0 ? Math.max(first.getTime(), countedBack) : countedBack);
  const parts = splitByDay(new Date(start), last, timeZone)
    .filter(({ day }) => wentThrough || day === firstDay || day === lastDay);
  return merged([{ day: firstDay, durationMs: durationMs - sumOf(parts) }, ...parts]);
}

function sumOf(parts: readonly DayPart[]): number {
  return parts.reduce((sum, { durationMs }) => sum + durationMs, 0);
}

/** Adds the parts of each day up to one, in the order in which the days came first. */
function merged(parts: readonly DayPart[]): DayPart[] {
  const days = new Map<string, number>();
  for (const { day, durationMs } of parts) if (durationMs > 0) days.set(day, (days.get(day) ?? 0) + durationMs);
  return Array.from(days, ([day, durationMs]) => ({ day, durationMs }));
}
