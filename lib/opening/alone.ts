// Locking every other process out: what would stop their writes is done only while no other process has the store open.
import type { Connection } from '../core/connection.ts';
import { releaseReaders, setPragmas } from '../core/handle.ts';
import type { LedgerPort } from '../core/mirror-port.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { checkpointFound } from '../recovery/found-wal.ts';
import { codeOf, StoreError } from '../values/errors.ts';

const refused = 'that one would be refused every further write';

/**
 * Locks every other process out of a database until its handle is closed, and brings into it what its -wal has. Whoever
 * has the database open, idle or not, to write or to read beside a writer, holds a shared lock on it: throws
 * `ERR_STORE_BUSY` where that lock is not given back before the handle's timeout. `what` is to be done; `otherwise`
 * says what could be done instead, and `harm` what would become of that process.
 */
export function lockOut(
  db: DatabaseSync, path: string, what: string, otherwise?: string, harm: string = refused,
): void {
  explain(what, otherwise, harm, () => {
    db.exec('PRAGMA locking_mode = EXCLUSIVE'); // first: from here on every lock that is taken is kept
    setPragmas(db);
    db.exec('BEGIN EXCLUSIVE');
    db.exec('COMMIT');
  });
  checkpointFound(db, path);
}

/**
 * Runs `fn`, which writes by an open connection, while no other process has the database open, nor another handle of
 * this one: with exclusive locking SQLite takes the lock that excludes them before the first write. Throws as `lockOut`
 * does.
 */
export function writeAlone<T>(
  connection: Connection, what: string, otherwise: string | undefined, fn: () => T,
): T {
  if (!connection.isOpen) return fn(); // which refuses a closed store
  releaseReaders();
  try {
    connection.get('PRAGMA locking_mode = EXCLUSIVE');
    return explain(what, otherwise, refused, fn);
  } finally {
    connection.get('PRAGMA locking_mode = NORMAL');
    connection.get('SELECT 1 FROM sqlite_schema'); // the lock is given back after the next read
  }
}

/** Ends the ledger mode of a store, if it is in it, by an event; see `SqliteStore.detachLedger`. */
export function detach(connection: Connection, ledger: LedgerPort | undefined, force: boolean): void {
  const what = 'detach the ledger';
  const isNested = connection.inTransaction;
  const write = (): void => connection.write('detachLedger', what, () => {
    const why = ledger ? 'a transaction is open' : 'the store was opened without one';
    if (!ledger || isNested) throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
    ledger.detach();
  });
  if (force || !ledger || isNested) write();
  else writeAlone(connection, what, 'with force it is detached all the same', write);
  ledger?.end();
}

function explain<T>(what: string, otherwise: string | undefined, harm: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (codeOf(error) !== 'ERR_STORE_BUSY') throw error;
    const why = `the store is open elsewhere, and ${harm}: stop the service first`;
    const instead = otherwise === undefined ? '' : `; ${otherwise}`;
    throw new StoreError('ERR_STORE_BUSY', `failed to ${what}: ${why}${instead}`, { cause: error });
  }
}
