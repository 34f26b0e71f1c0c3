// A store that is not opened but made: in memory, or in a file from the identity of one that was lost.
import { Connection } from './connection.ts';
import { createFile } from './files.ts';
import { checkVersion, inTransaction, setPragmas } from './handle.ts';
import type { Opened } from './open.ts';
import { describeStore } from './open-read.ts';
import { readClock } from './options.ts';
import type { CheckedOptions } from './options.ts';
import { harden, openHandle } from './read-only.ts';
import { createSchema } from './schema.ts';
import { readSql } from './sql-files.ts';
import { DatabaseSync } from './sqlite.ts';

/**
 * Makes an empty store with the identity of one that was lost, in a file that must not be there yet. `left` are the files that
 * are left of that one, in the order in which they say whose it was.
 */
export function makeStore(path: string, identity: { uuid: string; createdAt: string }, now: Date, left: readonly string[]): void {
  checkVersion();
  readSql('schema.sql'); // before an empty file is made, that nothing could fill
  createFile(path, left);
  using db = openHandle(path, { psow: '0' }, {});
  setPragmas(db);
  inTransaction(db, () => createSchema(db, now, identity.uuid, identity.createdAt));
}

/** Opens a store that lives and dies with the process. */
export function openMemory(options: CheckedOptions): Opened {
  checkVersion();
  const db = new DatabaseSync(':memory:', { defensive: true });
  harden(db);
  setPragmas(db);
  inTransaction(db, () => createSchema(db, readClock(options)));
  const connection = new Connection(db, { clock: options.clock });
  return describeStore(connection, undefined);
}
