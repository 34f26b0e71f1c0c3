// The tables of a database on its way to becoming a store: made, adopted, migrated or mended.
import { inTransaction, readValue } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import { checkKnown, identify, schemaVersion } from '../core/schema.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { createSchema } from '../migrate/create.ts';
import { migrateSchema } from '../migrate/steps.ts';
import { checkpointFound } from '../recovery/found-wal.ts';
import { mendObjects } from '../recovery/mend.ts';
import { readClock } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';

/**
 * Makes, adopts, migrates or mends the tables in one transaction, under the write lock, where that is due. `lost` is
 * the identity of a database that this one replaces. Gives SQLite's cookie of the schema as it was found or made.
 */
export function prepareSchema(
  db: DatabaseSync, path: string, lost: { uuid: string; createdAt?: string } | undefined, options: CheckedOptions,
): unknown {
  const cookie = readValue(db, 'PRAGMA schema_version');
  const kind = identify(db);
  if (kind.kind === 'store' && kind.version === schemaVersion && kind.lacking.length === 0) return cookie;
  const now = readClock(options);
  // A file that is new or adopted is not in WAL mode yet: if a step fails, its rollback journal restores it.
  const made = inTransaction(db, () => {
    const found = identify(db); // another process may have been faster
    if (found.kind === 'other') {
      throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} has become another program's database (${found.holds})`);
    }
    const from = found.kind === 'store' ? found.version : 0;
    checkKnown(path, from);
    if (found.kind === 'empty') createSchema(db, now, lost?.uuid, lost?.createdAt);
    else {
      migrateSchema(db, from, schemaVersion, now, false);
      mendObjects(db);
    }
    return readValue(db, 'PRAGMA schema_version'); // before the COMMIT: another process may change it right after that
  });
  // The mark, the version and the identity are looked for in the database file itself (lib/recovery/inspect.ts).
  checkpointFound(db, path);
  return made;
}
