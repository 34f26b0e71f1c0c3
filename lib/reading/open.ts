// The open of `openReadOnly`: the way from a path to a store that is only looked at.
import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { Connection } from '../core/connection.ts';
import { checkVersion, readTogether } from '../core/handle.ts';
import { assemble, type Opened } from '../core/open.ts';
import { type CheckedOptions, snapshotPathFor } from '../core/options.ts';
import { identify, notAStore, schemaVersion } from '../core/schema.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { attempt, StoreError } from '../values/errors.ts';
import { companionsOf } from '../values/place.ts';
import { type NewerSchema, newerSchema, tellNewer } from './newer.ts';
import { ReadOnlyFile } from './reader.ts';

/**
 * Opens a store for reading only: it changes no file and leaves none behind. `oldest` is the first schema version that
 * the caller accepts; `refusal` is what a write gets in a store that was to be opened for writing.
 */
export function openToRead(
  given: string, options: CheckedOptions, oldest: number = schemaVersion, refusal?: StoreError,
): Opened {
  const what = `open ${given} read-only`;
  return attempt(what, () => {
    checkVersion();
    const path = realpathSync(given); // SQLite finds the -wal beside the file that a link leads to
    const stat = statSync(path);
    if (!stat.isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to ${what}: it is not a regular file`);
    if (stat.size === 0) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to ${what}: it is empty`);
    for (const file of [path, ...companionsOf(path)]) checkAccess(file);
    const snapshotPath = snapshotPathFor(path, options);
    const reader = new ReadOnlyFile(path, options.busyTimeoutMs);
    try {
      return reader.read(() => readTogether(reader.db, () => {
        const newer = checkReadable(reader.db, path, oldest);
        const connection = new Connection(reader.db, { clock: options.clock, path, reader, refusal });
        const opened = assemble(connection, reader.db, snapshotPath);
        tellNewer(connection, newer);
        return opened;
      }));
    } catch (error) {
      reader.close();
      throw error;
    }
  });
}

/** Throws for a file that this user may not read. A service that closes its store takes the -wal and -shm away. */
function checkAccess(file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Refuses a file that is not a store of the versions from `oldest` on, because reading cannot migrate it. */
function checkReadable(db: DatabaseSync, path: string, oldest: number): NewerSchema | undefined {
  const file = identify(db);
  if (file.kind === 'four-tables') {
    throw new StoreError('ERR_STORE_SCHEMA_TOO_OLD', `${path} is to be adopted first: open it for writing once`);
  }
  if (file.kind !== 'store') throw notAStore(path, file);
  const newer = newerSchema(db, path, file);
  if (newer?.access === 'none') throw newer.refusal;
  if (file.version >= oldest) return newer;
  const advice = `open it for writing once to migrate it to ${schemaVersion}`;
  throw new StoreError('ERR_STORE_SCHEMA_TOO_OLD', `${path} has schema version ${file.version}: ${advice}`);
}
