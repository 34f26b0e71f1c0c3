// Calendar days: a day is the text YYYY-MM-DD, and where it begins and ends is the time zone's business.
import { dateIn, checkInstant, invalid } from './checks.ts';
import { hasCode, StoreError } from './errors.ts';

/** The part of a time span that falls on one calendar day. */
export interface DayPart {
  day: string;
  durationMs: number;
}

/** Refuses anything but a day of the calendar, `YYYY-MM-DD`. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkDay(name: string, value: unknown): string {
  if (!isDay(value)) throw invalid(name, value, 'a day of the calendar as YYYY-MM-DD');
  return value;
}

/** Whether `checkDay` accepts the value. */
export function isDay(value: unknown): value is string {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) && dateIn(value) !== undefined;
}

/**
 * Returns the calendar day, `YYYY-MM-DD`, of an instant in a time zone: an IANA name such as `Europe/Berlin`, by
 * default the system's own. Throws `ERR_STORE_INVALID_ARGUMENT` for an invalid Date or an unknown zone.
 */
export function localDay(instant: Date, timeZone?: string): string {
  return dayNamer(timeZone)(Date.parse(checkInstant('instant', instant)));
}

const everywhereFirst = '0000-01-01T16:00:00.000Z';
const everywhereLast = '9999-12-31T08:00:00.000Z';

/**
 * Returns the instant, or a near one whose day is in the years 0000 to 9999: at either end of these years, the local
 * day can be in the year -1 or 10000. Code that must not fail because the clock is wrong calls this first.
 */
export function nameable(instant: Date, timeZone?: string): Date {
  try {
    localDay(instant, timeZone);
    return instant;
  } catch (error) {
    if (!hasCode(error, 'ERR_STORE_INVALID_ARGUMENT')) throw error;
    return new Date(instant.getTime() < 0 ? everywhereFirst : everywhereLast);
  }
}

/**
 * Cuts the span from `start` to `end` at each midnight of a time zone (by default the system's). Returns one part per
 * day in order of time, in whole milliseconds that add up to exactly `end - start`. A day has the 23, 24, 24.5 or 25
 * hours that the zone gives it. An empty span has no parts. Throws `ERR_STORE_INVALID_ARGUMENT` for an invalid Date, an
 * unknown zone or an end before the start.
 */
export function splitByDay(start: Date, end: Date, timeZone?: string): DayPart[] {
  const first = Date.parse(checkInstant('start', start));
  const last = Date.parse(checkInstant('end', end));
  if (last < first) throw invalid('end', end, `an instant not before the start (${new Date(first).toISOString()})`);
  const dayOf = dayNamer(timeZone);
  const parts = new Map<string, number>();
  for (let from = first; from < last; ) {
    const day = dayOf(from);
    const to = nextDay(from, last, day, dayOf);
    parts.set(day, (parts.get(day) ?? 0) + (to - from));
    from = to;
  }
  return Array.from(parts, ([day, durationMs]) => ({ day, durationMs }));
}

const hourMs = 3_600_000;

/** Returns the first instant after `from` that is not on `day` any more, or `last` if the whole rest is on `day`. */
function nextDay(from: number, last: number, day: string, dayOf: (time: number) => string): number {
  let same = from;
  let other = from + 12 * hourMs;
  while (other < last && dayOf(other) === day) {
    same = other;
    other += 12 * hourMs;
  }
  if (other >= last && dayOf(last - 1) === day) return last;
  other = Math.min(other, last - 1);
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2);
    if (dayOf(middle) === day) same = middle;
    else other = middle;
  }
  return other;
}

// Formatters are kept because making one takes tens of microseconds and a service uses one zone.
const formatters = new Map<string, Intl.DateTimeFormat>();
const accepted = 'a time zone that this system knows, such as Europe/Berlin';

function dayNamer(timeZone: string | undefined): (time: number) => string {
  if (timeZone === undefined) {
    return (time) => {
      const date = new Date(time);
      return dayText(date.getFullYear(), date.getMonth() + 1, date.getDate());
    };
  }
  const formatter = formatterFor(timeZone);
  return (time) => {
    const parts: Record<string, string> = {};
    for (const { type, value } of formatter.formatToParts(time)) parts[type] = value;
    // The formatter names the year 0 "1 BC".
    const year = parts['era'] === 'BC' ? 1 - Number(parts['year']) : Number(parts['year']);
    return dayText(year, Number(parts['month']), Number(parts['day']));
  };
}

function formatterFor(timeZone: string): Intl.DateTimeFormat {
  // Without this check, Intl would convert any value to a string and accept it.
  if (typeof timeZone !== 'string') throw invalid('timeZone', timeZone, accepted);
  const known = formatters.get(timeZone);
  if (known) return known;
  try {
    const formatter = new Intl.DateTimeFormat('en-US', {
      timeZone, calendar: 'gregory', numberingSystem: 'latn',
      era: 'short', year: 'numeric', month: 'numeric', day: 'numeric',
    });
    formatters.set(timeZone, formatter);
    return formatter;
  } catch (cause) {
    throw invalid('timeZone', timeZone, accepted, { cause });
  }
}

function dayText(year: number, month: number, day: number): string {
  // At either end of the years 0000 to 9999, the local day can already be in the year -1 or 10000.
  if (year < 0 || year > 9999) {
    const message = `a day must be of the years 0000 to 9999, got one of the year ${year}`;
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
  }
  return `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
}
