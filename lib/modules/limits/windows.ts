// When a subject is open: inside one of its windows, or on a day on which they are lifted.
import { type Calendar, weekdayOf } from '../calendar.ts';
import type { Window } from '../limit-policy.ts';

/** From an instant to before another one. */
type Span = readonly [from: number, to: number];

/** The times at which a subject is open, up to the end of the last day that is looked at. */
export class Openings {
  readonly #calendar: Calendar;
  readonly #windows: readonly Window[];
  readonly #isLifted: (day: number) => boolean;
  readonly #lastDay: number;

  constructor(
    calendar: Calendar, windows: readonly Window[], isLifted: (day: number) => boolean, lastDay: number,
  ) {
    this.#calendar = calendar;
    this.#windows = windows;
    this.#isLifted = isLifted;
    this.#lastDay = lastDay;
  }

  /**
   * The first instant from `time` on at which it is closed: `time` itself where it is closed then, and `Infinity` where
   * it stays open to the end of the last day. What follows without a break counts as one.
   */
  closesFrom(time: number, today: number): number {
    const calendar = this.#calendar;
    const spans: Span[] = [];
    let closes = time;
    for (let day = calendar.before(today); day <= this.#lastDay; day = calendar.after(day)) {
      if (closes < calendar.startOf(day)) return closes;
      spans.push(...this.#beginningOn(day));
      closes = endOf(spans, closes);
    }
    return closes < calendar.startOf(this.#lastDay + 1) ? closes : Infinity;
  }

  /** The first instant from `time` on at which it is open; `undefined` where it stays closed. */
  opensFrom(time: number, today: number): number | undefined {
    const calendar = this.#calendar;
    for (let day = calendar.before(today); day <= this.#lastDay; day = calendar.after(day)) {
      const starts = this.#beginningOn(day).filter(([, to]) => to > time).map(([from]) => Math.max(from, time));
      if (starts.length === 0) continue;
      const opens = Math.min(...starts);
      return opens < calendar.startOf(this.#lastDay + 1) ? opens : undefined;
    }
    return undefined;
  }

  #beginningOn(day: number): Span[] {
    const calendar = this.#calendar;
    const weekday = weekdayOf(day);
    const spans: Span[] = [];
    for (const { days, from, to } of this.#windows) {
      if (!days.includes(weekday)) continue;
      const end = calendar.instantOf(to > from ? day : calendar.after(day), to);
      spans.push([calendar.instantOf(day, from), end]);
    }
    if (this.#isLifted(day)) spans.push([calendar.startOf(day), calendar.startOf(day + 1)]);
    return spans.filter(([from, to]) => from < to); // clocks that are set forward may pass over a whole window
  }
}

/** Where the spans end that cover `time` and go on from it without a break; `time` itself where none covers it. */
function endOf(spans: readonly Span[], time: number): number {
  for (;;) {
    const covering = spans.filter(([from, to]) => from <= time && time < to);
    if (covering.length === 0) return time;
    time = Math.max(...covering.map(([, to]) => to));
  }
}
