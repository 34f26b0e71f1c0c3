// The days of a time zone: when each begins, and at which instant its clocks show a time. Days are whole numbers, as
// many days after 1970-01-01.
import { isDay, localDay } from '../values/days.ts';

export const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
// No zone has ever been further from UTC than 15 hours and 57 minutes.
const widestOffsetMs = 16 * hourMs;
const lastDay = Date.UTC(9999, 11, 31) / dayMs;
const firstDay = Date.parse('0000-01-01T00:00:00Z') / dayMs;

/** A part of a day during which the clocks were not changed. */
export interface Stretch {
  from: number;
  to: number;
  /** What the clocks show at `from`, in milliseconds after midnight. */
  reading: number;
}

/**
 * The calendar of one time zone. A day never begins twice: where clocks are set back over a midnight, the new day goes
 * on. Nor is a time of a day reached twice: where clocks are set back, the first time counts. A day that a zone left
 * out is there, and has no length.
 */
export class Calendar {
  readonly #offsetAt: (time: number) => number;
  readonly #starts = new Map<number, number>();
  readonly #stretches = new Map<number, Stretch[]>();

  /** Throws `ERR_STORE_INVALID_ARGUMENT` for an unknown zone; without one, the zone is the system's. */
  constructor(timeZone?: string) {
    this.#offsetAt = timeZone === undefined ? localOffset : offsetsOf(timeZone);
  }

  /** The day that an instant is on. */
  dayOf(time: number): number {
    const named = Math.floor((time + this.#offsetAt(time)) / dayMs);
    return time >= this.startOf(named + 1) ? named + 1 : named;
  }

  /** The first instant of a day. */
  startOf(day: number): number {
    let start = this.#starts.get(day);
    if (start === undefined) this.#starts.set(day, start = this.#findStart(day));
    return start;
  }

  #findStart(day: number): number {
    const before = day * dayMs - widestOffsetMs;
    const offset = this.#offsetAt(before);
    const expected = day * dayMs - offset;
    const later = this.#offsetAt(expected);
    if (later === offset) return expected;
    // The clocks were changed shortly before: forward over midnight, or so that midnight comes earlier or later.
    return Math.max(this.#changeBetween(before, expected), day * dayMs - later);
  }

  /** The first instant after `same` with another offset; `other` has another one. */
  #changeBetween(same: number, other: number): number {
    const offset = this.#offsetAt(same);
    while (other - same > 1) {
      const middle = Math.floor((same + other) / 2);
      if (this.#offsetAt(middle) === offset) same = middle;
      else other = middle;
    }
    return other;
  }

  /** Whether no instant is on the day. */
  isLeftOut(day: number): boolean {
    return this.startOf(day) === this.startOf(day + 1);
  }

  /** The next day that was not left out. */
  after(day: number): number {
    let next = day + 1;
    while (this.isLeftOut(next)) next++;
    return next;
  }

  /** The day before that was not left out. */
  before(day: number): number {
    let previous = day - 1;
    while (this.isLeftOut(previous)) previous--;
    return previous;
  }

  /**
   * The first instant of a day at which its clocks show a time or a later one, given in milliseconds after midnight;
   * the end of the day where they never do.
   */
  instantOf(day: number, reading: number): number {
    for (const stretch of this.stretchesOf(day)) {
      const time = stretch.from + Math.max(0, reading - stretch.reading);
      if (time < stretch.to) return time;
    }
    return this.startOf(day + 1);
  }

  /** The parts of a day, in order; none of one that was left out. */
  stretchesOf(day: number): readonly Stretch[] {
    let stretches = this.#stretches.get(day);
    if (!stretches) this.#stretches.set(day, stretches = this.#findStretches(day));
    return stretches;
  }

  #findStretches(day: number): Stretch[] {
    const [from, to] = [this.startOf(day), this.startOf(day + 1)];
    if (from === to) return [];
    const stretch = (start: number, end: number): Stretch => {
      return { from: start, to: end, reading: start + this.#offsetAt(start) - day * dayMs };
    };
    if (this.#offsetAt(from) === this.#offsetAt(to - 1)) return [stretch(from, to)];
    const change = this.#changeBetween(from, to - 1);
    return [stretch(from, change), stretch(change, to)];
  }
}

/** The day of the week as ISO 8601 has it: Monday is 1, Sunday is 7. */
export function weekdayOf(day: number): number {
  return ((((day + 3) % 7) + 7) % 7) + 1;
}

/** The first day of the week that a day is in, where weeks begin on this day of the week. */
export function weekStart(day: number, startsOn: number): number {
  return day - ((weekdayOf(day) - startsOn + 7) % 7);
}

/** A day as `YYYY-MM-DD`; one beyond the years 0000 to 9999 as the last that can be written. */
export function textOf(day: number): string {
  return new Date(Math.min(Math.max(day, firstDay), lastDay) * dayMs).toISOString().slice(0, 10);
}

/** The day that a text names; `undefined` where it names none. */
export function dayIn(text: string): number | undefined {
  return isDay(text) ? Date.parse(text) / dayMs : undefined;
}

/** How far the clocks of the system's own zone are ahead of UTC. */
function localOffset(time: number): number {
  const date = new Date(time);
  const reading = new Date(0);
  // Date.UTC would take the years 0 to 99 for 1900 to 1999.
  reading.setUTCFullYear(date.getFullYear(), date.getMonth(), date.getDate());
  reading.setUTCHours(date.getHours(), date.getMinutes(), date.getSeconds(), date.getMilliseconds());
  return reading.getTime() - time;
}

// Kept because making a formatter takes tens of microseconds, and a service uses one zone.
const formatters = new Map<string, Intl.DateTimeFormat>();

/** A function that says how far the clocks of a zone are ahead of UTC. */
function offsetsOf(timeZone: string): (time: number) => number {
  let formatter = formatters.get(timeZone);
  if (!formatter) {
    localDay(new Date(0), timeZone); // refuses an unknown zone
    // The name of the offset, GMT+01:00, is a third of the work of all fields of a date, and knows no eras.
    formatter = new Intl.DateTimeFormat('en-US', { timeZone, year: 'numeric', timeZoneName: 'longOffset' });
    formatters.set(timeZone, formatter);
  }
  const { format } = formatter;
  return (time) => {
    const [, sign, hours = 0, minutes = 0, seconds = 0] = /GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?$/.exec(format(time))!;
    const offset = (Number(hours) * 60 + Number(minutes)) * minuteMs + Number(seconds) * 1_000;
    return sign === '-' ? -offset : offset;
  };
}
