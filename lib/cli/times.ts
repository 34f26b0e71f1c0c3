// Reads days, times and spans in the forms in which an operator writes them.
import { parseInstant } from '../values/checks.ts';
import { checkDay, localDay } from '../values/days.ts';

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** The milliseconds of a span such as `90s`, `30m`, `24h`, `7d` or `2w`; `undefined` for other texts and for zero. */
export function parseSpan(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,7})([smhdw])$/.exec(text) ?? [];
  const ms = Number(amount) * unitMs[unit ?? '']!;
  return ms > 0 ? ms : undefined;
}

/** A change of a duration; `isSigned` says whether a `+` or `-` was written. */
export interface Change {
  ms: number;
  isSigned: boolean;
}

/**
 * The change that a text such as `30m`, `1h30m`, `90s`, `+2h` or `-30m` names; a number alone is minutes. `undefined`
 * for other texts and for zero.
 */
export function parseChange(text: string): Change | undefined {
  const amounts = /^([+-]?)(?:(\d{1,7})|(?=\d)(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s)?)$/.exec(text);
  const [, sign = '', alone, hours = 0, minutes = alone ?? 0, seconds = 0] = amounts ?? [];
  const ms = Number(hours) * unitMs['h']! + Number(minutes) * unitMs['m']! + Number(seconds) * unitMs['s']!;
  return ms > 0 ? { ms: sign === '-' ? -ms : ms, isSigned: sign !== '' } : undefined;
}

/** The day that a text names: `2026-11-21`, `today`, `yesterday` or `tomorrow`, local time. */
export function parseDay(text: string, now: Date): string | undefined {
  if (text === 'today') return localDay(now);
  if (text === 'yesterday') return addDays(localDay(now), -1);
  if (text === 'tomorrow') return addDays(localDay(now), 1);
  try {
    return checkDay('day', text);
  } catch {
    return undefined;
  }
}

/**
 * The instant that a text names: a day, which begins at local midnight, a local time, an instant with its offset, or a
 * span, which is that long ago.
 */
export function parseTime(text: string, now: Date): Date | undefined {
  const instant = instantIn(text, now);
  const year = instant?.getUTCFullYear() ?? NaN;
  // No store has other years, and SQLite takes them for no time at all: "before" one of them would leave out nothing.
  return year >= 0 && year <= 9999 ? instant : undefined;
}

function instantIn(text: string, now: Date): Date | undefined {
  const span = parseSpan(text);
  if (span !== undefined) return new Date(now.getTime() - span);
  const day = parseDay(text, now);
  if (day !== undefined) return midnight(day);
  const parts = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?$/.exec(text);
  if (!parts) return parseInstant(text);
  const local = `${parts[1]}T${parts[2]}${parts[3] ?? ':00'}`;
  // A text of this form without an offset is local time to Date, which would take February 30th for March 2nd.
  return parseInstant(`${local}Z`) && new Date(local);
}

/** The instant at which a day begins in local time. */
export function midnight(day: string): Date {
  return new Date(`${day}T00:00:00`);
}

/** The day that is `days` after another day. No store has days before the year 0, so the result is never earlier. */
export function addDays(day: string, days: number): string {
  const moved = new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000);
  return moved.getUTCFullYear() < 0 ? '0000-01-01' : moved.toISOString().slice(0, 10);
}
