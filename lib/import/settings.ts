// The settings of a service, which have no table here: each becomes a fact.
import { hash } from 'node:crypto';
import { StoreError } from '../errors.ts';
import { FactStore } from '../modules/facts.ts';
import type { SqliteStore } from '../store.ts';
import { checkText } from '../values.ts';
import type { JsonValue } from '../values.ts';

const targetId = 'settings';
// One for every version of the service: a take-over goes on when it is renamed.
const namespace = 'lunchbox';

/** What is recorded of a setting that was taken: its name, and a hash of its value, which may be a secret. */
export type TakenSetting = [key: string, valueHash: string];

/** Writes settings as facts, inside the store's transaction. */
export class SettingWriter {
  readonly #facts: FactStore;
  /** What was taken last of each, by this import or an earlier one. */
  readonly #taken: Map<string, string>;
  /** The settings that this import had: a file has no constraint that keeps two rows from having one name. */
  readonly #now = new Set<string>();

  constructor(store: SqliteStore, taken: Iterable<TakenSetting>) {
    this.#facts = new FactStore(store);
    this.#taken = new Map(taken);
  }

  /**
   * Takes a setting, unless it is as it was at the last import, or was changed or deleted here since. Gives what is to be
   * recorded of it. Throws `ERR_STORE_INVALID_ARGUMENT` where the store has a value that came from elsewhere.
   */
  take(key: string, value: JsonValue): { isTaken: boolean; record?: TakenSetting } {
    checkText('key', key);
    if (this.#now.has(key)) throw refused('another row has the same key');
    this.#now.add(key);
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

/** A refusal: the row is listed, and the next one taken all the same. */
function refused(message: string): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
}
