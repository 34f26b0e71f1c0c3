// What the events of a log add up to, compared with the tables: usage and cooldowns while the store has a ledger,
// limits in every store.
import type { LimitEvent } from '../core/events.ts';
import { decodeLimit, isLimitType } from '../core/limit-events.ts';
import type { ModuleConnection } from '../core/door.ts';
import { parseInstant } from '../values/checks.ts';
import { decodeCarriedBalances, decodeCarriedLimits, decodeForgottenDay } from './carried.ts';
import { decodeBalance } from './replay.ts';

/** A value of a row of the log. */
export type Value = string | Uint8Array | null;

/**
 * An entry whose usage of a day (in milliseconds) or whose cooldown (ISO 8601), or a subject whose override of a day or
 * whose balance is not what the events add up to. `of` is absent for usage, and for the end of a cooldown.
 */
export interface StateDifference {
  entryId: string;
  day?: string;
  of?: 'setAt' | 'grantedMs' | 'availability' | 'balanceMs';
  expected: number | string | undefined;
  stored: number | string | undefined;
}

interface CooldownInstants {
  until: string;
  setAt: string | null;
}

type Difference = StateDifference['expected'];

/** Whether two texts name one instant, or both are absent. */
function isSameInstant(a: string | null | undefined, b: string | null | undefined): boolean {
  return a === b || (parseInstant(a) !== undefined && parseInstant(a)?.getTime() === parseInstant(b)?.getTime());
}

export class EventSums {
  readonly #usage = new Map<string, number>();
  readonly #cooldowns = new Map<string, CooldownInstants>();
  readonly #granted = new Map<string, Difference>();
  readonly #availability = new Map<string, Difference>();
  readonly #balances = new Map<string, Difference>();
  /** Whether a ledger is attached: only then do the events account for usage and cooldowns. */
  #isAccounted = false;

  /** Adds an event of the log, in order. Gives false for one with values that no method would have written. */
  add(id: number, type: Value, data: Value, timestamp: Value): boolean {
    if (type === 'ledger_attached') {
      this.#isAccounted = true;
      this.#usage.clear();
      this.#cooldowns.clear();
    } else if (type === 'ledger_detached') this.#isAccounted = false;
    else if (type === 'store_adopted') for (const each of this.#limits) each.clear();
    else if (isLimitType(type)) this.#addLimit(decodeLimit(id, type, data));
    else if (isRetentionType(type)) this.#carry(id, type, data);
    return !this.#isAccounted || this.#addBalance(id, type, data, timestamp);
  }

  get #limits(): Map<string, Difference>[] {
    return [this.#granted, this.#availability, this.#balances];
  }

  /** Takes over what a log that was shortened carries on, and drops what was forgotten. */
  #carry(id: number, type: Value, data: Value): void {
    const balances = decodeCarriedBalances(id, type, data);
    if (balances) this.#isAccounted = true;
    for (const [entryId, day, durationMs] of balances?.usage ?? []) this.#usage.set(keyOf(entryId, day), durationMs);
    for (const [entryId, until, setAt] of balances?.cooldowns ?? []) this.#cooldowns.set(entryId, { until, setAt });
    const limits = decodeCarriedLimits(id, type, data);
    for (const { subject, day, grantedMs, availability } of limits?.overrides ?? []) {
      this.#granted.set(keyOf(subject, day), grantedMs);
      this.#availability.set(keyOf(subject, day), availability);
    }
    for (const { subject, balanceMs } of limits?.balances ?? []) this.#balances.set(keyOf(subject), balanceMs);
    const before = type === 'usage_forgotten' ? decodeForgottenDay(id, data) : undefined;
    for (const key of before === undefined ? [] : this.#usage.keys()) {
      const [, day] = JSON.parse(key) as [string, string];
      if (day < before!) this.#usage.delete(key);
    }
  }

  #addLimit(event: LimitEvent | undefined): void {
    if (event?.type === 'time_granted') this.#granted.set(keyOf(event.subject, event.day), event.grantedMs);
    else if (event?.type === 'availability_set') {
      this.#availability.set(keyOf(event.subject, event.day), event.availability ?? undefined);
    } else if (event?.type === 'balance_adjusted') this.#balances.set(keyOf(event.subject), event.balanceMs);
    else if (event && this.#isAccounted) this.#addUsage(event);
  }

  #addUsage({ entryId, day, durationMs }: { entryId: string; day: string; durationMs: number }): void {
    const key = keyOf(entryId, day);
    this.#usage.set(key, (this.#usage.get(key) ?? 0) + durationMs);
  }

  #addBalance(id: number, type: Value, data: Value, timestamp: Value): boolean {
    try {
      const event = decodeBalance(id, type, data, timestamp);
      if (event?.type === 'usage_added') this.#addUsage(event);
      else if (event?.type === 'cooldown_set') this.#cooldowns.set(event.entryId, event);
      else if (event) this.#cooldowns.delete(event.entryId);
      return true;
    } catch {
      return false;
    }
  }

  /** Where the tables have something else. */
  *differences(connection: ModuleConnection): Generator<StateDifference, void, undefined> {
    type OverrideRow = [subject: string, day: string, grantedMs: number, availability: string | null];
    const overrides = connection.all<OverrideRow>('SELECT subject, day, granted_ms, availability FROM overrides');
    const granted = overrides.map(([subject, day, ms]) => [keyOf(subject, day), ms] as const);
    const available = overrides.map(([subject, day, , word]) => [keyOf(subject, day), word ?? undefined] as const);
    const balances = connection.all<[string, number]>('SELECT subject, balance_ms FROM balances');
    yield* between(this.#granted, new Map(granted), 'grantedMs');
    yield* between(this.#availability, new Map(available), 'availability');
    yield* between(this.#balances, new Map(balances.map(([subject, ms]) => [keyOf(subject), ms])), 'balanceMs');
    if (!this.#isAccounted) return;
    type UsageRow = [entryId: string, day: string, secs: unknown, carry: unknown];
    const totals = connection.all<UsageRow>('SELECT entry_id, day, duration_secs, carry_ms FROM usage');
    const usage = new Map<string, number>();
    for (const [entryId, day, secs, carry] of totals) {
      usage.set(keyOf(entryId, day), Number(secs) * 1000 + Number(carry));
    }
    yield* between(this.#usage, usage);
    yield* this.#cooldownDifferences(connection);
  }

  *#cooldownDifferences(connection: ModuleConnection): Generator<StateDifference, void, undefined> {
    const rows = connection.all<[string, string, string | null]>('SELECT entry_id, until, set_at FROM cooldowns');
    const cooldowns = new Map(rows.map(([entryId, until, setAt]) => [entryId, { until, setAt }]));
    for (const entryId of new Set([...cooldowns.keys(), ...this.#cooldowns.keys()])) {
      const [expected, stored] = [this.#cooldowns.get(entryId), cooldowns.get(entryId)];
      if (!isSameInstant(expected?.until, stored?.until)) {
        yield { entryId, expected: expected?.until, stored: stored?.until };
      }
      // Before schema version 5 the table did not hold when a cooldown was set.
      if (!expected || !stored || stored.setAt === null || isSameInstant(expected.setAt, stored.setAt)) continue;
      yield { entryId, of: 'setAt', expected: expected.setAt ?? undefined, stored: stored.setAt };
    }
  }
}

function isRetentionType(type: Value): boolean {
  return type === 'balances_carried' || type === 'limits_carried' || type === 'usage_forgotten';
}

function keyOf(...names: string[]): string {
  return JSON.stringify(names);
}

/** The values that differ; one that is absent is as good as none: 0, or neither of the two words. */
function* between(
  expected: Map<string, Difference>, stored: Map<string, Difference>, of?: StateDifference['of'],
): Generator<StateDifference, void, undefined> {
  for (const key of new Set([...stored.keys(), ...expected.keys()])) {
    const [a, b] = [expected.get(key), stored.get(key)];
    if ((a ?? 0) === (b ?? 0)) continue;
    const [entryId, day] = JSON.parse(key) as [string, string?];
    const named = { ...(day === undefined ? undefined : { day }), ...(of ? { of } : undefined) };
    yield { entryId, ...named, expected: a, stored: b };
  }
}
