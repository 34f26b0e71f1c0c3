// The command usage: shows how long entries were used.
import type { Args } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { rangeOf } from './day-range.ts';
import { errorLines, readUsage, unreadable, usageLines, type UsageRow } from './rows.ts';
import { openStore } from './store-path.ts';
import { bar, columnWidth, counted, dayLabel, duration, fit, lineWidth, nameRoom, pad, painter, wrap } from './text.ts';
import { addDays } from './times.ts';

/** `usage`: shows how long entries were used, with a bar for each day. */
export const usage: Command = {
  name: 'usage',
  summary: 'Shows how long entries were used, a bar per day',
  takes: ['[ENTRY]'],
  options: {
    ...dbOption,
    days: { value: 'N', help: 'the last N days; 7 by default' },
    day: { value: 'DAY', help: 'one day' },
    from: { value: 'DAY', help: 'from this day on' },
    to: { value: 'DAY', help: 'up to this day; today by default' },
    ...jsonOption,
  },
  notes: [
    'DAY is YYYY-MM-DD, today or yesterday. Without ENTRY each day is followed by its',
    'entries.',
    'Today is what it is in the local time zone (TZ).',
    'A total that cannot be read is shown as such, and the exit code is 1.',
  ],
  examples: ['usage --db shepherdd.db', 'usage minecraft --db shepherdd.db --from 2026-11-01'],
  run: runUsage,
};

async function runUsage(args: Args, io: Io): Promise<number> {
  const { from, to } = rangeOf(args, now(io), { usual: 7, most: 36_600 });
  const entryId = args.positionals[0];
  using store = await openStore(args, io);
  const rows = readUsage(store, from, to, entryId);
  if (args.flag('json')) printJson(io, { from, to, ...(entryId === undefined ? undefined : { entryId }), usage: rows });
  else print(io, chart(io, rows, from, to, entryId));
  return rows.some(({ error }) => error) ? 1 : 0;
}

// In a range of more than two months, the days on which nothing was used would push all others off the screen.
const mostEmptyDays = 62;

function chart(io: Io, rows: readonly UsageRow[], from: string, to: string, entryId: string | undefined): string[] {
  const width = lineWidth(io.stdout);
  const paint = painter(io.stdout);
  const subject = entryId === undefined ? 'Usage' : `Usage of ${fit(entryId, nameRoom(io.stdout, 35))}`;
  const lines = [paint('bold', `${subject}, ${from === to ? dayLabel(from) : `${from} to ${to}`}`), ''];
  if (rows.length === 0) return [...lines, 'Nothing was used.'];
  const byDay = Map.groupBy(rows, ({ day }) => day);
  if (from === to) lines.push(...usageLines(io.stdout, rows));
  else lines.push(...dayBars(io, width, byDay, shownDays(byDay, from, to), entryId === undefined));
  const errors = errorLines(io.stdout, rows);
  // A total that cannot be read is more than nothing, so the sum is shown as a lower bound.
  const unreadable = rows.filter(({ error }) => error).length;
  const sum = `${duration(sumMs(rows))} in all on ${counted(byDay.size, 'day')}`;
  const lowerBound = `at least ${sum}: ${counted(unreadable, 'total')} cannot be read`;
  return [...lines, '', unreadable === 0 ? sum : lowerBound, ...(errors.length > 0 ? ['', ...errors] : [])];
}

function shownDays(byDay: Map<string, UsageRow[]>, from: string, to: string): string[] {
  if (addDays(from, mostEmptyDays) <= to) return [...byDay.keys()];
  const days = new Set(byDay.keys());
  for (let day = from; day <= to; day = addDays(day, 1)) days.add(day);
  return [...days].sort();
}

/** A bar for the total of each day, followed by the entries of the day where `withEntries`. */
function dayBars(
  io: Io, width: number, byDay: Map<string, UsageRow[]>, days: readonly string[], withEntries: boolean,
): string[] {
  const paint = painter(io.stdout);
  const sums = new Map(days.map((day) => [day, sumMs(byDay.get(day) ?? [])]));
  const longest = Math.max(...sums.values());
  const amounts = new Map(days.map((day) => [day, amountText(byDay.get(day) ?? [], sums.get(day)!)]));
  const amountWidth = columnWidth([...amounts.values()], 24);
  const barWidth = Math.min(60, width - 14 - amountWidth - 4);
  return days.flatMap((day) => {
    const rows = byDay.get(day) ?? [];
    const colour = rows.length === 0 ? 'dim' : rows.some(({ error }) => error) ? 'red' : 'reset';
    const amount = paint(colour, pad(amounts.get(day)!, amountWidth, true));
    const dayBar = paint('green', bar(sums.get(day)!, longest, barWidth));
    const line = `${pad(dayLabel(day), 14)}  ${amount}  ${dayBar}`.trimEnd();
    return withEntries ? [line, ...entryParts(io, rows, width)] : [line];
  });
}

function sumMs(rows: readonly UsageRow[]): number {
  return rows.reduce((sum, { durationMs = 0 }) => sum + durationMs, 0);
}

function amountText(rows: readonly UsageRow[], sum: number): string {
  if (rows.length === 0) return '-';
  if (!rows.some(({ error }) => error)) return duration(sum);
  return sum === 0 ? unreadable : `${duration(sum)} + ?`;
}

/** The entries of a day in one paragraph below its bar, the longest first. */
function entryParts(io: Io, rows: readonly UsageRow[], width: number): string[] {
  const paint = painter(io.stdout);
  const room = nameRoom(io.stdout, 30);
  const sorted = [...rows].sort((a, b) => (b.durationMs ?? Infinity) - (a.durationMs ?? Infinity));
  const parts = sorted.map(({ entryId, durationMs }, index) => {
    const amount = durationMs === undefined ? '?' : duration(durationMs);
    return `${fit(entryId, room)} ${amount}${index < sorted.length - 1 ? ' ·' : ''}`;
  });
  return wrap(parts, width - 4).map((line) => `    ${paint('dim', line)}`);
}
