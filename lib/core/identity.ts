// Which identities a store has had: the UUID that it has, and those before, by which files of an earlier time name it.
import { machineId } from '../values/machine.ts';
import type { Anchor } from './chain.ts';
import type { Connection } from './connection.ts';

/** A UUID that a store had before, up to the event that gave it the next one. */
export interface FormerIdentity {
  store: string;
  /** The row of that event, which is the first of the next identity. */
  until: number;
}

/** What a database that is made anew takes over from the one that was lost. */
export interface Identity {
  uuid: string;
  createdAt?: string | undefined;
  renewed?: readonly FormerIdentity[] | undefined;
}

/**
 * Refuses a store that has another UUID than its first to the versions before 10: they take the chain, which begins
 * with the first one, for a damaged one.
 */
export const renewedSql: string = `UPDATE store_meta
  SET writable_from = max(writable_from, 10), readable_from = max(readable_from, 10)`;

type Reader = Pick<Connection, 'get' | 'all'>;

/** The identities that a store had before, oldest first. */
export function formerIdentities(connection: Reader): FormerIdentity[] {
  // A store of an older version, which is read as it is, has no such table.
  if (!connection.get("SELECT 1 FROM sqlite_schema WHERE name = 'former_identities'")) return [];
  const sql = 'SELECT uuid, until_id FROM former_identities ORDER BY until_id';
  return connection.all<[string, number]>(sql).map(([store, until]) => ({ store, until }));
}

/**
 * Gives a store another UUID on this machine, inside a transaction; `at` is the row that says so, from which on the
 * outboxes send.
 */
export function changeIdentity(
  connection: Pick<Connection, 'run'>, { from, to, at: { id, hash } }: { from: string; to: string; at: Anchor },
): void {
  connection.run('INSERT INTO former_identities (uuid, until_id) VALUES (?, ?)', from, id);
  connection.run('UPDATE store_meta SET uuid = ?, machine_id = ? WHERE id = 1', to, machineId() ?? null);
  connection.run(renewedSql);
  // An outbox of a backup that gets a renewal back from its ledger may be behind that already.
  const sql = 'UPDATE outboxes SET id = ?1, hash = ?2, acknowledged_at = NULL, shared_id = NULL WHERE id < ?1';
  connection.run(sql, id, hash);
}

/** What a file says of its store: the identity, those before it as far as the file knows them, and its last row. */
export interface Origin {
  store: string | undefined;
  renewed?: readonly FormerIdentity[] | undefined;
  lastId: number;
  /** The last row, where only the hash can tell whether it is one of this store. */
  head?: Anchor | undefined;
}

/**
 * Whether two files belong to one store: they name the same identity, or one of them is of the time before the store
 * got the other's. What another clone of the same image has written behind the renewal is not this store's.
 */
export function isSameStore(one: Origin, other: Origin): boolean {
  return one.store === other.store || isOfBefore(one, other) || isOfBefore(other, one);
}

function isOfBefore({ store, lastId }: Origin, { renewed = [] }: Origin): boolean {
  return renewed.some((former) => former.store === store && lastId <= former.until);
}
