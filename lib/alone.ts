// What would stop every other process that has the store open: done only while no other has it.
import type { DatabaseSync } from 'node:sqlite';
import type { Connection } from './connection.ts';
import { hasCode, StoreError, toStoreError } from './errors.ts';
import { checkpointFound, setPragmas } from './handle.ts';
import type { Attached, Mirroring } from './mirroring.ts';
import { releaseReaders } from './read-only.ts';

/**
 * Locks every other process out of a database until its handle is closed, and brings into it what its -wal has. Whoever has
 * the database open, idle or not, to write or to read beside a writer, holds a shared lock on it: `ERR_STORE_BUSY` then, where
 * that one does not let go before the handle's timeout. `what` is to be done; `otherwise` says what could be instead.
 */
export function lockOut(db: DatabaseSync, path: string, what: string, otherwise?: string): void {
  explain(what, otherwise, () => {
    db.exec('PRAGMA locking_mode = EXCLUSIVE'); // first: from here on every lock that is taken is kept
    setPragmas(db);
    db.exec('BEGIN EXCLUSIVE');
    db.exec('COMMIT');
  });
  checkpointFound(db, path);
}

/**
 * Runs `fn`, which writes by an open connection, while no other process has the database open, nor another handle of this one:
 * with exclusive locking SQLite takes the lock that excludes them before the first write. Throws as `lockOut` does.
 */
function writeAlone<T>(connection: Connection, what: string, otherwise: string | undefined, fn: () => T): T {
  if (connection.path === undefined || !connection.isOpen) return fn();
  releaseReaders();
  try {
    connection.get('PRAGMA locking_mode = EXCLUSIVE');
    return explain(what, otherwise, fn);
  } finally {
    connection.get('PRAGMA locking_mode = NORMAL');
    connection.get('SELECT 1 FROM sqlite_schema'); // the lock is given back after the next read
  }
}

/** Ends the mirror of a store, if it has one, by an event; see `SqliteStore.detachLedger`. */
export function detach(connection: Connection, mirroring: Mirroring | undefined, force: boolean): void {
  const what = 'detach the ledger';
  const isNested = connection.inTransaction;
  const write = (): void => connection.write(what, () => {
    const why = mirroring ? 'a transaction is open' : 'the store was opened without one';
    if (!mirroring || isNested) throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
    mirroring.detach();
  });
  if (force || !mirroring || isNested) write();
  else writeAlone(connection, what, 'with force it is detached all the same', write);
  mirroring?.end();
}

/** Gives a store that is in use its first mirror: whoever has it open without one may write no more. At open, by one process at a time. */
export function attachFirst(connection: Connection, mirroring: Mirroring, ledgerPath: string): Attached {
  return writeAlone(connection, `attach the ledger ${ledgerPath}`, undefined, () => mirroring.attach());
}

function explain<T>(what: string, otherwise: string | undefined, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (!hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY')) throw error;
    const why = 'the store is open elsewhere, and that one would be refused every further write: stop the service first';
    throw new StoreError('ERR_STORE_BUSY', `failed to ${what}: ${why}${otherwise === undefined ? '' : `; ${otherwise}`}`, { cause: error });
  }
}
