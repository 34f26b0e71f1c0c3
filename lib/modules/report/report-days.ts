// The days of a report: on which of them an instant is, and in which hours of the clock a time passed.
import { Calendar, dayIn, textOf, weekdayOf } from '../calendar.ts';

const hourMs = 3_600_000;

/** A time within one hour of the clock, on the day at a place; `weekday` is 0 for Monday, `hour` 0 to 23. */
export interface HourPart {
  place: number;
  weekday: number;
  hour: number;
  durationMs: number;
}

/** Seven days of the week, Monday first, of 24 hours each, in which nothing has been. */
export function noHours(): number[][] {
  return Array.from({ length: 7 }, () => Array<number>(24).fill(0));
}

/** Adds parts to the hours that they are in. */
export function addParts(hours: number[][], parts: Iterable<HourPart>): void {
  for (const { weekday, hour, durationMs } of parts) hours[weekday]![hour]! += durationMs;
}

/** The days of a report, by their places from 0 on. */
export class ReportDays {
  /** Each as `YYYY-MM-DD`. */
  readonly texts: readonly string[];
  /** The day at place 0, in days after 1970-01-01. */
  readonly first: number;
  readonly #timeZone: string | undefined;
  readonly #calendar: Calendar;
  /** When each begins, and at the end when the last one is over. */
  readonly #starts: readonly number[];

  /** From one day to another, both inclusive. Throws `ERR_STORE_INVALID_ARGUMENT` for an unknown zone. */
  constructor(from: string, to: string, timeZone: string | undefined) {
    const calendar = new Calendar(timeZone);
    this.#timeZone = timeZone;
    this.#calendar = calendar;
    this.first = dayIn(from)!;
    const days = Array.from({ length: dayIn(to)! - this.first + 2 }, (_, place) => this.first + place);
    // Kept because a report asks for the days of thousands of instants, and to ask the zone takes a microsecond each.
    this.#starts = days.map((day) => calendar.startOf(day));
    this.texts = days.slice(0, -1).map(textOf);
  }

  /** The seven days before these. */
  weekBefore(): ReportDays {
    return new ReportDays(textOf(this.first - 7), textOf(this.first - 1), this.#timeZone);
  }

  /** The first instant. */
  get start(): number {
    return this.#starts[0]!;
  }

  /** The first instant that is none of these days'. */
  get end(): number {
    return this.#starts.at(-1)!;
  }

  /** When the day at a place begins; that behind the last place is when all are over. */
  startAt(place: number): number {
    return this.#starts[place]!;
  }

  /** The place of the day that an instant is on; `undefined` where it is on none of these days. */
  placeOf(time: number): number | undefined {
    const starts = this.#starts;
    if (time < this.start || time >= this.end) return undefined;
    let [low, high] = [0, starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= time) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The place that a text has as a day, also beyond these days; `undefined` for a text that is no day. */
  placeNamed(text: string): number | undefined {
    const day = dayIn(text);
    return day === undefined ? undefined : day - this.first;
  }

  /** How long the clocks showed each hour of each day of the week, on those of these days that `isCounted` names. */
  clockHours(isCounted: (place: number) => boolean): number[][] {
    const hours = noHours();
    for (const place of this.texts.keys()) {
      if (isCounted(place)) addParts(hours, this.hoursOf(this.startAt(place), this.startAt(place + 1)));
    }
    return hours;
  }

  #weekday(place: number): number {
    return weekdayOf(this.first + place) - 1;
  }

  /**
   * Cuts what of a span is on these days at each full hour of the clock. Where the clocks are set back, an hour comes
   * twice, and where they are set forward, it is shorter or not there.
   */
  *hoursOf(from: number, to: number): Generator<HourPart, void, undefined> {
    const end = Math.min(to, this.end);
    for (let time = Math.max(from, this.start); time < end; ) {
      const place = this.placeOf(time)!;
      for (const stretch of this.#calendar.stretchesOf(this.first + place)) {
        const last = Math.min(end, stretch.to);
        while (time < last) {
          const hour = Math.floor((stretch.reading + time - stretch.from) / hourMs);
          const next = Math.min(last, stretch.from + (hour + 1) * hourMs - stretch.reading);
          // Where clocks are set back over a midnight, the new day goes on, and they show hours of the day before.
          yield { place, weekday: this.#weekday(place), hour: ((hour % 24) + 24) % 24, durationMs: next - time };
          time = next;
        }
      }
    }
  }
}
