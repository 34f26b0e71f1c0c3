// Which days a session's time belongs to: a forward-only clock says how long it ran, the wall clock names the days.
import { localDay, nameable, splitByDay } from '../../days.ts';
import type { DayPart } from '../../days.ts';
import type { SessionSnapshot } from '../../snapshot-file.ts';

/** A session with its time, and the days that the time belongs to. */
export type CountedSession = SessionSnapshot & { elapsedMs: number; days: DayPart[] };

/** A session as it was saved. One from elsewhere may lack its time: the wall clock is all there is of it then. */
export function countedSession(session: SessionSnapshot, savedAt: Date, timeZone: string | undefined): CountedSession {
  const { startedAt, elapsedMs = Math.max(0, savedAt.getTime() - startedAt.getTime()) } = session;
  return { ...session, elapsedMs, days: grownDays(session.days, elapsedMs, [startedAt, savedAt], timeZone) };
}

/** From when to when a time passed, by the wall clock: it may have been set back meanwhile. */
type WallSpan = readonly [from: Date, to: Date];

/**
 * Days that add up to `elapsedMs`: those given, and what they lack on days that the clock named meanwhile. Days that
 * hold more than that are of another count, and are not gone on from.
 */
export function grownDays(
  days: readonly DayPart[] = [], elapsedMs: number, wall: WallSpan, timeZone: string | undefined,
): DayPart[] {
  const addedMs = elapsedMs - sumOf(days);
  if (addedMs < 0) return daysBetween(wall, elapsedMs, timeZone);
  return merged([...days, ...daysBetween(wall, addedMs, timeZone)]);
}

const hourMs = 3_600_000;
// What a clock has to be moved by to pass over a whole day: one of 23 hours, or less where a zone changes as well.
const shortestDayMs = 20 * hourMs;
const longestSplitMs = 366 * 24 * hourMs;

/**
 * The days of a time during which the wall clock went from `from` to `to`: a longer way where the machine slept, any
 * other where the clock was set. The time is counted back from `to`: what ran before the sleep was saved by then, but
 * for the last seconds. A day that the clock may have passed over gets none: that, and what does not fit, goes to the
 * day of `from`, which the clock named for sure. A time of years is a broken clock's, and goes to the last day.
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

/** One part a day, in the order in which the days came first. */
function merged(parts: readonly DayPart[]): DayPart[] {
  const days = new Map<string, number>();
  for (const { day, durationMs } of parts) if (durationMs > 0) days.set(day, (days.get(day) ?? 0) + durationMs);
  return Array.from(days, ([day, durationMs]) => ({ day, durationMs }));
}
