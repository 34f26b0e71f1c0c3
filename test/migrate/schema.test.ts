// The schema of new files and of adopted ones, and what adoption makes of every row.
import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { identify, schemaVersion } from '../../lib/core/schema.ts';
import { migrations } from '../../lib/core/sql-files.ts';
import { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeAndDie, makeDatabase } from '../support/foreign.ts';
import { Companion } from '../support/process.ts';
import { allRows } from '../support/rows.ts';

/**
 * Everything that PRAGMAs say about a schema, and which versions may use the file; the texts of CREATE differ where
 * ALTER was at work.
 */
function describeSchema(path: string): object {
  using db = new DatabaseSync(path);
  const names = db
    .prepare("SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY type, name")
    .all();
  const of = (pragma: string): unknown =>
    Object.fromEntries(
      db
        .prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'index') ORDER BY name")
        .all()
        .map(({ name }) => [name, db.prepare(`SELECT * FROM ${pragma}(?)`).all(name as string)]),
    );
  const triggers = db.prepare("SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name").all();
  const settings = ['application_id', 'journal_mode', 'page_size', 'user_version', 'encoding'].map((name) =>
    db.prepare(`PRAGMA ${name}`).get(),
  );
  const partial = db
    .prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    .all();
  return {
    users: db.prepare('SELECT writable_from, readable_from FROM store_meta').all(),
    names,
    triggers,
    partial,
    settings,
    list: db
      .prepare("SELECT name, type, ncol, wr, strict FROM pragma_table_list WHERE schema = 'main' ORDER BY name")
      .all(),
    columns: of('pragma_table_xinfo'),
    indexes: of('pragma_index_list'),
    indexed: of('pragma_index_xinfo'),
    keys: of('pragma_foreign_key_list'),
  };
}

/** What the constraints and triggers of every file must refuse. */
const forbidden = [
  "INSERT INTO schema_version VALUES (0, 'x', 'x')",
  "INSERT INTO schema_version VALUES (9, NULL, 'x')",
  'INSERT INTO store_meta (id, uuid, created_at) VALUES (2, hex(zeroblob(18)), 1)',
  "UPDATE store_meta SET uuid = 'short'",
  'UPDATE store_meta SET has_ledger = 2',
  'UPDATE store_meta SET created_at = NULL',
  'UPDATE store_meta SET writable_from = NULL',
  'UPDATE store_meta SET readable_from = NULL',
  'UPDATE store_meta SET limits_id = NULL',
  'UPDATE audit_log SET timestamp = timestamp',
  'DELETE FROM audit_log',
  "INSERT OR REPLACE INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (1, 'x', 'x', 'x', 'x')",
  "INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (90, NULL, 'x', 'x', 'x')",
  "INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (90, 'x', 'x', 'x', NULL)",
  "INSERT INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash) VALUES (90, 'x', 'x', 'x', "
    + "'no JSON', 'x')",
  `INSERT INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash) VALUES (90, 'x', 'x', 'x', `
    + `'{"eventId":"e"}', 'x'), (91, 'x', 'x', 'x', '{"eventId":"e"}', 'x')`,
  "INSERT INTO usage VALUES ('a', 'b', NULL, 0)",
  "INSERT INTO usage VALUES ('a', 'b', 1, 1000)",
  "INSERT INTO usage VALUES ('a', 'b', 1, -1)",
  "INSERT INTO usage VALUES ('a', 'b', 1, 0.5)",
  "INSERT INTO usage VALUES ('a', 'b', 1, 0), ('a', 'b', 1, 0)",
  "INSERT INTO cooldowns (entry_id, until) VALUES ('a', NULL)",
  "INSERT INTO cooldowns (entry_id, until) VALUES ('a', 'b'), ('a', 'c')",
  "INSERT INTO snapshot VALUES (2, 'x', 1)",
  "INSERT INTO snapshot VALUES (1, NULL, 1)",
  'UPDATE snapshot SET generation = -1',
  'UPDATE snapshot SET generation = 0.5',
  "INSERT INTO overrides (subject, day) VALUES ('a', 'b'), ('a', 'b')",
  "INSERT INTO balances VALUES ('a', 1), ('a', 1)",
  ...refusedUpdates({
    overrides: {
      subject: ['NULL', "'minecraft'"], day: ['NULL'], granted_ms: ['NULL', "'x'", '0.5', '9007199254740992',
      '-9007199254740992'], availability: ["'open'", '1'],
    },
    balances: { subject: ['NULL', "'minecraft'"], balance_ms: ['NULL', "'x'", '0.5', '-1', '9007199254740992'] },
    outboxes: { name: ['NULL', "'centre'"], id: ['NULL', "'x'", '0.5', '-1'], hash: ['NULL'], shared_id: ["'x'"] },
    former_identities: { uuid: ['NULL', "'x'"], until_id: ['NULL', "'x'", '0.5', '0'] },
    runs: {
      position: ["'x'"], id: ['NULL', "'r1'"], plan_path: ['NULL'], status: ['NULL', "'done'"], metadata: ['NULL',
      "'{'"], created_at: ['NULL'], updated_at: ['NULL'],
    },
    plan_units: {
      position: ["'x'"], id: ['NULL', "'u1'"], run_id: ['NULL', "'none'"], resource_type: ['NULL'],
      resource_name: ['NULL'], action: ['NULL', "'destroy'"], status: ['NULL', "'cancelled'"],
      dependencies: ['NULL', "'['", "'{}'"], desired_state: ['NULL', "'{'"], actual_state: ["'{'"], diff: ["'{'"],
      retries: ['NULL', '-1', "'many'"], created_at: ['NULL'], updated_at: ['NULL'],
    },
    run_events: { id: ["'x'"], run_id: ["'none'"], plan_unit_id: ["'none'"], level: ['NULL', "'fatal'"],
      message: ['NULL'], details: ["'{'"], timestamp: ['NULL'] },
    resource_state: {
      id: ['NULL', "'s1'"], resource_type: ['NULL'], resource_name: ['NULL', "'apache2'"], state: ['NULL', "'{'"],
      hash: ['NULL'], last_run_id: ['NULL', "'none'"], last_applied: ['NULL'],
      created_at: ['NULL'], updated_at: ['NULL'],
    },
    facts: {
      id: ['NULL', "'f1'"], target_id: ['NULL'], namespace: ['NULL'], key: ['NULL'], value: ['NULL', "'{'"],
      ttl_seconds: ['NULL', '-1', '0', '60', "'many'"],
      expires_at: ['NULL', "'2026-11-21T09:01:00.000Z'"], created_at: ['NULL'], updated_at: ['NULL'],
    },
    projects: { path: ['NULL', "'/a'", "'/c'"], run_count: ['NULL', '-1', "'many'"] },
    task_history: { project_path: ['NULL', "'/c'"], task_type: ['NULL', "'lint'"], last_run_at: ['NULL'] },
    assigned_tasks: { task_id: ['NULL', "'t1'"], project_path: ['NULL', "'/c'"], task_type: ['NULL'],
      assigned_at: ['NULL'] },
    run_records: {
      position: ["'x'"], id: ['NULL', "'n1'"], started_at: ['NULL'], projects: ['NULL', "'['", "'{}'"],
      tasks: ['NULL', "'['", "'{}'"], tokens_used: ['NULL', '-1', "'many'"], status: ['NULL', "'done'"],
    },
    project_snapshots: { position: ["'x'"], id: ['NULL', "'p1'"], project_path: ['NULL', "'/c'"], label: ['NULL'],
      captured_at: ['NULL'], state: ['NULL', "'{'"], value: ["'{'"] },
  }),
  // The one form in which instants can be compared as texts.
  ...["'soon'", "''", "'2026-11-21'", "'2026-11-21T09:01:00Z'", "'2026-11-21T09:01:00.000+00:00'",
  "'2026-02-30T09:01:00.000Z'", '5'].map((text) => `UPDATE facts SET expires_at = ${text} WHERE ttl_seconds = 60`),
  "UPDATE facts SET namespace = 'os', key = 'family'",
  'DELETE FROM runs', // resource_state names them
  'DELETE FROM projects',
];

/** An UPDATE of all rows for each value that a column refuses. */
function refusedUpdates(tables: Record<string, Record<string, string[]>>): string[] {
  return Object.entries(tables).flatMap(([table, columns]) =>
    Object.entries(columns).flatMap(([column, values]) =>
      values.map((value) => `UPDATE ${table} SET ${column} = ${value}`),
    ),
  );
}

function refusals(path: string): string[] {
  using db = new DatabaseSync(path);
  db.exec(`INSERT INTO snapshot (id, data) VALUES (1, 'x') ON CONFLICT DO NOTHING; ${allRows}`);
  return forbidden.filter((sql) => {
    db.exec('BEGIN');
    try {
      db.exec(sql);
      return false;
    } catch (error) {
      // A constraint (19), a key that is no number (20), or what json_extract says: a mistake in this SQL is no
      // refusal.
      const { errcode, message } = error as { errcode: number; message: string };
      return [19, 20].includes(errcode % 256) || message === 'malformed JSON';
    } finally {
      db.exec('ROLLBACK');
    }
  });
}

test('a new file, an adopted one and one that went down and up again have the same schema and refuse the same', (t) => {
  const folder = new TestFolder(t);
  const [fresh, adopted, again] = ['new.db', 'adopted.db', 'again.db'].map((name) => folder.file(name)) as [
    string,
    string,
    string,
  ];
  makeDatabase(adopted, fourTables);
  for (const path of [fresh, adopted, again]) {
    using store = SqliteStore.open(path);
    store.appendAudit({ type: 'service_started' });
  }
  SqliteStore.migrate(again, 0, { force: true });
  assert.equal(identifyFile(again), 'four-tables');
  SqliteStore.migrate(again, schemaVersion);
  const expected = describeSchema(fresh);
  assert.deepEqual(describeSchema(adopted), expected);
  assert.deepEqual(describeSchema(again), expected);
  for (const path of [fresh, adopted, again]) assert.deepEqual(refusals(path), forbidden);
});

/** Drops every trigger and index that stands in the file by itself. */
function dropObjects(path: string): void {
  using db = new DatabaseSync(path);
  for (const { type, name } of db
    .prepare("SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'index') AND sql IS NOT NULL")
    .all())
    db.exec(`DROP ${String(type)} ${String(name)}`);
}

test('triggers and indexes that somebody has dropped are made anew when the store is opened', (t) => {
  const folder = new TestFolder(t);
  const [fresh, dropped] = [folder.file('fresh.db'), folder.file()];
  for (const path of [fresh, dropped]) {
    using store = SqliteStore.open(path);
    store.appendAudit({ type: 'service_started' }, { eventId: 'e' });
  }
  dropObjects(dropped);
  folder.open().close();
  assert.deepEqual(describeSchema(dropped), describeSchema(fresh));
  assert.deepEqual(refusals(dropped), forbidden);
});

test('where two events have one event id by now, a store without its unique index is refused, and left as it '
  + 'was', (t) => {
  const folder = new TestFolder(t, { checked: false });
  using store = SqliteStore.open(folder.file());
  store.appendAudits([
    { event: { type: 'service_started' }, attributes: { eventId: 'e' } },
    { event: { type: 'service_stopped' } },
  ]);
  store.close();
  dropObjects(folder.file());
  makeDatabase(folder.file(), 'UPDATE audit_log SET event_meta = (SELECT event_meta FROM audit_log WHERE id = 1)');
  const before = picture(folder.path);
  assert.throws(() => SqliteStore.open(folder.file()), { code: 'ERR_STORE_CORRUPT' });
  assert.deepEqual(picture(folder.path), before);
});

test('every column of a module\'s table that must have a value is among what is refused without one', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  using db = new DatabaseSync(folder.file());
  const columns = db.prepare(`SELECT t.name || ' SET ' || c.name AS target FROM pragma_table_list AS t, `
    + `pragma_table_info(t.name) AS c WHERE t.schema = 'main' AND t.strict AND c."notnull"`).all();
  assert.ok(columns.length > 50);
  assert.deepEqual(
    columns.map(({ target }) => `UPDATE ${String(target)} = NULL`).filter((sql) => !forbidden.includes(sql)),
    [],
  );
});

function identifyFile(path: string): string {
  using db = new DatabaseSync(path, { readOnly: true });
  return identify(db).kind;
}

test('the version records of a new and of an adopted file name every step', (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file('adopted.db'), fourTables);
  for (const name of ['store.db', 'adopted.db']) {
    using store = SqliteStore.open(folder.file(name), { clock: () => new Date('2026-11-21T12:00:00Z') });
    assert.deepEqual(
      connect(store).prepare('SELECT * FROM schema_version').all(),
      migrations.map(({ version, description }) => [version, description, '2026-11-21T12:00:00.000Z']),
    );
    assert.equal(store.health().schemaVersion, schemaVersion);
  }
});

const leftovers: [what: string, make: (path: string) => void][] = [
  ['in delete-journal mode', (path) => makeDatabase(path, fourTables)],
  ['in WAL mode', (path) => makeDatabase(path, `PRAGMA journal_mode = WAL; ${fourTables}`)],
  ['that is all in its -wal', (path) => makeAndDie(path, `PRAGMA journal_mode = WAL; ${fourTables}`)],
  [
    'with a -wal and no -shm',
    (path) => {
      makeAndDie(path, `PRAGMA journal_mode = WAL; ${fourTables}`);
      rmSync(`${path}-shm`);
    },
  ],
  [
    'with a hot journal',
    (path) => {
      makeDatabase(path, fourTables);
      makeAndDie(
        path,
        'PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; DELETE FROM usage; DELETE FROM cooldowns; CREATE '
          + 'TABLE noise AS SELECT * FROM audit_log; CREATE TABLE more AS SELECT * FROM noise;',
      );
      assert.ok(statSync(`${path}-journal`).size > 512);
    },
  ],
  [
    'whose columns name no types',
    (path) => makeDatabase(path, fourTables.replace(/\b(TEXT|INTEGER)( NOT NULL)/g, '$2')),
  ],
];

for (const [what, make] of leftovers) {
  test(`a file of the four tables ${what} is adopted with every row`, async (t) => {
    const folder = new TestFolder(t);
    make(folder.file());
    const store = folder.open({ clock: () => new Date('2026-11-21T12:00:00Z') });
    assert.deepEqual(
      [...store.iterateAudits()],
      [
        { id: 1, timestamp: new Date('2026-11-20T08:00:00Z'), event: { type: 'service_started' } },
        {
          id: 3,
          timestamp: new Date('2026-11-20T09:05:00.123Z'),
          event: { type: 'session_started', session_id: 's1', entry_id: 'minecraft' },
        },
        {
          id: 4,
          timestamp: new Date('2026-11-21T12:00:00Z'),
          event: { type: 'store_adopted', upToId: 3, gaps: [[2, 2]] },
        },
      ],
    );
    assert.deepEqual(store.getUsageForDay('2026-11-20'), [
      { entryId: 'minecraft', durationMs: 90_000 },
      { entryId: 'tuxpaint', durationMs: 30_000 },
    ]);
    assert.deepEqual(store.listCooldowns(), [{ entryId: 'minecraft', until: new Date('2026-11-20T10:00:00Z') }]);
    assert.deepEqual(store.loadSnapshot(), {
      timestamp: new Date('2026-11-20T09:30:00Z'),
      activeSession: {
        sessionId: 's1',
        entryId: 'minecraft',
        startedAt: new Date('2026-11-20T09:05:00Z'),
        warningsIssued: [300, 60],
      },
    });
    assert.deepEqual(await store.verifyAudit(), {
      ok: true,
      checked: 3,
      head: store.auditHead(),
      findings: [],
      more: 0,
    });
    assert.equal(store.recovery, undefined);
    assert.equal(store.addUsage('minecraft', '2026-11-20', 500), 90_500);
  });
}

test('a file is adopted once', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), fourTables);
  for (let round = 0; round < 3; round++) {
    const store = folder.open();
    assert.equal(store.getRecentAudits(9, { type: 'store_adopted' }).length, 1);
    store.close();
  }
  const before = picture(folder.path);
  SqliteStore.migrate(folder.file(), schemaVersion);
  assert.deepEqual(picture(folder.path), before);
});

test('ten processes that open a file of the four tables at once adopt it once', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), fourTables);
  const code = "report('ready'); await told(); const store = SqliteStore.open(path); "
    + "report(store.getRecentAudits(9, { type: 'store_adopted' }).length); store.close();";
  const all = Array.from({ length: 10 }, () => new Companion(t, folder.file(), code));
  for (const each of all) await each.next();
  for (const each of all) each.tell('go');
  assert.deepEqual(await Promise.all(all.map((each) => each.next())), Array.from({ length: 10 }, () => 1));
  for (const each of all) await each.end();
});

test('values that cannot be read are adopted as they are, and stay errors where they are read', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), `${fourTables}
    INSERT INTO audit_log VALUES (5, 'yesterday', 'a', '{}'), (6, '2026-11-20T09:00:00Z', 'a', 'no JSON'), (7,
    x'00ff', 'a', '{}'), (8, '2026-11-20T09:00:00Z', x'41', '{}'),
      (9, '2026-11-20T09:00:00Z', 'a', x'00ff'), (10, 20261120, 7, 1.5e300);
    INSERT INTO usage VALUES ('a', '2026-11-21', 'many'), ('b', '2026-11-21', -5), ('c', '2026-11-21', 1e300),
    ('d', '2026-11-21', 9223372036854775807), ('e', '2026-02-30', 5);
    INSERT INTO cooldowns VALUES ('a', 'tomorrow'), ('b', '');
    UPDATE snapshot SET data = 'broken';`);
  const raw = (sql: string): unknown => {
    using db = new DatabaseSync(folder.file(), { readOnly: true });
    return db.prepare(sql).all();
  };
  const queries = [
    'SELECT id, hex(timestamp), hex(event_type), hex(event_data), typeof(timestamp), typeof(event_type), '
      + 'typeof(event_data) FROM audit_log WHERE id < 11 ORDER BY id',
    'SELECT entry_id, day, typeof(duration_secs), CAST(duration_secs AS TEXT) FROM usage ORDER BY 1, 2',
    'SELECT entry_id, until FROM cooldowns ORDER BY 1',
    'SELECT id, data FROM snapshot',
  ];
  const before = queries.map(raw);
  const store = folder.open();
  assert.deepEqual(await store.verifyAudit().then(({ findings }) => findings), []);
  for (const entryId of ['a', 'b', 'c', 'd'])
    assert.throws(() => store.getUsage(entryId, '2026-11-21'), { code: 'ERR_STORE_CORRUPT' }, entryId);
  for (const entryId of ['a', 'b']) assert.throws(() => store.getCooldownUntil(entryId), { code: 'ERR_STORE_CORRUPT' });
  for (const id of [5, 6, 7, 9, 10])
    assert.throws(() => [...store.iterateAudits({ fromId: id, toId: id })], { code: 'ERR_STORE_CORRUPT' }, `row ${id}`);
  assert.throws(() => store.loadSnapshot(), { code: 'ERR_STORE_CORRUPT' });
  store.close();
  assert.deepEqual(queries.map(raw), before);
});

test('an empty file of the four tables is adopted', (t) => {
  const folder = new TestFolder(t);
  makeDatabase(
    folder.file(),
    `${fourTables} DELETE FROM audit_log; DELETE FROM usage; DELETE FROM cooldowns; DELETE FROM snapshot;`,
  );
  const store = folder.open();
  assert.deepEqual(
    store.getRecentAudits(5).map(({ id, event }) => ({ id, event })),
    [{ id: 1, event: { type: 'store_adopted', upToId: 0, gaps: [] } }],
  );
  assert.equal(store.loadSnapshot(), undefined);
});

test('more gaps than an event can tell are counted', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), `${fourTables} INSERT INTO audit_log SELECT 10 + i * 2, '2026-11-20T09:00:00Z', 'a', `
    + `'null' FROM (WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1500) SELECT i FROM n);`);
  const store = folder.open();
  const { event } = store.getRecentAudits(1)[0]!;
  assert.ok(event.type === 'store_adopted');
  assert.deepEqual([event.gaps.length, event.moreGaps], [1_000, 501]);
  assert.ok((await store.verifyAudit()).ok);
});

// Rows that cannot be carried over: whoever opens gets the error, and the file is as it was.
const unadoptable: [what: string, sql: string][] = [
  ['an id below 1', "INSERT INTO audit_log VALUES (-3, '2026-11-20T09:00:00Z', 'a', 'null')"],
  ['an id of 0', "INSERT INTO audit_log VALUES (0, '2026-11-20T09:00:00Z', 'a', 'null')"],
  ['an id beyond 2^53', "INSERT INTO audit_log VALUES (9007199254740993, '2026-11-20T09:00:00Z', 'a', 'null')"],
  [
    'an id of 2^53 - 1, behind which there is no place for an event',
    "INSERT INTO audit_log VALUES (9007199254740991, '2026-11-20T09:00:00Z', 'a', 'null')",
  ],
  [
    'two rows with one id',
    "DROP TABLE audit_log; CREATE TABLE audit_log (id, timestamp, event_type, event_data); INSERT INTO audit_log "
      + "VALUES (1, 'a', 'a', 'b'), (1, 'a', 'a', 'b')",
  ],
  [
    'a row without id',
    "DROP TABLE audit_log; CREATE TABLE audit_log (id, timestamp, event_type, event_data); INSERT INTO audit_log "
      + "VALUES (1, 'a', 'a', 'b'), (NULL, 'a', 'a', 'b')",
  ],
  [
    'an id that is a text',
    "DROP TABLE audit_log; CREATE TABLE audit_log (id, timestamp, event_type, event_data); INSERT INTO audit_log "
      + "VALUES (1, 'a', 'a', 'b'), ('x', 'a', 'a', 'b')",
  ],
  [
    'an id that is a fraction',
    "DROP TABLE audit_log; CREATE TABLE audit_log (id, timestamp, event_type, event_data); INSERT INTO audit_log "
      + "VALUES (1, 'a', 'a', 'b'), (1.5, 'a', 'a', 'b'), (2, 'a', 'a', 'b')",
  ],
  [
    'a missing time',
    "DROP TABLE audit_log; CREATE TABLE audit_log (id INTEGER PRIMARY KEY, timestamp TEXT, event_type TEXT, "
      + "event_data TEXT); INSERT INTO audit_log VALUES (1, NULL, 'a', 'b')",
  ],
  [
    'two totals for one entry and day',
    "DROP TABLE usage; CREATE TABLE usage (entry_id TEXT, day TEXT, duration_secs INTEGER); INSERT INTO usage "
      + "VALUES ('a', 'b', 1), ('a', 'b', 2)",
  ],
];

for (const mode of ['DELETE', 'WAL']) {
  for (const [what, sql] of unadoptable) {
    test(`${what} keeps a file in ${mode} mode from being adopted, and it stays as it was`, (t) => {
      const folder = new TestFolder(t, { checked: false });
      makeDatabase(folder.file(), `PRAGMA journal_mode = ${mode}; ${fourTables} ${sql};`);
      const before = picture(folder.path);
      assert.throws(() => folder.open(), { code: 'ERR_STORE_MIGRATION' });
      assert.deepEqual(picture(folder.path), before);
      assert.throws(() => folder.open({ recover: true }), { code: 'ERR_STORE_MIGRATION' });
      assert.throws(() => SqliteStore.migrate(folder.file(), 1), { code: 'ERR_STORE_MIGRATION' });
      assert.deepEqual(picture(folder.path), before);
    });
  }
}
