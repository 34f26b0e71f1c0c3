// A store that is not opened but made: in memory, or in a file from the identity of one that was lost.
import { Connection } from '../core/connection.ts';
import { checkVersion, harden, inTransaction, openHandle, setPragmas, writing } from '../core/handle.ts';
import type { Identity } from '../core/identity.ts';
import { assemble, type Opened } from '../core/open.ts';
import type { CheckedOptions } from '../core/options.ts';
import { readSql } from '../core/sql-files.ts';
import { DatabaseSync } from '../core/sqlite.ts';
import { createSchema } from '../migrate/create.ts';
import { readClock } from '../values/checks.ts';
import { createFile } from '../values/files.ts';

/**
 * Makes an empty store with the identity of one that was lost, in a file that must not be there yet. `left` are the
 * files that are left of the lost store, in the order in which they say whose it was.
 */
export function makeStore(
  path: string, identity: Identity, now: Date, left: readonly string[],
): void {
  checkVersion();
  readSql('schema.sql'); // before an empty file is made, that nothing could fill
  createFile(path, left);
  using db = openHandle(path, writing, {});
  setPragmas(db);
  inTransaction(db, () => createSchema(db, now, identity));
}

/** Opens a store that lives and dies with the process. */
export function openMemory(options: CheckedOptions): Opened {
  checkVersion();
  const db = new DatabaseSync(':memory:', { defensive: true });
  harden(db);
  setPragmas(db);
  inTransaction(db, () => createSchema(db, readClock(options)));
  return assemble(new Connection(db, { clock: options.clock }), db);
}
