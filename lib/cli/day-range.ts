// Which days a command is to show, by its options: --day, --days, --from and --to, --week, --month.
import { localDay } from '../values/days.ts';
import type { Args } from './args.ts';
import { UsageError } from './failures.ts';
import { addDays } from './times.ts';

/** Days from the first to the last one, both inclusive. */
export interface DayRange {
  from: string;
  to: string;
}

/** How a command takes its days: without an option the last `usual` ones, and `most` at most. */
interface Taking {
  usual: number;
  most: number;
  /** The day on which weeks begin, 1 (Monday) to 7. */
  weekStartsOn?: number | undefined;
}

/** The days that a call names. Throws `UsageError` where it names them in two ways, or none. */
export function rangeOf(args: Args, now: Date, { usual, most, weekStartsOn = 1 }: Taking): DayRange {
  const today = localDay(now);
  const [day, from, to] = ['day', 'from', 'to'].map((name) => args.day(name, now));
  const days = args.integer('days', 1, most);
  const [isWeek, isMonth] = [args.flag('week'), args.flag('month')];
  const ways = [
    ...(day === undefined ? [] : ['--day']), ...((from ?? to) === undefined ? [] : ['--from and --to']),
    ...(days === undefined ? [] : ['--days']), ...(isWeek ? ['--week'] : []), ...(isMonth ? ['--month'] : []),
  ];
  if (ways.length > 1) throw new UsageError(`${ways.join(' do not go with ')}: give one of them`);
  if (day !== undefined) return { from: day, to: day };
  if (to !== undefined && from === undefined) throw new UsageError('--to needs --from');
  if (from !== undefined && from > (to ?? today)) {
    throw new UsageError(`--from ${from} is after ${to === undefined ? `today, ${today}` : `--to ${to}`}`);
  }
  if (from !== undefined) return { from, to: to ?? today };
  if (isWeek) return { from: addDays(today, -((weekdayOf(today) - weekStartsOn + 7) % 7)), to: today };
  if (isMonth) return { from: `${today.slice(0, 8)}01`, to: today };
  return { from: addDays(today, 1 - (days ?? usual)), to: today };
}

/** The day of the week, 1 (Monday) to 7. */
function weekdayOf(day: string): number {
  return new Date(`${day}T00:00:00Z`).getUTCDay() || 7;
}
