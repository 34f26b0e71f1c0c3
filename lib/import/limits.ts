// Takes the limits beyond the rules that a service keeps: overrides of a day, and balances. The store changes its own
// as well, so only the difference to what an import took last is taken.
import type { Availability } from '../core/events.ts';
import type { SqliteStore } from '../store.ts';
import { refused } from './tables.ts';

/** What a source has for a subject on a day; `availability` is null where it has none. */
export interface SourceOverride {
  subject: string;
  day: string;
  grantedMs: number;
  availability: Availability | null;
}

/** What is recorded of an override that was taken. */
export type TakenOverride = [subject: string, day: string, grantedMs: number, availability: Availability | null];
/** What is recorded of a balance that was taken. */
export type TakenBalance = [subject: string, balanceMs: number];

/** Whether a row changed anything here, and what is to be recorded of it for the next import. */
interface Outcome<Taken> {
  isTaken: boolean;
  record?: Taken;
}

const source = 'import';

/** Writes limits by the store's own operations, inside its transaction, so that each change is an event. */
export class LimitWriter {
  readonly #store: SqliteStore;
  /** What earlier imports took. */
  readonly #overrides = new Map<string, TakenOverride>();
  readonly #balances = new Map<string, number>();
  /** The keys of all rows of this import: nothing in a file keeps two rows from having the same key. */
  readonly #keys = new Set<string>();

  constructor(store: SqliteStore) {
    this.#store = store;
  }

  /** Notes what an earlier import took. */
  remember(overrides: readonly TakenOverride[], balances: readonly TakenBalance[]): void {
    for (const taken of overrides) this.#overrides.set(keyOf(taken[0], taken[1]), taken);
    for (const [subject, balanceMs] of balances) this.#balances.set(subject, balanceMs);
  }

  /**
   * Grants what the source has granted since the last import, or takes it away again, and sets the availability as the
   * source has, unless it was set here since. Throws `ERR_STORE_INVALID_ARGUMENT` where the store has another
   * availability of its own, `ERR_STORE_CORRUPT` where it cannot be read.
   */
  takeOverride({ subject, day, grantedMs, availability }: SourceOverride): Outcome<TakenOverride> {
    const key = keyOf(subject, day);
    this.#once(key);
    const earlier = this.#overrides.get(key);
    const [, , grantedBefore, availabilityBefore] = earlier ?? [subject, day, 0, null];
    const own = this.#store.getOverride(subject, day).availability ?? null;
    const hasChanged = availability !== availabilityBefore;
    const wasSetHere = own !== availabilityBefore && own !== availability;
    if (hasChanged && wasSetHere && !earlier) throw refused('the store has another availability');
    const durationMs = grantedMs - grantedBefore;
    if (durationMs !== 0) this.#store.grantTime({ subject, day, durationMs, source });
    const isSet = hasChanged && own === availabilityBefore;
    if (isSet) this.#store.setAvailability({ subject, day, availability: availability ?? undefined, source });
    if (durationMs === 0 && (!hasChanged || wasSetHere)) return { isTaken: false };
    const record: TakenOverride = [subject, day, grantedMs, wasSetHere ? availabilityBefore : availability];
    return { isTaken: durationMs !== 0 || isSet, record };
  }

  /** Adds to a balance what the source's has grown by since the last import, or takes off it what it has lost. */
  takeBalance(subject: string, balanceMs: number): Outcome<TakenBalance> {
    this.#once(keyOf(subject));
    const durationMs = balanceMs - (this.#balances.get(subject) ?? 0);
    if (durationMs === 0) return { isTaken: false };
    this.#store.adjustBalance({ subject, durationMs, source });
    return { isTaken: true, record: [subject, balanceMs] };
  }

  /** Refuses a second row with a key, because what it says contradicts the first, at each import anew. */
  #once(key: string): void {
    if (this.#keys.has(key)) throw refused('another row is about the same');
    this.#keys.add(key);
  }
}

function keyOf(...values: string[]): string {
  return JSON.stringify(values);
}
