// Which identities a store has had: the UUID that it has, and those before, by which files of an earlier time name it.
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

/** The version before which nothing can read a store with another UUID than its first: the chain begins with that. */
export const renewableFrom = 10;

type Reader = Pick<Connection, 'get' | 'all'>;

/** The identities that a store had before, oldest first. */
export function formerIdentities(connection: Reader): FormerIdentity[] {
  // A store of an older version, which is read as it is, has no such table.
  if (!connection.get("SELECT 1 FROM sqlite_schema WHERE name = 'former_identities'")) return [];
  const sql = 'SELECT uuid, until_id FROM former_identities ORDER BY until_id';
  return connection.all<[string, number]>(sql).map(([store, until]) => ({ store, until }));
}

/**
 * Whether a file that names a store, and whose last row is `lastId`, belongs to the store `uuid`, or did before that
 * got its UUID. What another clone of the same image has written behind there is not this store's.
 */
export function isOwn(connection: Reader, uuid: string, store: string | undefined, lastId: number): boolean {
  if (store === uuid) return true;
  return formerIdentities(connection).some((former) => former.store === store && lastId <= former.until);
}
