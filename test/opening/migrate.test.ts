// Steps from one version to another, and everything that keeps one from being taken.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { schemaVersion } from '../../lib/core/schema.ts';
import { migrations } from '../../lib/core/sql-files.ts';
import { SqliteStore, type StoreError } from '../../lib/index.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeAndDie, makeDatabase, newerSchema } from '../support/foreign.ts';
import { Companion, run } from '../support/process.ts';
import { allRows, rowsOfVersion } from '../support/rows.ts';
import { writeSeals } from '../support/sql-files.ts';

/** A store with something of everything, closed. */
function makeStore(path: string): void {
  using store = SqliteStore.open(path);
  store.appendAudit({ type: 'service_started' }, { source: 'admin' });
  store.addUsage('minecraft', '2026-11-21', 90_500);
  store.setCooldownUntil('minecraft', new Date('2026-11-21T10:00:00Z'));
  store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
}

/** A copy of this package in the folder as a next version would be, with a step of its own. */
function nextPackage(folder: TestFolder, up: string, down: string): URL {
  const root = pathToFileURL(`${folder.file('next')}/`);
  for (const part of ['lib', 'schema.sql', 'package.json'])
    cpSync(new URL(`../../${part}`, import.meta.url), new URL(part, root), { recursive: true });
  const next = schemaVersion + 1;
  for (const [suffix, sql] of [['up', up], ['down', down]] as const) {
    const name = `${String(next).padStart(6, '0')}_next_thing.${suffix}.sql`;
    writeFileSync(new URL(`lib/migrations/${name}`, root), `-- ${name}\n${sql}`);
  }
  appendFileSync(new URL('schema.sql', root), up);
  writeSeals(root);
  return root;
}

const addNotes = 'CREATE TABLE notes (text TEXT NOT NULL); ALTER TABLE cooldowns ADD COLUMN reason TEXT;';
const dropNotes = 'DROP TABLE notes; ALTER TABLE cooldowns DROP COLUMN reason;';
const keepToItself = 'UPDATE store_meta SET writable_from = 11, readable_from = 11;';

test('a step down to the four tables loses something, so it needs force', (t) => {
  const folder = new TestFolder(t);
  makeStore(folder.file());
  const before = picture(folder.path);
  assert.throws(() => SqliteStore.migrate(folder.file(), 0), { code: 'ERR_STORE_MIGRATION' });
  assert.deepEqual(picture(folder.path), before);
});

test('with force only the four tables are left, with every row, and the plain file is moved aside', (t) => {
  const folder = new TestFolder(t, { checked: false });
  makeStore(folder.file());
  SqliteStore.migrate(folder.file(), 0, { force: true });
  using db = new DatabaseSync(folder.file());
  const names = db.prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name").all();
  assert.deepEqual(names.map(({ name }) => name), ['audit_log', 'cooldowns', 'snapshot', 'usage']);
  assert.deepEqual(
    { ...db.prepare('SELECT id, event_type, event_data FROM audit_log').get() },
    { id: 1, event_type: 'service_started', event_data: '{}' },
  );
  assert.deepEqual(
    { ...db.prepare('SELECT * FROM usage').get() },
    { entry_id: 'minecraft', day: '2026-11-21', duration_secs: 90 },
  );
  assert.deepEqual(
    { ...db.prepare('SELECT * FROM cooldowns').get() },
    { entry_id: 'minecraft', until: '2026-11-21T10:00:00.000Z' },
  );
  assert.deepEqual(
    { ...db.prepare('SELECT * FROM snapshot').get() },
    { id: 1, data: '{"timestamp":"2026-11-21T09:00:00.000Z"}' },
  );
  db.close();
  assert.match(namesIn(folder.path).join(), /^store\.db,store\.snapshot\.json\.migrated-down-/);
});

test('a file that went down is adopted again, as a store of its own', async (t) => {
  const folder = new TestFolder(t);
  makeStore(folder.file());
  SqliteStore.migrate(folder.file(), 0, { force: true });
  const store = folder.open();
  assert.deepEqual(
    store.getRecentAudits(5).map(({ id, event }) => [id, event.type]),
    [
      [2, 'store_adopted'],
      [1, 'service_started'],
    ],
  );
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-11-21T09:00:00Z') });
  assert.ok((await store.verifyAudit()).ok);
});

test("another store's plain file is left where it is by a step down", (t) => {
  const folder = new TestFolder(t, { checked: false });
  makeStore(folder.file());
  writeFileSync(folder.file('store.snapshot.json'), 'noise');
  SqliteStore.migrate(folder.file(), 0, { force: true });
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.snapshot.json']);
});

/** Every row of every table, but the version records. */
function contentsOf(path: string): Record<string, unknown[]> {
  using db = new DatabaseSync(path);
  const tables = db
    .prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version' AND name NOT LIKE 'sqlite%'",
    )
    .all()
    .map(({ name }) => String(name));
  return Object.fromEntries(
    tables.map((table) => [
      table,
      db
        .prepare(`SELECT * FROM ${table}`)
        .all()
        .map((row) => ({ ...row })),
    ]),
  );
}

/** The cooldowns as a version has them that does not know when they were set. */
function cooldownsOf(contents: Record<string, unknown[]>): unknown[] {
  return (contents['cooldowns'] as { entry_id: string; until: string }[]).map(({ entry_id, until }) => ({
    entry_id,
    until,
  }));
}

/** A store with something of everything in every table of every version, closed. */
function makeFullStore(path: string): void {
  makeStore(path);
  makeDatabase(path, allRows);
}

function without<T>(record: Record<string, T>, names: string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)));
}

const versions = Object.entries(rowsOfVersion)
  .map(([version, tables]) => ({ version: Number(version), tables: Object.keys(tables) }))
  .reverse();

/** Without the columns in which the file says something of itself, which come and go with steps. */
function withoutOwn(contents: Record<string, unknown[]>): Record<string, unknown[]> {
  const rows = contents['store_meta'] as Record<string, unknown>[];
  const own = ['limits_id', 'ledger_path', 'archived_id', 'archived_hash', 'machine_id'];
  const kept = (row: object): object => Object.fromEntries(Object.entries(row).filter(([name]) => !own.includes(name)));
  return { ...contents, store_meta: rows.map(kept) };
}

/** Takes one step down, which is refused without force and loses the step's tables alone. */
function loseStep(folder: TestFolder, { version, tables }: (typeof versions)[number]): void {
  const [before, files] = [contentsOf(folder.file()), picture(folder.path)];
  for (const table of tables) assert.equal(before[table]?.length, 2, table);
  assert.throws(
    () => SqliteStore.migrate(folder.file(), version - 1),
    (error: StoreError) =>
      error.code === 'ERR_STORE_MIGRATION' && tables.every((table) => error.message.includes(`rows of ${table} (2)`)),
  );
  assert.deepEqual(picture(folder.path), files);
  assert.deepEqual(SqliteStore.migrate(folder.file(), version - 1, { force: true }), {
    from: version,
    to: version - 1,
    steps: [{ version, description: migrations[version - 1]!.description }],
  });
  assert.deepEqual(withoutOwn(contentsOf(folder.file())), withoutOwn(without(before, tables)));
}

test('each step down loses all rows of its own tables alone and needs force to; each step up makes these anew', (t) => {
  const folder = new TestFolder(t);
  makeFullStore(folder.file());
  assert.deepEqual(
    versions.map(({ version }) => version),
    [10, 8, 4, 3, 2],
  );
  loseStep(folder, versions[0]!);
  SqliteStore.migrate(folder.file(), 8); // the ninth step has no table of its own
  loseStep(folder, versions[1]!);
  assert.throws(
    () => SqliteStore.migrate(folder.file(), 4),
    (error: StoreError) =>
      error.code === 'ERR_STORE_MIGRATION' && error.message.includes('values of cooldowns.set_at (1)'),
  );
  SqliteStore.migrate(folder.file(), 4, { force: true });
  for (const each of versions.slice(2)) loseStep(folder, each);
  assert.throws(() => SqliteStore.migrate(folder.file(), 0), { code: 'ERR_STORE_MIGRATION' });
  SqliteStore.migrate(folder.file(), 0, { force: true });
  SqliteStore.migrate(folder.file(), 1);
  for (const { version, tables } of versions.toReversed()) {
    SqliteStore.migrate(folder.file(), version - 1);
    const before = withoutOwn(contentsOf(folder.file()));
    assert.deepEqual(SqliteStore.migrate(folder.file(), version), {
      from: version - 1,
      to: version,
      steps: [{ version, description: migrations[version - 1]!.description }],
    });
    assert.deepEqual(withoutOwn(contentsOf(folder.file())), {
      ...before,
      ...Object.fromEntries(tables.map((table) => [table, []])),
    });
    makeDatabase(folder.file(), Object.values(rowsOfVersion[version]!).join(';'));
  }
  SqliteStore.migrate(folder.file(), schemaVersion);
});

test('a step down that loses the rows of one table alone is refused for that table', (t) => {
  const folder = new TestFolder(t);
  for (const { version, tables } of versions) {
    for (const table of tables) {
      const path = folder.file(`${table}.db`);
      makeStore(path);
      // Without the rows of other tables that these refer to.
      makeDatabase(path, `PRAGMA foreign_keys = OFF; DELETE FROM cooldowns; ${rowsOfVersion[version]![table]!}`);
      const before = picture(folder.path)[`${table}.db`];
      assert.throws(
        () => SqliteStore.migrate(path, version - 1),
        (error: StoreError) =>
          error.code === 'ERR_STORE_MIGRATION' &&
          error.message.endsWith(`would lose rows of ${table} (2): use force to lose them`),
        table,
      );
      assert.equal(picture(folder.path)[`${table}.db`], before);
    }
  }
});

test('tables without rows are left behind and made again without force', (t) => {
  const folder = new TestFolder(t);
  makeStore(folder.file());
  makeDatabase(folder.file(), 'UPDATE cooldowns SET set_at = NULL');
  const before = contentsOf(folder.file());
  const steps = [10, 9, 8, 7, 6, 5, 4, 3, 2].map((version) => {
    return { version, description: migrations[version - 1]!.description };
  });
  assert.deepEqual(SqliteStore.migrate(folder.file(), 1), { from: 10, to: 1, steps });
  const core = without(before, versions.flatMap(({ tables }) => tables));
  const meta = withoutOwn(core)['store_meta']!.map((row) => {
    const { writable_from: _writers, readable_from: _readers, ...rest } = row as Record<string, unknown>;
    return { ...rest, last_day: null, previous_day: null }; // columns that version 6 took away
  });
  assert.deepEqual(contentsOf(folder.file()), { ...core, store_meta: meta, cooldowns: cooldownsOf(before) });
  assert.deepEqual(SqliteStore.migrate(folder.file(), 1), { from: 1, to: 1, steps: [] });
  assert.equal(folder.open().getUsage('minecraft', '2026-11-21'), 90_500);
  assert.deepEqual(without(contentsOf(folder.file()), ['snapshot']), without(before, ['snapshot']));
});

/** The rows of a table, one of which may name the store itself, which is another one once it was adopted. */
function rowsIn(contents: Record<string, unknown[]>, table: string): unknown {
  const [{ uuid }] = contents['store_meta'] as [{ uuid: string }];
  return JSON.parse(JSON.stringify(contents[table]).replaceAll(uuid, 'the store itself'));
}

test('a full store goes down to the four tables and up again in one call each, with its core', async (t) => {
  const folder = new TestFolder(t);
  makeFullStore(folder.file());
  const before = contentsOf(folder.file());
  const { moved, ...down } = SqliteStore.migrate(folder.file(), 0, { force: true });
  assert.deepEqual(down, {
    from: 10,
    to: 0,
    steps: migrations.toReversed().map(({ version, description }) => ({ version, description })),
  });
  assert.deepEqual(namesIn(folder.path), ['store.db', moved!.slice(folder.path.length + 1)]);
  assert.deepEqual(contentsOf(folder.file())['cooldowns'], cooldownsOf(before));
  assert.deepEqual(SqliteStore.migrate(folder.file(), 10), { from: 0, to: 10, steps: [...down.steps].reverse() });
  makeDatabase(folder.file(), allRows);
  const after = contentsOf(folder.file());
  for (const table of versions.flatMap(({ tables }) => tables)) {
    assert.deepEqual(rowsIn(after, table), rowsIn(before, table), table);
  }
  const store = folder.open();
  assert.equal(store.getUsage('minecraft', '2026-11-21'), 90_000);
  assert.ok((await store.verifyAudit()).ok);
});

test('what cannot be migrated is refused with a code and left as it was', (t) => {
  const folder = new TestFolder(t);
  makeStore(folder.file());
  makeDatabase(folder.file('other.db'), 'CREATE TABLE a (b);');
  writeFileSync(folder.file('empty.db'), '');
  makeStore(folder.file('newer.db'));
  makeDatabase(folder.file('newer.db'), newerSchema(1)); // also one that this version may write to
  const before = picture(folder.path);
  const refused: [name: string, version: number, code: string][] = [
    ['store.db', 11, 'ERR_STORE_MIGRATION'],
    ['nothing.db', 1, 'ERR_STORE_NOT_FOUND'],
    ['other.db', 1, 'ERR_STORE_NOT_A_STORE'],
    ['other.db', 0, 'ERR_STORE_NOT_A_STORE'],
    ['empty.db', 1, 'ERR_STORE_NOT_A_STORE'],
    ['newer.db', 1, 'ERR_STORE_SCHEMA_TOO_NEW'],
    ['newer.db', 0, 'ERR_STORE_SCHEMA_TOO_NEW'],
    ['store.db', -1, 'ERR_STORE_INVALID_ARGUMENT'],
    ['store.db', 0.5, 'ERR_STORE_INVALID_ARGUMENT'],
  ];
  for (const [name, version, code] of refused)
    assert.throws(
      () => SqliteStore.migrate(folder.file(name), version, { force: true }),
      { code },
      `${name} to ${version}`,
    );
  assert.deepEqual(picture(folder.path), before);
});

test('an open store stops at its next write when the schema was changed under it; reads go on', async (t) => {
  const folder = new TestFolder(t);
  makeStore(folder.file());
  const holder = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    report('open');
    await told();
    const codes = [
      () => store.addUsage('minecraft', '2026-11-21', 1),
      () => store.saveSnapshot({ timestamp: new Date() }),
    ].map(codeOf);
    report([...codes, store.isHealthy(), store.getUsage('minecraft', '2026-11-21')]);
    store.close();`);
  await holder.next();
  run(folder.file(), `const db = new DatabaseSync(path); db.exec('${addNotes}'); db.close();`);
  assert.deepEqual(await holder.ask('write'), ['ERR_STORE_MIGRATION', 'ERR_STORE_MIGRATION', false, 90_500]);
  await holder.end();
});

test('a store that is open while the file goes down to the four tables stops as well', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  makeStore(folder.file());
  const holder = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    report('open');
    await told();
    report(codeOf(() => store.addUsage('minecraft', '2026-11-21', 1)));
    store.close();`);
  await holder.next();
  SqliteStore.migrate(folder.file(), 0, { force: true });
  assert.equal(await holder.ask('write'), 'ERR_STORE_MIGRATION');
});

test('VACUUM and ANALYZE in another process stop nobody', async (t) => {
  const folder = new TestFolder(t);
  makeStore(folder.file());
  const holder = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    report('open');
    await told();
    report(store.addUsage('minecraft', '2026-11-21', 1));
    store.close();`);
  await holder.next();
  run(folder.file(), "const db = new DatabaseSync(path, { timeout: 5000 }); db.exec('VACUUM; ANALYZE;'); db.close();");
  assert.equal(await holder.ask('write'), 90_501);
});

test('a next version migrates a store when it opens it, and an old file all the way', (t) => {
  const folder = new TestFolder(t);
  const root = nextPackage(folder, addNotes, dropNotes);
  makeStore(folder.file());
  makeDatabase(folder.file('old.db'), fourTables);
  for (const name of ['store.db', 'old.db', 'new.db']) {
    assert.deepEqual(
      run(
        folder.file(name),
        `
      const store = SqliteStore.open(path);
      report(connect(store).prepare('SELECT version, description FROM schema_version').all());
      report((await store.verifyAudit()).ok);
      connect(store).prepare('SELECT text FROM notes').all();
      store.close();`,
        { root },
      ),
      [
        [
          [1, 'core'],
          [2, 'runs'],
          [3, 'facts'],
          [4, 'projects'],
          [5, 'cooldowns set at'],
          [6, 'derived days'],
          [7, 'older versions'],
          [8, 'limits'],
          [9, 'archive'],
          [10, 'fleet'],
          [11, 'next thing'],
        ],
        true,
      ],
    );
    SqliteStore.open(folder.file(name)).close(); // a step that only adds is written behind
  }
});

test('a step that came into the database by the WAL alone is in the database file before anything else', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const root = nextPackage(folder, `${addNotes} ${keepToItself}`, dropNotes);
  makeStore(folder.file());
  run(folder.file(), "const store = SqliteStore.open(path); store.addUsage('minecraft', '2026-11-22', 5); die();", {
    root,
  });
  rmSync(folder.file('store.db-shm'));
  const before = picture(folder.path);
  assert.throws(() => folder.open(), { code: 'ERR_STORE_SCHEMA_TOO_NEW' });
  assert.deepEqual(picture(folder.path), before);
});

test('a step down that loses nothing needs no force, and one that would is refused', (t) => {
  const folder = new TestFolder(t);
  const root = nextPackage(folder, addNotes, dropNotes);
  makeStore(folder.file());
  run(folder.file(), 'SqliteStore.open(path).close(); SqliteStore.migrate(path, 10);', { root });
  assert.equal(folder.open().getUsage('minecraft', '2026-11-21'), 90_500);
  makeStore(folder.file('full.db'));
  run(folder.file('full.db'), 'SqliteStore.open(path).close();', { root });
  makeDatabase(folder.file('full.db'), "UPDATE cooldowns SET reason = 'too long';");
  const before = picture(folder.path);
  assert.deepEqual(run(folder.file('full.db'), 'report(codeOf(() => SqliteStore.migrate(path, 10)));', { root }), [
    'ERR_STORE_MIGRATION',
  ]);
  assert.equal(picture(folder.path)['full.db'], before['full.db']);
});

const broken: [what: string, up: string][] = [
  ['is no SQL', `${addNotes} CREATE TALBE x (y);`],
  ['makes a table that is there', `${addNotes} CREATE TABLE usage (x);`],
  ['breaks a constraint', `${addNotes} INSERT INTO notes VALUES (NULL);`],
  ['ends the transaction', `${addNotes} ROLLBACK;`],
];

for (const [what, up] of broken) {
  test(`a step that ${what} leaves every file as it was`, (t) => {
    const folder = new TestFolder(t);
    const root = nextPackage(folder, up, dropNotes);
    makeStore(folder.file('data/store.db'));
    makeDatabase(folder.file('data/old.db'), fourTables);
    makeDatabase(folder.file('data/old-wal.db'), `PRAGMA journal_mode = WAL; ${fourTables}`);
    const before = picture(folder.file('data'));
    for (const name of ['store.db', 'old.db', 'old-wal.db']) {
      const codes = run(folder.file(`data/${name}`), `
        report(codeOf(() => SqliteStore.open(path)));
        report(codeOf(() => SqliteStore.open(path, { recover: true })));
        report(codeOf(() => SqliteStore.migrate(path, 11)));`, { root });
      assert.deepEqual(codes, Array(3).fill('ERR_STORE_MIGRATION'));
    }
    assert.deepEqual(picture(folder.file('data')), before);
  });
}

test('a failing step beside a -wal loses no row of it', (t) => {
  const folder = new TestFolder(t);
  makeAndDie(
    folder.file(),
    `PRAGMA journal_mode = WAL; ${fourTables} INSERT INTO audit_log VALUES (-3, '2026-11-20T09:00:00Z', 'a', 'null');`,
  );
  assert.throws(() => folder.open(), { code: 'ERR_STORE_MIGRATION' });
  makeDatabase(folder.file(), 'DELETE FROM audit_log WHERE id = -3');
  assert.equal(folder.open().getUsage('minecraft', '2026-11-20'), 90_000);
});

test('a row to adopt without a value that it needs is refused by SQLite, which names the column', (t) => {
  const folder = new TestFolder(t);
  const loose = fourTables.replace('event_data TEXT NOT NULL', 'event_data TEXT');
  makeDatabase(folder.file(), `${loose} UPDATE audit_log SET event_data = NULL WHERE id = 3;`);
  assert.throws(() => folder.open(), { code: 'ERR_STORE_MIGRATION', message: /audit_log\.event_data/ });
  makeDatabase(folder.file(), "UPDATE audit_log SET event_data = 'null' WHERE id = 3");
  assert.equal(folder.open().getUsage('minecraft', '2026-11-20'), 90_000);
});
