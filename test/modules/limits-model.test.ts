// Random policies and histories, each looked at by the module and by a model that goes through every minute of two
// weeks: the verdicts must be the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionFields } from '../../lib/core/state.ts';
import { SqliteStore } from '../../lib/index.ts';
import {
  type EntryRules, evaluate, evaluateAll, type GroupRules, type LimitPolicy, type LimitWindow, type Verdict,
} from '../../lib/modules/limits/limits.ts';
import { runSql, type Statement } from '../support/limits.ts';
import { type History, LimitsModel, Minutes, type ModelVerdict } from '../support/minutes-model.ts';
import { seededRandom } from '../support/random.ts';

const minuteMs = 60_000;
const weekMinutes = 7 * 24 * 60;

/** Five weeks, in whose third the clocks are changed, by an hour or by half of one. */
const periods: [timeZone: string, start: string][] = [
  ['Europe/Berlin', '2026-03-14T23:00:00Z'], ['Europe/Berlin', '2026-10-10T22:00:00Z'],
  ['Australia/Lord_Howe', '2026-03-21T13:00:00Z'], ['Australia/Lord_Howe', '2026-09-19T13:30:00Z'],
  ['America/New_York', '2026-02-22T05:00:00Z'], ['America/New_York', '2026-10-18T04:00:00Z'],
];

/** Random values of the kinds that a case is made of. */
class Chance {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  from(first: number, end: number): number {
    return first + this.below(end - first);
  }

  is(probability: number): boolean {
    return this.#random() < probability;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  some<T>(items: readonly T[], probability: number): T[] {
    return items.filter(() => this.is(probability));
  }

  /** A time of the day; often one of the hours in which clocks are changed, or a midnight. */
  time(isEnd: boolean): string {
    if (isEnd && this.is(0.15)) return '24:00';
    const minute = this.is(0.4) ? this.below(4 * 60) : this.is(0.2) ? 0 : this.below(24 * 60);
    return [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, '0')).join(':');
  }
}

function randomWindow(chance: Chance): LimitWindow {
  const [from, to] = [chance.time(false), chance.time(true)];
  if (from === to) return randomWindow(chance);
  const days = chance.some([1, 2, 3, 4, 5, 6, 7], 0.5);
  return days.length === 0 || chance.is(0.5) ? { from, to } : { days, from, to };
}

function randomRules(chance: Chance): GroupRules {
  const quota = (most: number): number => (chance.is(0.1) ? 0 : chance.below(most)) * minuteMs;
  return {
    ...(chance.is(0.5) && { windows: Array.from({ length: chance.below(4) }, () => randomWindow(chance)) }),
    ...(chance.is(0.5) && { dailyMs: quota(180) }),
    ...(chance.is(0.4) && { weeklyMs: quota(600) }),
  };
}

function randomPolicy(chance: Chance): LimitPolicy {
  const names = ['games', 'all', '__proto__'].slice(0, chance.below(4));
  const ids = ['a', 'b', 'constructor', 'd'].slice(0, chance.from(1, 5));
  const entries = ids.map((id): [string, EntryRules] => [id, {
    ...randomRules(chance),
    ...(chance.is(0.7) && { groups: chance.some(names, 0.6) }),
    ...(chance.is(0.3) && { usesBalance: chance.of([true, true, false, 'group:games', 'a', 'tokens']) }),
  }]);
  const groups = names.map((name): [string, GroupRules] => [name, randomRules(chance)]);
  return {
    entries: Object.fromEntries(entries),
    ...((names.length > 0 || chance.is(0.5)) && { groups: Object.fromEntries(groups) }),
    ...(chance.is(0.5) && { weekStartsOn: chance.from(1, 8) }),
  };
}

const everyEntry = ['a', 'b', 'constructor', 'd', 'unknown'];
const everySubject = [...everyEntry, 'group:games', 'group:all', 'group:__proto__'];

function randomHistory(chance: Chance, { dayAt }: Minutes, at: number, now: number): History {
  const today = dayAt[at]!;
  const days = [today - 6, today - 5, today - 4, today - 3, today - 2, today - 1, today, today + 1, today + 8];
  const near = (ofDays: number): number => (chance.is(0.4) ? today : today + chance.below(ofDays));
  const usage = everyEntry.flatMap((entryId) => chance.some(days, 0.3).map((day) => {
    return { entryId, day, minutes: chance.below(chance.is(0.2) ? 300 : 90) };
  }));
  const overrides = new Map(Array.from({ length: chance.below(7) }, () => {
    const [subject, day] = [chance.of(everySubject), near(chance.of([3, 15]))];
    const granted = chance.is(0.4) ? 0 : chance.from(-90, 120);
    const availability = chance.of(['allowed', 'denied', undefined] as const);
    return [`${subject} ${day}`, { subject, day, granted, ...(availability && { availability }) }] as const;
  }));
  const cooldowns = chance.some(everySubject, 0.12).map((subject) => {
    const until = at + chance.from(-60, chance.is(0.2) ? 30_000 : 300);
    if (chance.is(0.2)) return { subject, until };
    const setAt = chance.is(0.5) ? now - chance.below(600) : now + chance.below(2_000);
    return { subject, until, setAt, ...(chance.is(0.4) && { behindAt: now + chance.from(-60, 30) }) };
  });
  const balances = chance.some([...everySubject, 'tokens'], 0.5).map((subject) => {
    return { subject, minutes: chance.is(0.3) ? 0 : chance.below(200) };
  });
  const session = chance.is(0.4) && { session: randomSession(chance, at, today) };
  return { usage, overrides: [...overrides.values()], cooldowns, balances, ...session };
}

// Until it is a field of a session, what it spends follows from the policy alone.
const hasBalance = (sessionFields as readonly string[]).includes('balance');

function randomSession(chance: Chance, at: number, today: number): NonNullable<History['session']> {
  const savedAt = at + (chance.is(0.2) ? chance.below(90) : -chance.below(chance.is(0.1) ? 2_000 : 30));
  const startedAt = savedAt - chance.below(chance.is(0.1) ? 2_000 : 90);
  const parts = [today - 1, today].map((day) => ({ day, minutes: chance.below(60) }));
  const balance = hasBalance && chance.is(0.3) && { balance: chance.of(['a', 'tokens', 'group:games']) };
  return { entryId: chance.of(everyEntry), startedAt, savedAt, ...(chance.is(0.5) && { parts }), ...balance };
}

/** Puts a history into a store, in the place of the one before. */
function write(store: SqliteStore, history: History, minutes: Minutes, number: number): void {
  const { usage, overrides, cooldowns, balances, session } = history;
  const text = (minute: number | undefined): string | null => {
    return minute === undefined ? null : new Date(minutes.msOf(minute)).toISOString();
  };
  const rows: Statement[] = [
    ...['usage', 'overrides', 'cooldowns', 'balances'].map((table): Statement => [`DELETE FROM ${table}`]),
    ...usage.map(({ entryId, day, minutes: count }): Statement => {
      return ['INSERT INTO usage VALUES (?, ?, ?, 0)', entryId, minutes.days[day]!, count * 60];
    }),
    ...overrides.map(({ subject, day, granted, availability }): Statement => {
      const values = [subject, minutes.days[day]!, granted * minuteMs, availability ?? null] as const;
      return ['INSERT INTO overrides VALUES (?, ?, ?, ?)', ...values];
    }),
    ...cooldowns.map(({ subject, until, setAt, behindAt }): Statement => {
      const values = [subject, text(until), text(setAt), text(behindAt)] as const;
      return ['INSERT INTO cooldowns VALUES (?, ?, ?, ?)', ...values];
    }),
    ...balances.map(({ subject, minutes: count }): Statement => {
      return ['INSERT INTO balances VALUES (?, ?)', subject, count * minuteMs];
    }),
  ];
  runSql(store, ...rows);
  if (!session) return store.saveSnapshot({ timestamp: new Date() });
  const { entryId, startedAt, savedAt, parts, ...balance } = session;
  const days = parts?.map(({ day, minutes: count }) => ({ day: minutes.days[day]!, durationMs: count * minuteMs }));
  store.saveSnapshot({
    timestamp: new Date(minutes.msOf(savedAt)),
    activeSession: {
      sessionId: `session-${number}`, entryId, startedAt: new Date(minutes.msOf(startedAt)), warningsIssued: [],
      ...(days && { days, elapsedMs: days.reduce((sum, { durationMs }) => sum + durationMs, 0) }), ...balance,
    },
  });
}

/** A verdict as the model gives it. */
function inMinutes(verdict: Verdict, minutes: Minutes): ModelVerdict {
  const { allowed, reasons, remainingMs, deadline, changesAt } = verdict;
  assert.equal(allowed, reasons.length === 0);
  assert.equal(deadline === undefined, remainingMs === undefined);
  return {
    reasons: reasons.map(({ code, subject }) => ({ code, subject })),
    ...(remainingMs !== undefined && { remaining: remainingMs / minuteMs }),
    ...(changesAt && { changesAt: minutes.minuteOf(changesAt.getTime()) }),
  };
}

const seed = Number(process.env['SHEPHERD_LIMITS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const count = Number(process.env['SHEPHERD_LIMITS_CASES'] ?? 10_000);

test('random policies and histories get the verdicts of a model that goes minute by minute', (t) => {
  t.diagnostic(`SHEPHERD_LIMITS_SEED=${seed} SHEPHERD_LIMITS_CASES=${count}`);
  const chance = new Chance(seededRandom(seed));
  const weeks = periods.map(([timeZone, start]) => new Minutes(timeZone, start, 5 * weekMinutes));
  for (const { days, firsts, timeZone } of weeks) {
    const changed = days.filter((_, day) => firsts[day + 1]! - firsts[day]! !== 24 * 60 && day < days.length - 1);
    assert.equal(changed.length, 1, `${timeZone} ${changed}`);
  }
  let clock = 0;
  using store = SqliteStore.inMemory({ clock: () => new Date(clock) });
  const seen: Record<string, number> = {};
  for (let number = 0; number < count; number++) {
    const minutes = chance.of(weeks);
    const at = chance.from(minutes.firsts[10]!, minutes.firsts[17]!);
    const now = chance.is(0.8) ? at : at + chance.from(-2_000, 2_000);
    clock = minutes.msOf(now);
    const [policy, history] = [randomPolicy(chance), randomHistory(chance, minutes, at, now)];
    write(store, history, minutes, number);
    const options = { timeZone: minutes.timeZone, ...(at !== now && { at: new Date(minutes.msOf(at)) }) };
    const asked = [...Object.keys(policy.entries), ...(chance.is(0.1) ? ['unknown', 'group:games'] : [])];
    const model = new LimitsModel(policy, history, minutes, at, now);
    const context = `case ${number} of seed ${seed}: ${JSON.stringify({ policy, history, at, now, ...options })}`;
    const verdicts = evaluateAll(store, policy, asked, options);
    for (const { entryId, ...verdict } of verdicts) {
      const found = inMinutes(verdict, minutes);
      for (const { code } of found.reasons) seen[code] = (seen[code] ?? 0) + 1;
      for (const name of ['remaining', 'changesAt'] as const) if (name in found) seen[name] = (seen[name] ?? 0) + 1;
      assert.deepEqual(found, model.verdict(entryId), `${entryId} in ${context}`);
    }
    if (number % 20 !== 0) continue;
    for (const { entryId, ...verdict } of verdicts) {
      assert.deepEqual(evaluate(store, policy, entryId, options), verdict);
      for (const { code, subject, until } of verdict.reasons) {
        if (code !== 'outside_window' && code !== 'daily_quota') continue;
        const minute = until && minutes.minuteOf(until.getTime());
        assert.equal(minute, model.until(entryId, code, subject), `${code} of ${subject} in ${context}`);
      }
    }
  }
  t.diagnostic(JSON.stringify(seen));
});
