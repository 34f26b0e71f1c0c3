// Which day a session's time goes to where the machine sleeps, its clock is set, or the service crashes meanwhile.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type DayPart, localDay, type SessionSnapshot, splitByDay, type SqliteStore } from '../../lib/index.ts';
import { grownDays } from '../../lib/modules/session-days.ts';
import { type EndedSession, SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { badDays, badDurations, badOptions, randomNumbers } from '../support/values.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** A service on one machine: its process may crash and start again, which sets its forward-only clock anew. */
class Machine {
  readonly clocks: Clocks;
  readonly #folder: TestFolder;
  readonly #timeZone: string;
  store: SqliteStore;
  tracker: SessionTracker;

  constructor(t: TestContext, start: string, timeZone = 'UTC') {
    this.clocks = new Clocks(start);
    this.#folder = new TestFolder(t, { inMemory: true });
    this.#timeZone = timeZone;
    this.store = this.#folder.open(this.clocks.options);
    this.tracker = this.#newTracker();
  }

  #newTracker(): SessionTracker {
    const options = { timeZone: this.#timeZone, ...this.clocks.forTracker };
    return new SessionTracker(this.store, options);
  }

  /** Plays on, and touches the session every minute. */
  play(minutes: number): void {
    for (let minute = 0; minute < minutes; minute++) {
      this.clocks.pass(minuteMs);
      this.tracker.touch();
    }
  }

  /** The process is gone, without a word to the store; the next one recovers its session. */
  crash(): EndedSession | undefined {
    this.store.close();
    this.clocks.elapsed = 7;
    this.store = this.#folder.open(this.clocks.options);
    this.tracker = this.#newTracker();
    return this.tracker.recover();
  }

  charged(): DayPart[] {
    return this.store.getUsageRange('a', '0000-01-01', '9999-12-31');
  }
}

function totalMs(parts: readonly DayPart[] = []): number {
  return parts.reduce((sum, { durationMs }) => sum + durationMs, 0);
}

function minutes(...days: readonly (readonly [day: string, minutes: number])[]): DayPart[] {
  return days.map(([day, count]) => ({ day, durationMs: count * minuteMs }));
}

test('an evening, a lid closed over night and a morning are charged each to its day', (t) => {
  const machine = new Machine(t, '2026-11-21T20:00:00Z');
  machine.tracker.start({ entryId: 'a' });
  machine.play(50);
  machine.clocks.sleep(10 * hourMs);
  machine.play(4);
  machine.clocks.pass(minuteMs);
  const ended = machine.tracker.end({ type: 'user_stop' });
  const expected = minutes(['2026-11-21', 50], ['2026-11-22', 5]);
  assert.deepEqual(ended.charged, expected);
  assert.deepEqual(machine.charged(), expected);
  assert.equal(ended.durationMs, 55 * minuteMs);
});

test('one touch before the lid is closed is enough', (t) => {
  const machine = new Machine(t, '2026-11-21T20:00:00Z');
  machine.tracker.start({ entryId: 'a' });
  machine.clocks.pass(50 * minuteMs);
  machine.tracker.touch();
  machine.clocks.sleep(10 * hourMs);
  machine.clocks.pass(5 * minuteMs);
  const expected = minutes(['2026-11-21', 50], ['2026-11-22', 5]);
  assert.deepEqual(machine.tracker.active?.days, expected);
  assert.deepEqual(machine.tracker.end({ type: 'user_stop' }).charged, expected);
});

test('days on which the machine slept get nothing', (t) => {
  for (const [wakesAfter, lateMs, expected] of [
    [7 * dayMs, 5 * minuteMs, [['2026-11-21', 50], ['2026-11-28', 5]]],
    // Shortly after midnight: what was before it can have been a week ago, and not yesterday for sure.
    [6 * dayMs + 3 * hourMs + 12 * minuteMs, 5 * minuteMs, [['2026-11-21', 53], ['2026-11-28', 2]]],
    [20 * minuteMs, 3 * hourMs, [['2026-11-21', 225], ['2026-11-22', 5]]],
  ] as const) {
    const machine = new Machine(t, '2026-11-21T19:55:00Z');
    machine.tracker.start({ entryId: 'a' });
    machine.play(50);
    machine.clocks.sleep(wakesAfter);
    machine.clocks.pass(lateMs);
    machine.tracker.end({ type: 'user_stop' });
    assert.deepEqual(machine.charged(), minutes(...expected));
  }
});

test('a short sleep across midnight moves nothing but itself', (t) => {
  const machine = new Machine(t, '2026-11-21T23:00:00Z');
  machine.tracker.start({ entryId: 'a' });
  machine.play(50);
  machine.clocks.sleep(20 * minuteMs);
  machine.play(10);
  machine.tracker.end({ type: 'user_stop' });
  assert.deepEqual(machine.charged(), minutes(['2026-11-21', 50], ['2026-11-22', 10]));
});

test('one touch after the machine woke up, then a crash: each day has what was saved of it', (t) => {
  const machine = new Machine(t, '2026-11-21T20:00:00Z');
  machine.tracker.start({ entryId: 'a' });
  machine.play(50);
  machine.clocks.sleep(10 * hourMs);
  machine.play(1);
  machine.clocks.pass(30_000); // lost: nobody wrote it down
  machine.clocks.sleep(3 * dayMs);
  const expected = minutes(['2026-11-21', 50], ['2026-11-22', 1]);
  assert.deepEqual(machine.crash()?.charged, expected);
  assert.equal(machine.crash(), undefined);
  assert.deepEqual(machine.charged(), expected);
});

test('a clock a day ahead that is set back charges the two days that it named', (t) => {
  const machine = new Machine(t, '2026-11-22T10:00:00Z');
  machine.tracker.start({ entryId: 'a' });
  machine.play(20);
  machine.clocks.set('2026-11-21T10:20:00Z');
  machine.play(15);
  assert.deepEqual(machine.crash()?.charged, minutes(['2026-11-22', 20], ['2026-11-21', 15]));
  // Set back to shortly after midnight: nobody has seen the day before.
  machine.tracker.start({ entryId: 'b' });
  machine.clocks.pass(7 * minuteMs);
  machine.clocks.set('2026-11-14T00:00:00Z');
  machine.clocks.pass(3 * minuteMs);
  const { charged } = machine.tracker.end({ type: 'user_stop' });
  assert.deepEqual(charged, minutes(['2026-11-21', 7], ['2026-11-14', 3]));
});

test('a clock that is set over the 23 hours of a day charges that day nothing', () => {
  // Berlin: from two minutes before midnight to a minute after the next but one, on the night that has an hour less.
  const wall = [new Date('2026-03-28T22:58:00Z'), new Date('2026-03-29T22:01:00Z')] as const;
  assert.deepEqual(grownDays([], 2 * minuteMs, wall, 'Europe/Berlin'), [
    { day: '2026-03-28', durationMs: minuteMs }, { day: '2026-03-30', durationMs: minuteMs },
  ]);
});

test('a clock that began in 1970 and learns the time from the network charges no day between', (t) => {
  const machine = new Machine(t, '1970-01-01T00:00:10Z');
  machine.tracker.start({ entryId: 'a' });
  machine.play(10);
  machine.clocks.set('2026-11-21T00:02:00Z');
  machine.clocks.pass(minuteMs);
  machine.tracker.touch();
  machine.play(9);
  machine.tracker.end({ type: 'expired' });
  assert.deepEqual(machine.charged(), minutes(['1970-01-01', 10], ['2026-11-21', 10]));
});

test('at either end of the years a session is started, saved, recovered and ended like any other', (t) => {
  const { TZ } = process.env;
  t.after(() => (TZ === undefined ? delete process.env['TZ'] : (process.env['TZ'] = TZ)));
  for (const [start, timeZone, day] of [
    ['0000-01-01T00:00:00Z', 'UTC', '0000-01-01'],
    ['0000-01-01T00:00:00Z', 'America/New_York', '0000-01-01'],
    ['0000-01-01T05:00:00Z', 'America/New_York', '0000-01-01'],
    ['9999-12-31T22:00:00Z', 'UTC', '9999-12-31'],
    ['9999-12-31T22:00:00Z', 'Asia/Tokyo', '9999-12-31'],
  ] as const) {
    process.env['TZ'] = timeZone; // the store names days as well, by the system's zone
    const machine = new Machine(t, start, timeZone);
    machine.tracker.start({ entryId: 'a' });
    machine.play(10);
    assert.deepEqual(machine.crash()?.charged, minutes([day, 10]), `${start} ${timeZone}`);
    machine.tracker.start({ entryId: 'a' });
    machine.play(2);
    machine.clocks.set('0000-01-01T00:00:01Z');
    machine.play(30);
    assert.equal(totalMs(machine.crash()?.charged), 32 * minuteMs);
    assert.equal(totalMs(machine.charged()), 42 * minuteMs);
  }
});

const foreign: SessionSnapshot = {
  sessionId: 's1', entryId: 'a', startedAt: new Date('2026-11-20T23:30:00Z'), warningsIssued: [],
  elapsedMs: 55 * minuteMs,
};

test('a session that was saved in the year 0 by another program is ended at the first start', (t) => {
  const timestamp = new Date('0000-01-01T00:10:00Z');
  for (const timeZone of ['UTC', 'America/New_York', 'Asia/Tokyo']) {
    const machine = new Machine(t, '2026-11-21T10:00:00Z', timeZone);
    machine.store.saveSnapshot({ timestamp, activeSession: foreign });
    assert.equal(totalMs(machine.crash()?.charged), 55 * minuteMs);
    const startedAt = new Date('0000-01-01T00:00:00Z');
    machine.store.saveSnapshot({ timestamp, activeSession: { ...foreign, sessionId: 's2', startedAt } });
    assert.equal(totalMs(machine.crash()?.charged), 55 * minuteMs);
    assert.equal(machine.crash(), undefined);
  }
});

test('a session saved without its days, or with fewer or more than its time, is charged exactly its time', (t) => {
  const huge = { day: '2026-11-19', durationMs: Number.MAX_SAFE_INTEGER };
  for (const days of [undefined, [], minutes(['2026-11-19', 20]), minutes(['2026-11-19', 56]), [huge, huge]]) {
    const machine = new Machine(t, '2026-11-21T10:00:00Z');
    const activeSession = { ...foreign, ...(days ? { days } : undefined) };
    machine.store.saveSnapshot({ timestamp: new Date('2026-11-21T00:30:00Z'), activeSession });
    const charged = machine.crash()?.charged ?? [];
    assert.equal(totalMs(charged), 55 * minuteMs);
    assert.deepEqual(charged.at(-1), { day: '2026-11-21', durationMs: 30 * minuteMs });
  }
});

test('days of a snapshot that are none are refused before anything is written', (t) => {
  const { store } = new Machine(t, '2026-11-21T10:00:00Z');
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  const save = (days: unknown): void => {
    store.saveSnapshot({ timestamp: new Date(), activeSession: { ...foreign, days: days as DayPart[] } });
  };
  for (const [name, bad] of badDays) assert.throws(() => save([{ day: bad, durationMs: 1 }]), refused, name);
  const day = '2026-11-21';
  for (const [name, durationMs] of badDurations) assert.throws(() => save([{ day, durationMs }]), refused, name);
  for (const [name, part] of badOptions) assert.throws(() => save([part]), refused, name);
  for (const days of [null, {}, 'days', [undefined], [{ day }]]) assert.throws(() => save(days), refused);
  assert.equal(store.loadSnapshot(), undefined);
});

/** A session with all that a test knows of it: what was saved, and the days that the clock has named since. */
class Watched {
  readonly #machine: Machine;
  readonly #timeZone: string;
  readonly #context: string;
  readonly #startedMs: number;
  #named = new Set<string>();
  saved: readonly DayPart[] = [];
  savedMs = 0;

  constructor(machine: Machine, timeZone: string, context: string) {
    this.#machine = machine;
    this.#timeZone = timeZone;
    this.#context = context;
    this.#startedMs = machine.clocks.elapsed;
    machine.tracker.start({ entryId: 'a' });
    this.look();
  }

  get elapsedMs(): number {
    return this.#machine.clocks.elapsed - this.#startedMs;
  }

  look(): void {
    this.#named.add(localDay(new Date(this.#machine.clocks.wall), this.#timeZone));
  }

  pass(ms: number): void {
    const { clocks } = this.#machine;
    const span = splitByDay(new Date(clocks.wall), new Date(clocks.wall + ms), this.#timeZone);
    for (const { day } of span) this.#named.add(day);
    clocks.pass(ms);
    this.look();
  }

  /** What was saved is in `days` still, and what has been added is on days that the clock has named since. */
  check(days: readonly DayPart[] = [], elapsedMs: number): void {
    assert.equal(totalMs(days), elapsedMs, this.#context);
    for (const { day } of this.saved) assert.ok(days.some((part) => part.day === day), this.#context);
    for (const { day, durationMs } of days) {
      const before = this.saved.find((part) => part.day === day)?.durationMs ?? 0;
      assert.ok(durationMs >= before, `${this.#context}: ${day} lost time that had been saved`);
      const isNamed = durationMs === before || this.#named.has(day);
      assert.ok(isNamed, `${this.#context}: the clock named ${[...this.#named].join(', ')}, and not ${day}`);
    }
  }

  touch(): void {
    this.#machine.tracker.touch();
    const { days } = this.#machine.store.loadSnapshot()?.activeSession ?? {};
    this.check(days, this.elapsedMs);
    this.saved = days ?? [];
    this.savedMs = this.elapsedMs;
    this.#named = new Set();
    this.look();
  }
}

const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Pacific/Apia', 'Australia/Lord_Howe', 'Asia/Kathmandu'];
const times = [
  '0001-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '2011-12-29T12:00:00Z', '2026-03-28T23:00:00Z',
  '2026-10-24T23:00:00Z', '2026-11-21T23:30:00Z', '2036-02-29T00:00:00Z',
];
// What may happen between two saves. A clock that is set forward by days and back again within hours may hide a day
// that it passed over: nobody can tell that from a clock that just went on, so such a time is shorter here.
const intervals = [
  { moves: ['sleep', 'set', 'sleep', 'set'], longestMs: hourMs / 2 },
  { moves: ['sleep', 'sleep'], longestMs: 30 * hourMs },
  { moves: ['set'], longestMs: 30 * hourMs },
  { moves: [], longestMs: 60 * hourMs },
];

test('whatever sleeps, crashes or sets the clock: a millisecond is charged once, on a day that was named then', (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  const move = (clocks: Clocks, what: string): void => {
    const aroundNow = clocks.wall + between(-3 * dayMs, 3 * dayMs);
    if (what === 'sleep') clocks.sleep(between(0, pick([hourMs, dayMs, 9 * dayMs])));
    else clocks.wall = Math.max(Date.parse('0000-01-03T00:00:00Z'), pick([aroundNow, Date.parse(pick(times))]));
  };
  for (let round = 0; round < 40; round++) {
    const timeZone = pick(zones);
    const machine = new Machine(t, pick(times), timeZone);
    machine.clocks.wall += between(-dayMs, dayMs);
    const totals = new Map<string, number>();
    for (let session = 0; session < 3; session++) {
      const context = `seed ${seed}, round ${round}, session ${session} in ${timeZone}`;
      const watched = new Watched(machine, timeZone, context);
      for (let save = between(0, 6); save > 0; save--) {
        const { moves, longestMs } = pick(intervals);
        for (const what of moves.slice(between(0, moves.length))) {
          watched.pass(between(0, longestMs));
          move(machine.clocks, what);
          watched.look();
        }
        watched.pass(between(0, longestMs));
        const { active } = machine.tracker;
        watched.check(active?.days, watched.elapsedMs);
        watched.touch();
      }
      watched.pass(between(0, hourMs));
      const isCrash = between(0, 1) === 1;
      const durationMs = isCrash ? watched.savedMs : watched.elapsedMs;
      const ended = isCrash ? machine.crash() : machine.tracker.end({ type: 'user_stop' });
      const { tracker } = machine;
      assert.deepEqual([ended?.durationMs, ended?.uncharged, tracker.recover()], [durationMs, [], undefined], context);
      watched.check(ended?.charged, durationMs);
      for (const part of ended?.charged ?? []) totals.set(part.day, (totals.get(part.day) ?? 0) + part.durationMs);
      assert.deepEqual(new Map(machine.charged().map((part) => [part.day, part.durationMs])), totals, context);
    }
  }
});
