// Takes the settings of a service, for which this store has no table: each becomes a fact.
import { hash } from 'node:crypto';
import { FactStore } from '../modules/facts/facts.ts';
import type { SqliteStore } from '../store.ts';
import { checkText } from '../values/checks.ts';
import type { JsonValue } from '../values/json.ts';
import { refused } from './tables.ts';

const targetId = 'settings';
// Every version of the service has this namespace, so that a later import goes on although the service was renamed.
const namespace = 'lunchbox';

/** What is recorded of a setting that was taken: its key, and only a hash of its value, which may be a secret. */
export type TakenSetting = [key: string, valueHash: string];

/** Writes settings as facts, inside the store's transaction. */
export class SettingWriter {
  readonly #facts: FactStore;
  /** The hash of each setting's value when an earlier import took it last. */
  readonly #taken: Map<string, string>;
  /** The keys of all settings of this import: nothing in a file keeps two rows from having the same key. */
  readonly #keys = new Set<string>();

  constructor(store: SqliteStore, taken: Iterable<TakenSetting>) {
    this.#facts = new FactStore(store);
    this.#taken = new Map(taken);
  }

  /**
   * Takes a setting, unless its value is the same as at the last import, or the setting was changed or deleted here
   * since. Gives what is to be recorded of it. Throws `ERR_STORE_INVALID_ARGUMENT` where the store has a value of its
   * own.
   */
  take(key: string, value: JsonValue): { isTaken: boolean; record?: TakenSetting } {
    checkText('key', key);
    if (this.#keys.has(key)) throw refused('another row has the same key');
    this.#keys.add(key);
    const record: TakenSetting = [key, hashOf(value)];
    const before = this.#taken.get(key);
    if (before === record[1]) return { isTaken: false };
    const fact = this.#facts.getFact(targetId, namespace, key);
    const own = fact && hashOf(fact.value);
    if (own === record[1]) return { isTaken: false, record };
    if (before === undefined && fact) throw refused('the store has another value');
    if (before !== undefined && own !== before) return { isTaken: false };
    this.#facts.upsertFact({ targetId, namespace, key, value });
    return { isTaken: true, record };
  }
}

function hashOf(value: JsonValue): string {
  return hash('sha256', JSON.stringify(value), 'base64url').slice(0, 16);
}
