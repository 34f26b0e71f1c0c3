// Limits where clocks are changed or a day is left out, and at the ends of what counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { type EntryRules, evaluate, type Verdict } from '../../lib/modules/limits/limits.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** The verdict on an entry with these rules at an instant, by the clocks of a zone. */
function verdictAt(
  at: string, timeZone: string, rules: EntryRules, given: (store: SqliteStore) => void = () => {},
): Verdict {
  using store = SqliteStore.inMemory({ clock: () => new Date(at) });
  given(store);
  return evaluate(store, { entries: { a: rules } }, 'a', { timeZone });
}

/** What a verdict says, in one line. */
function lineOf({ reasons, remainingMs, changesAt }: Verdict): string {
  const told = reasons.map(({ code, until }) => `${code} ${until?.toISOString().slice(0, 16)}`);
  if (reasons.length === 0) told.push(`${remainingMs === undefined ? 'no end' : remainingMs / minuteMs}`);
  return [...told, ...(changesAt ? [changesAt.toISOString().slice(0, 16)] : [])].join(', ');
}

for (const [what, at, timeZone, from, to, expected] of [
  ['begins in the gap', '2026-03-28T23:30', 'Europe/Berlin', '02:30', '04:00', '2026-03-29T01:00'],
  ['lies in the gap', '2026-03-28T23:30', 'Europe/Berlin', '02:00', '02:45', '2026-03-30T00:00'],
  ['ends in the gap', '2026-03-28T23:30', 'Europe/Berlin', '22:00', '02:30', 90],
  ['lies in the hour that comes twice', '2026-10-25T01:15', 'Europe/Berlin', '02:00', '02:45', '2026-10-26T01:00'],
  ['ends behind the hour that comes twice', '2026-10-25T01:15', 'Europe/Berlin', '02:00', '03:00', 45],
  ['lies in the half hour that comes twice', '2026-04-04T15:10', 'Australia/Lord_Howe', '01:00', '01:50',
    '2026-04-05T14:30'],
  ['begins at a midnight that is left out', '2026-04-23T21:30', 'Africa/Cairo', '00:00', '02:00', '2026-04-23T22:00'],
  ['lies behind a midnight that is left out', '2026-03-28T21:30', 'Asia/Beirut', '00:00', '00:30',
    '2026-03-29T21:00'],
  ['goes over a midnight before which an hour comes twice', '2026-10-29T20:30', 'Africa/Cairo', '23:00', '00:30', 120],
  ['goes over a day that is left out', '2011-12-30T09:00', 'Pacific/Apia', '22:00', '06:00', 420],
] as const) {
  test(`a window that ${what} in ${timeZone}`, () => {
    const verdict = verdictAt(`${at}:00Z`, timeZone, { windows: [{ from, to }] });
    const isOpen = typeof expected === 'number';
    assert.equal(lineOf(verdict), isOpen ? `${expected}` : `outside_window ${expected}, ${expected}`);
  });
}

test('what is decided for a day that a zone left out decides nothing', () => {
  const [at, timeZone, day] = ['2011-12-30T09:00:00Z', 'Pacific/Apia', '2011-12-30'];
  const deny = (on: string) => (store: SqliteStore): void => {
    store.setAvailability({ subject: 'a', day: on, availability: 'denied' });
  };
  assert.equal(lineOf(verdictAt(at, timeZone, {}, deny(day))), 'no end');
  assert.equal(lineOf(verdictAt(at, timeZone, {}, deny('2011-12-31'))), '60');
  const grant = (store: SqliteStore): void => void store.grantTime({ subject: 'a', day, durationMs: hourMs });
  assert.equal(lineOf(verdictAt(at, timeZone, { dailyMs: 0 }, grant)), 'daily_quota undefined');
});

test("a running session's time of last week does not count for this one", () => {
  const verdict = verdictAt('2026-11-21T17:00:00Z', 'UTC', { weeklyMs: 4 * hourMs }, (store) => {
    const days = ['2026-11-15', '2026-11-20'].map((day) => ({ day, durationMs: hourMs }));
    const startedAt = new Date('2026-11-15T12:00:00Z');
    const activeSession = { sessionId: 's', entryId: 'a', startedAt, warningsIssued: [], elapsedMs: 2 * hourMs, days };
    store.saveSnapshot({ timestamp: new Date('2026-11-21T16:00:00Z'), activeSession });
  });
  assert.equal(lineOf(verdict), '120');
});

test('a deadline is an instant that every zone can name, and a quota of centuries is one', () => {
  const { deadline } = verdictAt('2026-11-21T17:00:00Z', 'UTC', { dailyMs: Number.MAX_SAFE_INTEGER });
  assert.equal(deadline?.toISOString(), '9999-12-31T08:00:00.000Z');
});
