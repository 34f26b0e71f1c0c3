// Another process that migrates the file, up and down, between any two statements of an open.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { inTransaction, readValue } from '../../lib/core/handle.ts';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { migrateSchema } from '../../lib/migrate/steps.ts';
import { codeOf } from '../../lib/values/errors.ts';
import { TestFolder } from '../support/folder.ts';

/** Does `act` just before the statement with this number and each that is like it; says whether there was one. */
function runBeside(t: TestContext, number: number, act: () => void, run: () => void): boolean {
  let count = 0;
  let chosen: string | undefined;
  let isActing = false; // its own statements are none of those
  const mocks = (['prepare', 'exec'] as const).map((name) => {
    const original = DatabaseSync.prototype[name] as (sql: string) => unknown;
    return t.mock.method(DatabaseSync.prototype, name, function (this: DatabaseSync, sql: string) {
      if (!isActing && ++count === number) chosen = sql;
      if (!isActing && sql === chosen) {
        isActing = true;
        act();
        isActing = false;
      }
      return original.call(this, sql);
    });
  });
  try {
    run();
  } finally {
    for (const { mock } of mocks) mock.restore();
  }
  return chosen !== undefined;
}

function versionOf(db: DatabaseSync): number {
  const isAdopted = readValue(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_version'") === 1;
  return isAdopted ? Number(readValue(db, 'SELECT max(version) FROM schema_version')) : 0;
}

/** Migrates down or up again, as another process does, which gives up where it would have to wait. */
function migrateBeside(path: string, older: number): void {
  using db = new DatabaseSync(path, { timeout: 0 });
  try {
    inTransaction(db, () => {
      const from = versionOf(db);
      migrateSchema(db, from, from === schemaVersion ? older : schemaVersion, new Date(), true);
    });
  } catch (error) {
    if (codeOf(error) !== 'ERR_STORE_BUSY') throw error;
  }
}

const written = ['ERR_STORE_BUSY', 'ERR_STORE_MIGRATION'];
const opens: Record<string, { open: (path: string) => SqliteStore; refusals: string[] }> = {
  open: { open: (path) => SqliteStore.open(path, { busyTimeoutMs: 0 }), refusals: written },
  recover: { open: (path) => SqliteStore.open(path, { busyTimeoutMs: 0, recover: true }), refusals: written },
  openReadOnly: {
    open: (path) => SqliteStore.openReadOnly(path, { busyTimeoutMs: 0 }),
    refusals: ['ERR_STORE_BUSY', 'ERR_STORE_SCHEMA_TOO_OLD'],
  },
};

// Version 1 has the fewest tables and indexes, and an open asks for those that it lacks; version 0 has no identity.
const cases = [
  [schemaVersion - 1, schemaVersion - 1], [schemaVersion, schemaVersion - 1], [schemaVersion, 1], [schemaVersion, 0],
] as const;

/** A store whose file has become one of another version while it was opened knows that. */
function checkKnown(path: string, store: SqliteStore): void {
  using db = new DatabaseSync(path);
  if (versionOf(db) === schemaVersion) return;
  if (store.isReadOnly) assert.equal(store.isHealthy(), false);
  else assert.throws(() => store.addUsage('minecraft', '2026-11-21', 1), { code: 'ERR_STORE_MIGRATION' });
}

for (const [name, { open, refusals }] of Object.entries(opens)) {
  for (const [first, older] of cases) {
    test(`${name} takes no file for damaged that has version ${first} and that another process migrates meanwhile, `
      + `to version ${older} and up again`, (t) => {
      const folder = new TestFolder(t);
      folder.open().close();
      let isReached = true;
      for (let number = 1; isReached; number++) {
        SqliteStore.migrate(folder.file(), first, { force: true });
        using service = new DatabaseSync(folder.file());
        service.exec('UPDATE store_meta SET created_at = created_at'); // so that there is a -wal, as beside a service
        let times = 0;
        const migrate = (): void => {
          migrateBeside(folder.file(), older);
          if (++times === 2) service.close(); // nobody else has the file then, and whoever recovers might move it aside
        };
        let opened: SqliteStore | undefined;
        isReached = runBeside(t, number, migrate, () => {
          try {
            opened = open(folder.file());
            assert.equal(opened.recovery, undefined);
          } catch (error) {
            assert.ok(refusals.includes(codeOf(error)!), `at statement ${number}: ${(error as Error).stack}`);
          }
        });
        if (opened) checkKnown(folder.file(), opened);
        opened?.close();
      }
      folder.open().close();
    });
  }
}
