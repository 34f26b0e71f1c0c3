// Facts: what was found out about a target, such as a host or a device, by namespace and key, and how long each holds.
import { randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { checkInteger, checkOptions, checkText, invalid, quote } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
import { checkJson, type JsonValue } from '../../values/json.ts';
import { present, RowReader } from '../row-reader.ts';
import { holds } from './holds.ts';

/** What `upsertFact` takes. */
export interface FactInput {
  /** The id of a new fact, by default a new UUID. A fact that is there already keeps its id. */
  id?: string | undefined;
  targetId: string;
  namespace: string;
  key: string;
  value: JsonValue;
  /** How long the fact holds from now on, in whole seconds; 0, the default, means for ever. */
  ttlSeconds?: number | undefined;
}

/** A fact as it is stored. From `expiresAt` on it is absent; a fact without `expiresAt` never expires. */
export interface Fact {
  id: string;
  targetId: string;
  namespace: string;
  key: string;
  value: JsonValue;
  ttlSeconds: number;
  expiresAt?: Date;
  createdAt: Date;
  updatedAt: Date;
}

/** Which facts `listFacts` gives: of a target, of a namespace, or of both; at most `limit`, after skipping `offset`. */
export interface FactFilter {
  targetId?: string | undefined;
  namespace?: string | undefined;
  limit?: number | undefined;
  offset?: number | undefined;
}

const columns = 'id, target_id, namespace, key, value, ttl_seconds, expires_at, created_at, updated_at';
type FactRow = [id: unknown, targetId: string, namespace: string, key: string, ...unknown[]];

const named = 'target_id = ? AND namespace = ? AND key = ?';

/**
 * The facts of a store, one for each target, namespace and key. From the instant at which it expires, by the store's
 * clock, a fact is absent to every method, whether `deleteExpiredFacts` has removed its row yet or not; a row that was
 * not removed holds again after the clock was set back. Facts are state that a service discovers again, so no event
 * records them and a ledger does not have them. Each writing method is one transaction, durable on return, or a part of
 * the open one. All methods throw what those of `SqliteStore` throw.
 */
export class FactStore {
  readonly #connection: ModuleConnection;

  /** Throws `ERR_STORE_INVALID_ARGUMENT` for what is no store. */
  constructor(store: SqliteStore) {
    this.#connection = connect(store);
  }

  /**
   * Writes a fact, over the one with the same target, namespace and key if there is one, which keeps its id and
   * `createdAt`; a fact that has expired is replaced by a new one. Gives what is stored. Throws
   * `ERR_STORE_SERIALIZATION` for a value that JSON does not carry unchanged, `ERR_STORE_CONFLICT` for an `id` that
   * another fact has.
   */
  upsertFact(fact: FactInput): Fact {
    const names = ['id', 'targetId', 'namespace', 'key', 'value', 'ttlSeconds'];
    const { id, targetId, namespace, key, value, ttlSeconds = 0 } = checkOptions('fact', fact, names);
    if (id !== undefined) checkText('fact.id', id);
    const name = checkName('fact.', targetId, namespace, key);
    const ttl = checkInteger('fact.ttlSeconds', ttlSeconds, 0);
    const text = JSON.stringify(checkJson('fact.value', value));
    return this.#connection.write('FactStore.upsertFact', `upsert ${describe(name)}`, () => {
      const now = this.#connection.now();
      const nowText = now.toISOString();
      this.#connection.prepare(`DELETE FROM facts WHERE ${named} AND expires_at <= ?`).run(...name, nowText);
      if (id !== undefined) this.#checkId(id, name, nowText);
      const row = this.#connection.prepare(
        `INSERT INTO facts (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (target_id, namespace, key) DO UPDATE SET
           value = excluded.value, ttl_seconds = excluded.ttl_seconds, expires_at = excluded.expires_at,
           updated_at = excluded.updated_at
         RETURNING ${columns}`,
      ).get(id ?? randomUUID(), ...name, text, ttl, expiryText(now, ttl), nowText, nowText);
      return decodeFact(row as unknown as FactRow);
    });
  }

  /** Gives the fact with this target, namespace and key; `undefined` where there is none or it has expired. */
  getFact(targetId: string, namespace: string, key: string): Fact | undefined {
    const name = checkName('', targetId, namespace, key);
    return this.#connection.read(`read ${describe(name)}`, () => {
      const sql = `SELECT ${columns} FROM facts WHERE ${named} AND ${holds}`;
      const row = this.#connection.prepare(sql).get(...name, this.#nowText());
      return row && decodeFact(row as unknown as FactRow);
    });
  }

  /** Gives the facts that hold, ordered by target, namespace and key; all of them without a filter. */
  listFacts(filter?: FactFilter): Fact[] {
    const names = ['targetId', 'namespace', 'limit', 'offset'];
    const { targetId, namespace, limit, offset = 0 } = checkOptions('filter', filter, names);
    if (targetId !== undefined) checkText('filter.targetId', targetId);
    if (namespace !== undefined) checkText('filter.namespace', namespace);
    if (limit !== undefined) checkInteger('filter.limit', limit, 0);
    checkInteger('filter.offset', offset, 0);
    const values = [targetId, namespace].filter((value) => value !== undefined);
    // The statement has only the conditions that are asked for: with all of them in one SQLite could use no index.
    const ofTarget = targetId === undefined ? [] : ['target_id = ?'];
    const ofNamespace = namespace === undefined ? [] : ['namespace = ?'];
    const where = [...ofTarget, ...ofNamespace, holds].join(' AND ');
    const sql = `SELECT ${columns} FROM facts WHERE ${where} ORDER BY target_id, namespace, key LIMIT ? OFFSET ?`;
    return this.#connection.read('list facts', () => {
      const rows = this.#connection.prepare(sql).all(...values, this.#nowText(), limit ?? -1, offset);
      return (rows as unknown as FactRow[]).map(decodeFact);
    });
  }

  /** Deletes a fact, and says whether there was one that had not expired. */
  deleteFact(targetId: string, namespace: string, key: string): boolean {
    const name = checkName('', targetId, namespace, key);
    return this.#connection.write('FactStore.deleteFact', `delete ${describe(name)}`, () => {
      // A fact that has expired is deleted as well: a clock that is set back must not bring back what was deleted.
      const sql = `DELETE FROM facts WHERE ${named} RETURNING ${holds}`;
      const row = this.#connection.prepare(sql).get(...name, this.#nowText());
      return (row as unknown as [number] | undefined)?.[0] === 1;
    });
  }

  /** Removes every fact that has expired from the file, and gives how many there were. */
  deleteExpiredFacts(): number {
    return this.#connection.write('FactStore.deleteExpiredFacts', 'delete the expired facts', () => {
      const { changes } = this.#connection.prepare('DELETE FROM facts WHERE expires_at <= ?').run(this.#nowText());
      return Number(changes);
    });
  }

  #nowText(): string {
    return this.#connection.now().toISOString();
  }

  /** Inside the transaction, refuses an id that another fact has. A fact that has expired gives its id up. */
  #checkId(id: string, name: FactName, nowText: string): void {
    this.#connection.prepare('DELETE FROM facts WHERE id = ? AND expires_at <= ?').run(id, nowText);
    const sql = 'SELECT target_id, namespace, key FROM facts WHERE id = ?';
    const owner = this.#connection.get<FactName>(sql, id);
    if (!owner || owner.every((part, index) => part === name[index])) return;
    const why = `the id ${quote(id)} is that of ${describe(owner)}`;
    throw new StoreError('ERR_STORE_CONFLICT', `failed to upsert ${describe(name)}: ${why}`);
  }
}

type FactName = [targetId: string, namespace: string, key: string];

function checkName(prefix: string, targetId: unknown, namespace: unknown, key: unknown): FactName {
  return [
    checkText(`${prefix}targetId`, targetId), checkText(`${prefix}namespace`, namespace),
    checkText(`${prefix}key`, key),
  ];
}

function describe([targetId, namespace, key]: FactName): string {
  return `the fact ${quote(key)} of ${quote(targetId)} in ${quote(namespace)}`;
}

const lastInstantMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

function expiryText(now: Date, ttlSeconds: number): string | null {
  if (ttlSeconds === 0) return null;
  const expiresMs = now.getTime() + ttlSeconds * 1000;
  if (expiresMs > lastInstantMs) {
    throw invalid('fact.ttlSeconds', ttlSeconds, 'so few seconds that they end before the year 10000');
  }
  return new Date(expiresMs).toISOString();
}

function decodeFact([id, targetId, namespace, key, value, ttl, expires, createdAt, updatedAt]: FactRow): Fact {
  const reader = new RowReader(describe([targetId, namespace, key]));
  const [ttlSeconds, expiresAt] = [reader.count('ttl_seconds', ttl), reader.optionalInstant('expires_at', expires)];
  // The two must agree, because a fact that had lost its expires_at would hold for ever.
  if ((ttlSeconds === 0) !== (expiresAt === undefined)) throw reader.damaged('ttl_seconds', ttl);
  return present<Fact>({
    id: reader.text('id', id), targetId: reader.text('target_id', targetId),
    namespace: reader.text('namespace', namespace), key: reader.text('key', key), value: reader.json('value', value),
    ttlSeconds, expiresAt, createdAt: reader.instant('created_at', createdAt),
    updatedAt: reader.instant('updated_at', updatedAt),
  });
}
