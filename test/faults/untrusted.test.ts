// A database file from somebody else's hands: SQLite's own advice for such files (https://www.sqlite.org/security.html)
// holds on every connection, and logic planted in the file is refused before it can run.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { SqliteStore, type StoreErrorCode } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase } from '../support/foreign.ts';

const day = '2026-11-21';

function makeStore(folder: TestFolder): void {
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', day, 3_600_000);
  store.saveSnapshot({ timestamp: new Date(0) });
  store.close();
}

/** Writes SQL and a text that plain SQL cannot into the schema table, as an editor with the file in hand would. */
function rewriteSchema(path: string, sql: string): void {
  using db = new DatabaseSync(path, { defensive: false });
  db.exec(`PRAGMA writable_schema = ON; ${sql}; PRAGMA writable_schema = OFF`);
}

for (const [how, open] of [
  ['for writing', (folder: TestFolder) => folder.open()],
  ['read-only', (folder: TestFolder) => folder.closing(SqliteStore.openReadOnly(folder.file()))],
  ['in memory', (folder: TestFolder) => folder.closing(SqliteStore.inMemory())],
] as const) {
  test(`a store opened ${how} trusts no schema, checks cells, is defensive and loads no extension`, (t) => {
    const folder = new TestFolder(t);
    makeStore(folder);
    const { prepare } = connect(open(folder));
    const value = (name: string): unknown => (prepare(`PRAGMA ${name}`).get() as unknown as unknown[])[0];
    assert.deepEqual(['trusted_schema', 'cell_size_check'].map(value), [0, 1]);
    prepare('PRAGMA writable_schema = ON').run();
    // Defensive mode keeps the schema table read-only whatever that PRAGMA says.
    assert.throws(() => prepare("UPDATE sqlite_schema SET sql = 'x'").run(), {
      message: /may not be modified|readonly/,
    });
    assert.throws(() => prepare("SELECT load_extension('x')").get(), { message: /not authorized|no such function/ });
  });
}

const planted: [what: string, code: StoreErrorCode, plant: (path: string) => void][] = [
  [
    'usage as a view',
    'ERR_STORE_CORRUPT',
    (path) =>
      makeDatabase(
        path,
        'ALTER TABLE usage RENAME TO kept; CREATE VIEW usage AS SELECT entry_id, day, 0 AS duration_secs, 0 AS '
          + 'carry_ms FROM kept',
      ),
  ],
  [
    'usage as a view with another case',
    'ERR_STORE_CORRUPT',
    (path) =>
      makeDatabase(
        path,
        'ALTER TABLE usage RENAME TO kept; CREATE VIEW USAGE AS SELECT entry_id, day, 0 AS duration_secs, 0 AS '
          + 'carry_ms FROM kept',
      ),
  ],
  [
    'a table of a module as a view',
    'ERR_STORE_CORRUPT',
    (path) => makeDatabase(path, 'DROP TABLE facts; CREATE VIEW facts AS SELECT 1 AS id'),
  ],
  [
    'cooldowns as a virtual table',
    'ERR_STORE_CORRUPT',
    (path) => makeDatabase(path, 'DROP TABLE cooldowns; CREATE VIRTUAL TABLE cooldowns USING fts5 (entry_id, until)'),
  ],
  [
    'one more trigger on the log',
    'ERR_STORE_NOT_A_STORE',
    (path) => makeDatabase(path, 'CREATE TRIGGER quiet AFTER INSERT ON audit_log BEGIN DELETE FROM usage; END'),
  ],
  [
    'a trigger on usage',
    'ERR_STORE_NOT_A_STORE',
    (path) =>
      makeDatabase(
        path,
        'CREATE TRIGGER free AFTER UPDATE ON usage BEGIN UPDATE usage SET duration_secs = 0 WHERE rowid = '
          + 'NEW.rowid; END',
      ),
  ],
  [
    'a trigger on a table of a module',
    'ERR_STORE_NOT_A_STORE',
    (path) => makeDatabase(path, 'CREATE TRIGGER free AFTER INSERT ON FACTS BEGIN DELETE FROM usage; END'),
  ],
  [
    'one of its own triggers with other words',
    'ERR_STORE_CORRUPT',
    (path) =>
      makeDatabase(
        path,
        'DROP TRIGGER audit_log_no_update; CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN '
          + 'SELECT 1; END',
      ),
  ],
  [
    'a trigger hidden behind the name of another table',
    'ERR_STORE_CORRUPT',
    (path) => {
      makeDatabase(
        path,
        'CREATE TABLE mine (a); CREATE TRIGGER t AFTER INSERT ON usage BEGIN DELETE FROM cooldowns; END',
      );
      rewriteSchema(path, "UPDATE sqlite_schema SET tbl_name = 'mine' WHERE name = 't'");
    },
  ],
];

for (const [what, code, plant] of planted) {
  test(`a store with ${what} is refused with ${code} for reading and writing, and left as it was`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    makeStore(folder);
    plant(folder.file());
    const before = picture(folder.path);
    assert.throws(() => folder.open(), { code });
    assert.throws(() => SqliteStore.openReadOnly(folder.file()), { code });
    assert.throws(() => SqliteStore.migrate(folder.file(), 1), { code });
    assert.deepEqual(picture(folder.path), before);
  });
}

test('a planted trigger does not make recover put the whole store aside', (t) => {
  const folder = new TestFolder(t, { checked: false });
  makeStore(folder);
  makeDatabase(folder.file(), 'CREATE TRIGGER t AFTER INSERT ON usage BEGIN DELETE FROM cooldowns; END');
  assert.throws(() => folder.open({ recover: true }), { code: 'ERR_STORE_NOT_A_STORE' });
  makeDatabase(folder.file(), 'DROP TRIGGER t');
  assert.equal(folder.open({ recover: true }).recovery, undefined);
});

test("an operator's own index, view, table and trigger on that table are harmless and stay", (t) => {
  const folder = new TestFolder(t);
  makeStore(folder);
  makeDatabase(
    folder.file(),
    `CREATE INDEX mine ON audit_log (timestamp); CREATE VIEW daily AS SELECT day, sum(duration_secs) FROM usage `
      + `GROUP BY day;
    CREATE TABLE notes (text); CREATE TRIGGER notes_kept BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'kept'); END`,
  );
  const store = folder.open();
  assert.equal(store.addUsage('minecraft', day, 1), 3_600_001);
  store.close();
  using db = new DatabaseSync(folder.file());
  assert.equal(
    db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('mine', 'daily', 'notes', 'notes_kept')").get()![
      'n'
    ],
    4,
  );
});

test('a view of the file that calls functions with side effects is not run by whoever reads it over the store', (t) => {
  const folder = new TestFolder(t);
  makeStore(folder);
  makeDatabase(folder.file(), "CREATE VIEW evil AS SELECT load_extension('x')");
  const { prepare } = connect(folder.open());
  assert.throws(() => prepare('SELECT * FROM evil').all(), {
    message: /unsafe use of|not authorized|no such function/,
  });
});
