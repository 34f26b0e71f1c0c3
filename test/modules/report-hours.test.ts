// In which hours sessions ran: beside what Intl shows of each minute, in weeks in which clocks are set.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localDay, type SessionSnapshot, SqliteStore } from '../../lib/index.ts';
import { ReportDays } from '../../lib/modules/report/report-days.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from '../support/clocks.ts';
import { historyIn, hoursUsed, usageIn } from '../support/report-figures.ts';
import { randomNumbers } from '../support/values.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** A week of each zone in which its clocks are set forward, and one in which they are set back. */
const weeks: [zone: string, monday: string, sunday: string][] = [
  ['Europe/Berlin', '2026-03-23', '2026-03-29'], ['Europe/Berlin', '2026-10-19', '2026-10-25'],
  ['America/New_York', '2026-03-02', '2026-03-08'], ['America/New_York', '2026-10-26', '2026-11-01'],
  ['Australia/Lord_Howe', '2026-09-28', '2026-10-04'], ['Australia/Lord_Howe', '2026-03-30', '2026-04-05'],
];

/** Says what a zone's clocks show: the day of the week, and the hour. */
function cells(timeZone: string): (time: number) => string {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short', hour: '2-digit', hourCycle: 'h23' });
  const names = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
  return (time) => {
    const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]));
    return `${names.indexOf(parts['weekday']!)} ${Number(parts['hour'])}`;
  };
}

for (const [timeZone, from, to] of weeks) {
  test(`the hours of the week from ${from} in ${timeZone} are those that its clocks show`, async (t) => {
    const { seed, between, pick } = randomNumbers();
    t.diagnostic(`SEED=${seed}`);
    const cellOf = cells(timeZone);
    const start = Date.parse(`${from}T00:00:00Z`) - 20 * hourMs;
    const clocks = new Clocks(new Date(start).toISOString());
    using store = SqliteStore.inMemory(clocks.options);
    const tracker = new SessionTracker(store, { timeZone, ...clocks.forTracker });
    const expected: Record<string, number> = {};
    while (clocks.wall < start + 9.5 * 24 * hourMs) {
      clocks.pass(between(1, 200) * minuteMs);
      tracker.start({ entryId: pick(['a', 'b']) });
      for (let minutes = pick([between(1, 90), between(1, 900)]); minutes > 0; minutes--) {
        const day = localDay(new Date(clocks.wall), timeZone);
        const cell = cellOf(clocks.wall);
        if (day >= from && day <= to) expected[cell] = (expected[cell] ?? 0) + minuteMs;
        clocks.pass(minuteMs);
      }
      tracker.end({ type: 'expired' });
    }
    const options = { from, to, timeZone };
    const used = hoursUsed(await historyIn(store, options));
    assert.deepEqual(used, expected, `SEED=${seed}`);
    // What was used is what ran in those hours, because no clock was set wrong.
    const sum = Object.values(used).reduce((total, ms) => total + ms, 0);
    assert.equal(sum, (await usageIn(store, options)).total, `SEED=${seed}`);
  });
}

/** A report of Saturday 2026-11-21 in UTC, of a session that had two events. */
async function ofSession(
  { started, ended, durationMs }: { started?: string; ended: string; durationMs: number },
  days = { from: '2026-11-21', to: '2026-11-21' },
): Promise<Record<string, number>> {
  const clocks = new Clocks('2026-11-01T00:00:00Z');
  using store = SqliteStore.inMemory(clocks.options);
  if (started !== undefined) {
    clocks.set(started);
    store.appendAudit({ type: 'session_started', sessionId: 's', entryId: 'a' });
  }
  clocks.set(ended);
  store.appendAudit({ type: 'session_ended', sessionId: 's', entryId: 'a', reason: { type: 'expired' }, durationMs });
  return hoursUsed(await historyIn(store, { ...days, timeZone: 'UTC' }));
}

test('what a session ran is counted back from its end where the machine slept meanwhile', async () => {
  const [started, ended] = ['2026-11-21T08:00:00Z', '2026-11-21T20:30:00Z'];
  assert.deepEqual(await ofSession({ started, ended, durationMs: 2 * hourMs }), {
    '5 18': 30 * minuteMs, '5 19': hourMs, '5 20': 30 * minuteMs,
  });
});

test('where the clock was set back meanwhile, no more is shown than passed between start and end', async () => {
  const ended = '2026-11-21T08:10:00Z';
  assert.deepEqual(await ofSession({ started: '2026-11-21T08:00:00Z', ended, durationMs: 3 * hourMs }), {
    '5 8': 10 * minuteMs,
  });
  assert.deepEqual(await ofSession({ started: '2026-11-21T09:00:00Z', ended, durationMs: 20 * minuteMs }), {
    '5 7': 10 * minuteMs, '5 8': 10 * minuteMs,
  });
});

test('only what of a session is on the days of the report counts, also where its start is not in the log', async () => {
  const days = { from: '2026-11-21', to: '2026-11-22' };
  const overStart = { ended: '2026-11-21T00:20:00Z', durationMs: hourMs };
  assert.deepEqual(await ofSession(overStart, days), { '5 0': 20 * minuteMs });
  const overEnd = { started: '2026-11-22T23:30:00Z', ended: '2026-11-23T00:30:00Z', durationMs: hourMs };
  assert.deepEqual(await ofSession(overEnd, days), { '6 23': 30 * minuteMs });
  const around = { started: '2026-11-20T00:00:00Z', ended: '2026-11-24T00:00:00Z', durationMs: 96 * hourMs };
  const all = await ofSession(around, days);
  assert.deepEqual([Object.keys(all).length, new Set(Object.values(all))], [48, new Set([hourMs])]);
  const endless = { ended: '2026-11-22T01:00:00Z', durationMs: Number.MAX_SAFE_INTEGER };
  assert.equal(Object.keys(await ofSession(endless, days)).length, 25);
});

test('a session that has no end counts in no hour', async () => {
  const clocks = new Clocks('2026-11-21T08:00:00Z');
  using store = SqliteStore.inMemory(clocks.options);
  store.appendAudit({ type: 'session_started', sessionId: 's', entryId: 'a' });
  const activeSession: SessionSnapshot = {
    sessionId: 's', entryId: 'a', startedAt: new Date(clocks.wall), warningsIssued: [],
  };
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession });
  clocks.pass(hourMs);
  assert.deepEqual(hoursUsed(await historyIn(store, { timeZone: 'UTC' })), {});
});

test('the clocks showed each hour as often as its day came, and none of a day that the zone left out', () => {
  const hoursOf = (...range: ConstructorParameters<typeof ReportDays>): number[][] => {
    return new ReportDays(...range).clockHours(() => true).map((hours) => [...new Set(hours.map((ms) => ms / hourMs))]);
  };
  assert.deepEqual(hoursOf('2026-11-16', '2026-11-29', 'UTC'), [[2], [2], [2], [2], [2], [2], [2]]);
  assert.deepEqual(hoursOf('2026-11-21', '2026-11-23', 'UTC'), [[1], [0], [0], [0], [0], [1], [1]]);
  // Samoa went from Thursday to Saturday.
  const days = new ReportDays('2011-12-29', '2011-12-31', 'Pacific/Apia');
  assert.deepEqual(hoursOf('2011-12-29', '2011-12-31', 'Pacific/Apia'), [[0], [0], [0], [1], [0], [1], [0]]);
  assert.deepEqual(days.texts, ['2011-12-29', '2011-12-30', '2011-12-31']);
  assert.equal(days.placeOf(days.startAt(1)), 2);
  const clockHours = (day: string, zone: string): number[] => {
    return new ReportDays(day, day, zone).clockHours(() => true)[6]!.slice(1, 4).map((ms) => ms / hourMs);
  };
  assert.deepEqual(clockHours('2026-03-29', 'Europe/Berlin'), [1, 0, 1]);
  assert.deepEqual(clockHours('2026-10-25', 'Europe/Berlin'), [1, 2, 1]);
  assert.deepEqual(clockHours('2026-04-05', 'Australia/Lord_Howe'), [1.5, 1, 1]);
});

test('an hour is one of the days that are known: not of silent ones, archived ones and those to come', async () => {
  const clocks = new Clocks('2026-11-07T08:00:00Z');
  using store = SqliteStore.inMemory(clocks.options);
  store.appendAudit({ type: 'service_started' }); // a Saturday without a session, and none is known of the next one
  clocks.set('2026-11-21T09:00:00Z');
  const ended = { type: 'session_ended', sessionId: 's', entryId: 'a', reason: { type: 'expired' } } as const;
  store.appendAudit({ ...ended, durationMs: 25 * hourMs }); // ran through a Friday without an event
  const { hours, clockHours } = await historyIn(store, { from: '2026-11-02', to: '2026-11-30', timeZone: 'UTC' });
  assert.deepEqual(clockHours.map((ofDay) => ofDay[8]! / hourMs), [0, 0, 0, 0, 1, 2, 0]);
  assert.deepEqual(hours.map((ofDay) => ofDay[8]! / hourMs), [0, 0, 0, 0, 1, 1, 0]);
});

test('the day of every instant is the day that the rest of the package names', (t) => {
  const { seed, between } = randomNumbers();
  t.diagnostic(`SEED=${seed}`);
  for (const [timeZone, from, to] of weeks) {
    const days = new ReportDays(from, to, timeZone);
    assert.equal(days.placeOf(days.start - 1), undefined);
    assert.equal(days.placeOf(days.end), undefined);
    for (let count = 0; count < 500; count++) {
      const time = between(days.start, days.end - 1);
      assert.equal(days.texts[days.placeOf(time)!], localDay(new Date(time), timeZone), `SEED=${seed} ${time}`);
    }
  }
});
