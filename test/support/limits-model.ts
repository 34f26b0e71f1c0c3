// Changes of limits by their methods, and what a store must have after them: for plans (crash-worker.ts) and for random
// programs.
import { type Availability, type EventBase, SqliteStore, StoreError } from '../../lib/index.ts';

/** One call of a method of limits, with its options. */
export type LimitCall =
  | { method: 'grantTime'; options: { subject: string; day: string; durationMs: number; id?: string } }
  | { method: 'setAvailability'; options: { subject: string; day: string; availability: Availability | undefined } }
  | { method: 'adjustBalance'; options: { subject: string; durationMs: number; capMs?: number; id?: string } }
  | {
      method: 'correctUsage';
      options: { entryId: string; day: string; durationMs: number; id?: string; reason: string };
    };

type AnyStore = Pick<SqliteStore, LimitCall['method']>;

/** What a call gives: its result, or the code of its refusal. */
export type Given = Record<string, unknown> | string | undefined;

/** Makes a call; one that is refused for its values gives the code. */
export function callLimit(store: AnyStore, { method, options }: LimitCall): Given {
  try {
    return (store[method] as (options: unknown) => Given)(options);
  } catch (error) {
    const { code } = error as StoreError;
    if (code !== 'ERR_STORE_CONFLICT' && code !== 'ERR_STORE_INVALID_ARGUMENT') throw error;
    return code;
  }
}

/** The totals of usage, which corrections change. */
export interface Totals {
  get(entryId: string, day: string): number;
  set(entryId: string, day: string, totalMs: number): void;
}

interface KnownOverride {
  subject: string;
  day: string;
  grantedMs: number;
  availability?: Availability;
}

/** What a call must give, and the event that it must leave. */
interface Effect {
  given: Given;
  event?: EventBase & Record<string, unknown>;
}

const maxMs = Number.MAX_SAFE_INTEGER;

/** The limits that a store must have. */
export class LimitModel {
  #overrides = new Map<string, KnownOverride>();
  #balances = new Map<string, number>();
  /** By kind and id: what was asked for, and how much of it was applied. */
  #told = new Map<string, { asked: string; appliedMs: number }>();

  /** For a transaction that is undone. */
  copy(): () => void {
    const overrides = new Map([...this.#overrides].map(([key, value]) => [key, { ...value }]));
    const [balances, told] = [new Map(this.#balances), new Map(this.#told)];
    return () => {
      this.#overrides = overrides;
      this.#balances = balances;
      this.#told = told;
    };
  }

  apply(call: LimitCall, totals: Totals): Effect {
    switch (call.method) {
      case 'grantTime':
        return this.#grant(call.options);
      case 'setAvailability': {
        const { subject, day, availability } = call.options;
        const override = this.#override(subject, day);
        delete override.availability;
        if (availability) override.availability = availability;
        const event = { type: 'availability_set', subject, day, availability: availability ?? null };
        return { given: undefined, event };
      }
      case 'adjustBalance':
        return this.#adjust(call.options);
      case 'correctUsage':
        return this.#correct(call.options, totals);
    }
  }

  #grant({ id, ...asked }: (LimitCall & { method: 'grantTime' })['options']): Effect {
    const { subject, day, durationMs } = asked;
    const before = this.#overrides.get(JSON.stringify([subject, day]))?.grantedMs ?? 0;
    const known = this.#repeated('time_granted', id, asked);
    if (known) return { given: known === 'other' ? 'ERR_STORE_CONFLICT' : { applied: false, grantedMs: before } };
    const grantedMs = before + durationMs;
    if (!Number.isSafeInteger(grantedMs)) return { given: 'ERR_STORE_INVALID_ARGUMENT' };
    this.#override(subject, day).grantedMs = grantedMs;
    this.#tell('time_granted', id, asked);
    return { given: { applied: true, grantedMs }, event: { type: 'time_granted', ...asked, grantedMs } };
  }

  #adjust({ id, ...asked }: (LimitCall & { method: 'adjustBalance' })['options']): Effect {
    const { subject, durationMs, capMs = maxMs } = asked;
    const before = this.#balances.get(subject) ?? 0;
    const known = this.#repeated('balance_adjusted', id, asked);
    if (known === 'other') return { given: 'ERR_STORE_CONFLICT' };
    if (known) return { given: { applied: false, appliedMs: known.appliedMs, balanceMs: before } };
    const most = Math.max(before, Math.min(before + durationMs, capMs)); // none is taken away by a cap
    const balanceMs = durationMs < 0 ? Math.max(0, before + durationMs) : most;
    const appliedMs = balanceMs - before;
    this.#balances.set(subject, balanceMs);
    this.#tell('balance_adjusted', id, asked, appliedMs);
    const event = { type: 'balance_adjusted', ...asked, appliedMs, balanceMs };
    return { given: { applied: true, appliedMs, balanceMs }, event };
  }

  #correct({ id, reason, ...asked }: (LimitCall & { method: 'correctUsage' })['options'], totals: Totals): Effect {
    const { entryId, day, durationMs } = asked;
    const before = totals.get(entryId, day);
    const known = this.#repeated('usage_corrected', id, asked);
    if (known) return { given: known === 'other' ? 'ERR_STORE_CONFLICT' : { applied: false, totalMs: before } };
    const totalMs = before + durationMs;
    if (totalMs < 0 || totalMs > maxMs) return { given: 'ERR_STORE_INVALID_ARGUMENT' };
    totals.set(entryId, day, totalMs);
    this.#tell('usage_corrected', id, asked);
    return { given: { applied: true, totalMs }, event: { type: 'usage_corrected', ...asked, totalMs, reason } };
  }

  #override(subject: string, day: string): KnownOverride {
    const key = JSON.stringify([subject, day]);
    const override = this.#overrides.get(key) ?? { subject, day, grantedMs: 0 };
    this.#overrides.set(key, override);
    return override;
  }

  #repeated(type: string, id: string | undefined, asked: object): 'other' | { appliedMs: number } | undefined {
    const known = id === undefined ? undefined : this.#told.get(`${type}:${id}`);
    return known && known.asked !== JSON.stringify(asked) ? 'other' : known;
  }

  /** Forgets an id, given as the type of its event, a colon and itself: the database has that event no more. */
  forget(key: string): void {
    this.#told.delete(key);
  }

  #tell(type: string, id: string | undefined, asked: object, appliedMs = 0): void {
    if (id !== undefined) this.#told.set(`${type}:${id}`, { asked: JSON.stringify(asked), appliedMs });
  }

  /** As `listOverrides` gives them. */
  overrides(): KnownOverride[] {
    const all = [...this.#overrides.values()].filter(({ grantedMs, availability }) => grantedMs !== 0 || availability);
    return all.map((each) => ({ ...each })).sort((a, b) => byBytes(a.day, b.day) || byBytes(a.subject, b.subject));
  }

  /** As `listBalances` gives them. */
  balances(): { subject: string; balanceMs: number }[] {
    return [...this.#balances].map(([subject, balanceMs]) => ({ subject, balanceMs }))
      .sort((a, b) => byBytes(a.subject, b.subject));
  }
}

/** The order of SQLite's texts: that of their bytes. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
