// What a migration would do and lose, found out without touching the file.
import { inTransaction } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import { migrations } from '../core/sql-files.ts';
import { DatabaseSync } from '../core/sqlite.ts';
import { createSchema } from '../migrate/create.ts';
import { contents, lostBetween, migrateSchema, stepsBetween } from '../migrate/steps.ts';
import { checkTarget, lookAt, type MigrationReport } from '../opening/migrate.ts';
import { ReadOnlyFile } from '../reading/reader.ts';
import { attempt } from '../values/errors.ts';

/** What a migration would do. `lost`: what its steps down would lose, such as `rows of facts`, and how much. */
export interface MigrationPlan extends Omit<MigrationReport, 'moved'> {
  lost: { what: string; count: number }[];
}

/** Finds out what `SqliteStore.migrate` would do. Throws what that throws for a file that cannot be migrated. */
export function planMigration(path: string, version: number, options: CheckedOptions): MigrationPlan {
  return attempt(`plan how to migrate ${path} to version ${version}`, () => {
    checkTarget(path, version);
    const { version: from } = lookAt(path, options);
    const reader = new ReadOnlyFile(path, options.busyTimeoutMs);
    try {
      const losses = reader.read(() => lossesOf(reader.db, from, version));
      const lost = Array.from(losses, ([what, count]) => ({ what, count }));
      return { from, to: version, steps: stepsBetween(from, version), lost };
    } finally {
      reader.close();
    }
  });
}

/**
 * What the steps from one version to another would lose of a file. They are taken in an empty database, which shows
 * what columns go, and the file is asked how many values it has in these.
 */
function lossesOf(file: DatabaseSync, from: number, to: number): Map<string, number> {
  if (to >= from) return new Map();
  using empty = new DatabaseSync(':memory:');
  const columnsAt = (before: number, after: number): Map<string, number> => {
    inTransaction(empty, () => migrateSchema(empty, before, after, new Date(), true));
    return contents(empty);
  };
  inTransaction(empty, () => createSchema(empty, new Date()));
  const before = columnsAt(migrations.length, from);
  const after = columnsAt(from, to);
  for (const column of after.keys()) after.set(column, Infinity); // a column that stays keeps what is in it
  return lostBetween(new Map([...contents(file)].filter(([column]) => before.has(column))), after);
}
