// Everything between a path and a store that is only looked at.
import { accessSync, constants, lstatSync, realpathSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { Connection } from './connection.ts';
import { attempt, StoreError } from './errors.ts';
import { checkVersion } from './handle.ts';
import { snapshotPathFor } from './open.ts';
import type { Opened } from './open.ts';
import type { CheckedOptions } from './options.ts';
import { ReadOnlyFile } from './read-only.ts';
import { checkKnown, identify, schemaVersion } from './schema.ts';
import { SnapshotPair } from './snapshot.ts';

/** Opens a store to look at, changing nothing and leaving nothing behind. `oldest`: the first schema version that will do. */
export function openToRead(given: string, options: CheckedOptions, oldest = schemaVersion): Opened {
  const what = `open ${given} read-only`;
  return attempt(what, () => {
    checkVersion();
    const path = realpathSync(given); // SQLite looks for the -wal beside the file that a link leads to
    const stat = statSync(path);
    if (!stat.isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to ${what}: it is not a regular file`);
    if (stat.size === 0) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to ${what}: it is empty`);
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      if (lstatSync(path + suffix, { throwIfNoEntry: false })) accessSync(path + suffix, constants.R_OK);
    }
    const snapshotPath = snapshotPathFor(path, options);
    const reader = new ReadOnlyFile(path, options.busyTimeoutMs);
    try {
      const connection = reader.read(() => {
        checkReadable(reader.db, path, oldest);
        return new Connection(reader.db, { clock: options.clock, path, reader });
      });
      return describeStore(connection, snapshotPath);
    } catch (error) {
      reader.close();
      throw error;
    }
  });
}

/** Reading makes nothing and migrates nothing: all that a store offers can only be read of this very version. */
function checkReadable(db: DatabaseSync, path: string, oldest: number): void {
  const file = identify(db);
  if (file.kind === 'four-tables') throw new StoreError('ERR_STORE_SCHEMA_TOO_OLD', `${path} is to be adopted first: open it for writing once`);
  if (file.kind !== 'store') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is not a store: it holds ${file.kind === 'other' ? file.holds : 'nothing'}`);
  checkKnown(path, file.version);
  if (file.version < oldest) throw new StoreError('ERR_STORE_SCHEMA_TOO_OLD', `${path} has schema version ${file.version}: open it for writing once to migrate it to ${schemaVersion}`);
}

/** What a store is made of that heals and mirrors nothing. */
export function describeStore(connection: Connection, snapshotPath: string | undefined): Opened {
  const [uuid] = connection.read('read the identity', () => connection.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1')) ?? [];
  if (uuid === undefined) throw new StoreError('ERR_STORE_CORRUPT', 'the database is marked as a store and has lost its identity');
  return { connection, uuid, pair: new SnapshotPair(connection, snapshotPath, uuid, 0), recovery: undefined };
}
