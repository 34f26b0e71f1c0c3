// The tables of a database on its way to becoming a store: made, adopted, migrated or mended.
import { inTransaction, readTogether, readValue, schemaMarkSql } from '../core/handle.ts';
import type { Identity } from '../core/identity.ts';
import type { CheckedOptions } from '../core/options.ts';
import { identify, schemaVersion } from '../core/schema.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { createSchema } from '../migrate/create.ts';
import { migrateSchema } from '../migrate/steps.ts';
import { type NewerSchema, newerSchema, requireWritable } from '../reading/newer.ts';
import { checkpointFound } from '../recovery/found-wal.ts';
import { mendObjects } from '../recovery/mend.ts';
import { readClock } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';

/** The schema of a database that is ready to be written to. */
export interface Prepared {
  /** The mark of the schema as it was found or made. */
  mark: unknown;
  /** Where the schema is that of a newer version, of which nothing is changed. */
  newer?: NewerSchema | undefined;
}

/**
 * Makes, adopts, migrates or mends the tables in one transaction, under the write lock, where that is due. `lost` is
 * the identity of a database that this one replaces. Throws `OnlyReadable` where a newer version may not be written to.
 */
export function prepareSchema(
  db: DatabaseSync, path: string, lost: Identity | undefined, options: CheckedOptions,
): Prepared {
  const { mark, kind, newer } = readTogether(db, () => {
    const kind = identify(db);
    return { mark: readValue(db, schemaMarkSql), kind, newer: newerSchema(db, path, kind) };
  });
  requireWritable(newer);
  if (newer) return { mark, newer };
  if (kind.kind === 'store' && kind.version === schemaVersion && kind.lacking.length === 0) return { mark };
  const now = readClock(options);
  // A file that is new or adopted is not in WAL mode yet: if a step fails, its rollback journal restores it.
  const made = inTransaction(db, (): Prepared => {
    const found = identify(db); // another process may have been faster, also one of a newer version
    if (found.kind === 'other') {
      throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} has become another program's database (${found.holds})`);
    }
    const newer = newerSchema(db, path, found);
    requireWritable(newer);
    if (found.kind === 'empty') createSchema(db, now, lost);
    else if (!newer) {
      migrateSchema(db, found.kind === 'store' ? found.version : 0, schemaVersion, now, false);
      mendObjects(db);
    }
    // Before the COMMIT: another process may change it right after that.
    return { mark: readValue(db, schemaMarkSql), newer };
  });
  // The mark, the version and the identity are looked for in the database file itself (lib/recovery/inspect.ts).
  checkpointFound(db, path);
  return made;
}
