// A report of a year of 40 entries, beside the verification of the log, which is a part of it.
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import type { LimitPolicy } from '../../lib/modules/limits/limits.ts';
import { renderReport } from '../../lib/modules/report/report.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { median } from './measure.ts';
import { cost, limited, type Row } from './row.ts';
import type { Sizes } from './sizes.ts';

const [minuteMs, hourMs, dayMs] = [60_000, 3_600_000, 86_400_000];
const lastMorning = Date.parse('2026-11-21T07:00:00Z');
const entries = Array.from({ length: 40 }, (_, index) => `entry-${index}`);
const sessionsADay = 20;
const timeZone = 'Europe/Berlin';

const policy: LimitPolicy = {
  entries: Object.fromEntries(entries.map((entryId) => [entryId, { dailyMs: hourMs, groups: ['all'] }])),
  groups: { all: { dailyMs: 8 * hourMs } },
};

/** The days of a service, each a transaction, because a disk is not what is measured. */
function fill(path: string, days: number): void {
  let now = 0;
  using store = SqliteStore.open(path, { clock: () => new Date(now) });
  const tracker = new SessionTracker(store, { timeZone, monotonicMs: () => now });
  for (let day = 0; day < days; day++) {
    now = lastMorning - (days - 1 - day) * dayMs;
    store.transaction(() => {
      store.appendAudit({ type: 'service_started' });
      for (let number = 0; number < sessionsADay; number++) {
        const entryId = entries[(day * 7 + number * 3) % entries.length]!;
        now += minuteMs;
        if (number % 5 === 0) store.appendAudit({ type: 'launch_denied', entryId, reasons: ['daily_quota'] });
        const { sessionId } = tracker.start({ entryId, label: `The ${entryId}`, deadline: new Date(now + hourMs) });
        now += 20 * minuteMs + number;
        for (const thresholdSecs of [300, 60]) store.appendAudit({ type: 'warning_issued', sessionId, thresholdSecs });
        tracker.end({ type: 'expired' });
      }
      const today = new Date(now).toISOString().slice(0, 10);
      if (day % 7 === 0) store.grantTime({ subject: 'group:all', day: today, durationMs: hourMs });
      store.appendAudit({ type: 'service_stopped' });
    });
  }
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** What a report takes, with its verification, and how large its page is. */
export async function report(folder: string, { rounds, reportDays }: Sizes): Promise<Row[]> {
  const path = join(folder, 'report.db');
  fill(path, reportDays);
  using store = SqliteStore.openReadOnly(path, { clock: () => new Date(lastMorning + 15 * hourMs) });
  const from = new Date(lastMorning - (reportDays - 1) * dayMs).toISOString().slice(0, 10);
  const make = (): Promise<string> => renderReport(store, { from, policy, timeZone });
  const page = await make();
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    theirs.push(await timed(() => store.verifyAudit()));
    ours.push(await timed(make));
  }
  const what = `report of ${reportDays} days of 40 entries`;
  return [
    cost(what, 'verifyAudit of its log', [median(ours), median(theirs)], 6, 'ms'),
    limited('page of that report', Buffer.byteLength(page) / 1000, 2_000, 'kB'),
  ];
}
