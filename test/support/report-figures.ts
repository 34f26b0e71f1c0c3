// The figures of reports, in a test's hand.
import assert from 'node:assert/strict';
import type { SqliteStore } from '../../lib/index.ts';
import type { Contents, History, Part, Usage } from '../../lib/modules/report/contents.ts';
import { readReport } from '../../lib/modules/report/figures.ts';
import type { ReportOptions } from '../../lib/modules/report/options.ts';

/** The contents of a report. */
export async function reportOf(store: SqliteStore, options: ReportOptions): Promise<Contents> {
  return (await readReport(store, options)).contents;
}

/** A part that can be read. */
export function readable<T>(part: Part<T>): T {
  assert.equal(part.unreadable, undefined);
  return part.value as T;
}

export async function usageIn(store: SqliteStore, options: ReportOptions): Promise<Usage> {
  return readable((await reportOf(store, options)).usage);
}

export async function historyIn(store: SqliteStore, options: ReportOptions): Promise<History> {
  return readable((await reportOf(store, options)).history);
}

/** What of hours is not zero: by day of the week, Monday 0, and hour. */
export function hoursUsed({ hours }: History): Record<string, number> {
  const cells = hours.flatMap((day, weekday) => day.map((ms, hour) => [`${weekday} ${hour}`, ms] as const));
  return Object.fromEntries(cells.filter(([, ms]) => ms > 0));
}
