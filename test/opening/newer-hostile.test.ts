// Files that claim to be of a newer version, by which nobody gets past what is asked of every file: they are refused,
// or do no harm. `recover` moves none of them aside.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore, type StoreError } from '../../lib/index.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { makeAndDie, makeDatabase, newerSchema } from '../support/foreign.ts';

const day = '2026-11-21';
const [own, next] = [schemaVersion, schemaVersion + 1];

/** A closed store with some usage, changed by a stranger. */
function changed(t: TestContext, sql: string): TestFolder {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', day, 60_000);
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  makeDatabase(folder.file(), sql);
  return folder;
}

/** Replaces a table, its rows included, by the same with another column list. */
const remade = (table: string, columns: string, copied: string): string =>
  `ALTER TABLE ${table} RENAME TO old; CREATE TABLE ${table} (${columns});
   INSERT INTO ${table} (${copied}) SELECT ${copied} FROM old; DROP TABLE old;`;
const usageColumns = 'entry_id TEXT NOT NULL, day TEXT NOT NULL, duration_secs INTEGER NOT NULL';
const usageKey = 'PRIMARY KEY (entry_id, day)';
const evil = 'UPDATE usage SET duration_secs = 0;';

const refused: [what: string, code: string, sql: string][] = [
  ['a planted trigger on audit_log', 'ERR_STORE_NOT_A_STORE', `${newerSchema(1)}
    CREATE TRIGGER planted AFTER INSERT ON audit_log BEGIN ${evil} END;`],
  ['a planted trigger on audit_log, and writable_from of this version', 'ERR_STORE_NOT_A_STORE',
    `${newerSchema(1, own)} CREATE TRIGGER planted BEFORE DELETE ON usage BEGIN ${evil} END;`],
  ['a trigger of ours that does something else', 'ERR_STORE_NOT_A_STORE', `${newerSchema(1)}
    DROP TRIGGER audit_log_no_update;
    CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN SELECT 1; END;`],
  ['a planted trigger that runs when a row of ours goes', 'ERR_STORE_NOT_A_STORE', `${newerSchema(1)}
    CREATE TABLE planted (run_id TEXT REFERENCES runs (id) ON DELETE CASCADE);
    CREATE TRIGGER on_planted AFTER DELETE ON planted BEGIN ${evil} END;`],
  ["a view under a table's name", 'ERR_STORE_NOT_A_STORE', `${newerSchema(1)} DROP TABLE cooldowns;
    CREATE VIEW cooldowns AS SELECT 'a' AS entry_id, '' AS until, NULL AS set_at, NULL AS clock_behind_at;`],
  ["a view under a table's name, to be read alone", 'ERR_STORE_NOT_A_STORE', `${newerSchema(1, next)}
    ALTER TABLE usage RENAME TO kept; CREATE VIEW usage AS SELECT * FROM kept;`],
  ["a virtual table under a table's name", 'ERR_STORE_NOT_A_STORE', `${newerSchema(1)} DROP TABLE facts;
    CREATE VIRTUAL TABLE facts USING fts5 (id, target_id);`],
  ['a table that is gone', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)} DROP TABLE cooldowns;`],
  ['a column that is gone', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)}
    ${remade('usage', `${usageColumns}, ${usageKey}`, 'entry_id, day, duration_secs')}`],
  ['no store_meta', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)} DROP TABLE store_meta;`],
  ['no row in store_meta', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)} DELETE FROM store_meta;`],
  ['no columns that say who may use it', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)}
    ALTER TABLE store_meta DROP COLUMN writable_from;`],
  ...([
    ['a text', "'all'", 1], ['negative', -1, 1], ['zero', 0, 0], ['larger than the version', next + 1, 1],
    ['a fraction', 1.5, 1], ['beyond what JavaScript counts', '9223372036854775807', 1],
    ['older than readable_from', 1, 2],
  ] as const).map(([what, writers, readers]): [string, string, string] => [`writable_from that is ${what}`,
    'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)} UPDATE store_meta SET writable_from = ${writers},
      readable_from = ${readers};`]),
  ['readable_from that is a text', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)}
    UPDATE store_meta SET readable_from = 'all';`],
  ['readable_from that is a fraction', 'ERR_STORE_SCHEMA_TOO_NEW', `${newerSchema(1)}
    UPDATE store_meta SET readable_from = 1.5, writable_from = 2;`],
  ['a header of a newer version and no records', 'ERR_STORE_CORRUPT', `${newerSchema(1)} DROP TABLE schema_version;`],
];

for (const [what, code, sql] of refused) {
  test(`a file that claims to be newer, with ${what}, is refused and stays where it is`, (t) => {
    const folder = changed(t, sql);
    const [before, names] = [readFileSync(folder.file()), namesIn(folder.path)];
    assert.throws(() => folder.open(), { code });
    assert.throws(() => folder.open({ recover: true }), { code });
    assert.throws(() => SqliteStore.openReadOnly(folder.file()), { code });
    assert.deepEqual([readFileSync(folder.file()), namesIn(folder.path)], [before, names]);
  });
}

test('with writable_from of 1 and all of ours as it was made a file does no harm: it is written to', (t) => {
  const folder = changed(t, `${newerSchema(1)} CREATE TABLE planted (a);
    CREATE TRIGGER on_planted AFTER INSERT ON planted BEGIN ${evil} END; CREATE VIEW totals AS SELECT * FROM usage;`);
  const store = folder.open({ recover: true });
  assert.deepEqual([store.isReadOnly, store.recovery], [false, undefined]);
  assert.equal(store.addUsage('minecraft', day, 1_000), 61_000);
});

const onlyRead: [what: string, sql: string][] = [
  ['a trigger of ours is missing', 'DROP TRIGGER audit_log_no_update'],
  ['an index of ours is missing', 'DROP INDEX usage_day'],
  ['a column of ours has another default', remade('usage', `${usageColumns}, carry_ms INTEGER NOT NULL DEFAULT 7,
    ${usageKey}`, 'entry_id, day, duration_secs, carry_ms') + 'CREATE INDEX usage_day ON usage (day)'],
  ['a column needs a value', `DELETE FROM usage; ${remade('usage', `${usageColumns}, carry_ms INTEGER NOT NULL DEFAULT 0
    CHECK (carry_ms < 1000), device TEXT NOT NULL, ${usageKey}`, 'entry_id, day, duration_secs, carry_ms')}
    CREATE INDEX usage_day ON usage (day)`],
  ['a column needs a value that its default is not', `DELETE FROM usage; ${remade('usage', `${usageColumns}, carry_ms
    INTEGER NOT NULL DEFAULT 0, device TEXT NOT NULL ON CONFLICT IGNORE DEFAULT NULL, ${usageKey}`,
    'entry_id, day, duration_secs, carry_ms')} CREATE INDEX usage_day ON usage (day)`],
  ['a unique index stands on a table of ours', 'CREATE UNIQUE INDEX once ON usage (duration_secs)'],
];

for (const [what, sql] of onlyRead) {
  test(`a file that claims to be newer is only read where ${what}`, (t) => {
    const folder = changed(t, `${newerSchema(1)} ${sql};`);
    const before = readFileSync(folder.file());
    const store = folder.open({ recover: true });
    assert.equal(store.isReadOnly, true);
    assert.ok(store.getUsage('minecraft', day) >= 0);
    assert.throws(() => store.addUsage('minecraft', day, 1), { code: 'ERR_STORE_SCHEMA_TOO_NEW' });
    store.close();
    assert.deepEqual(readFileSync(folder.file()), before);
  });
}

test('a newer version that was killed before its schema was in the database file is seen all the same', (t) => {
  const usage = `INSERT INTO usage (entry_id, day, duration_secs) VALUES ('theirs', '${day}', 7);`;
  for (const [sql, opens] of [
    [newerSchema(1), 'to write'], [newerSchema(1, next), 'to read'], [newerSchema(next), ''],
  ]) {
    const folder = changed(t, '');
    makeAndDie(folder.file(), `${sql} ${usage}`);
    rmSync(folder.file('store.db-shm')); // then only the database file is looked at first
    const before = picture(folder.path);
    if (opens === '') assert.throws(() => folder.open({ recover: true }), { code: 'ERR_STORE_SCHEMA_TOO_NEW' });
    else {
      const store = folder.open({ recover: true });
      assert.equal(store.isReadOnly, opens === 'to read');
      assert.equal(store.getUsage('theirs', day), 7_000);
      store.close();
    }
    if (opens !== 'to write') assert.deepEqual(picture(folder.path), before);
    const db = folder.raw();
    assert.equal(db.prepare("SELECT duration_secs FROM usage WHERE entry_id = 'theirs'").get()?.['duration_secs'], 7);
    assert.equal(db.prepare('PRAGMA user_version').get()?.['user_version'], next);
  }
});

test('a newer version that was killed before its way down was in the database file is written to all the same', (t) => {
  for (const sql of [newerSchema(next), newerSchema(1, next)]) {
    const folder = changed(t, sql);
    makeAndDie(folder.file(), `BEGIN; DELETE FROM schema_version WHERE version = ${next};
      UPDATE store_meta SET writable_from = 6, readable_from = 6; PRAGMA user_version = ${own}; COMMIT;`);
    rmSync(folder.file('store.db-shm'));
    const store = folder.open();
    assert.equal(store.addUsage('minecraft', day, 1_000), 61_000);
    assert.deepEqual(store.health().findings, []);
  }
});

test('a newer version whose schema is in the -wal alone is not moved aside where its database is damaged', (t) => {
  const folder = changed(t, '');
  makeAndDie(folder.file(), newerSchema(next));
  const bytes = readFileSync(folder.file());
  writeFileSync(folder.file(), Buffer.concat([bytes.subarray(0, 4_096), Buffer.alloc(bytes.length - 4_096, 7)]));
  for (const suffix of ['', '-shm']) {
    if (suffix !== '') rmSync(folder.file(`store.db${suffix}`));
    const before = picture(folder.path);
    assert.throws(() => folder.open({ recover: true }), (error: StoreError) => /TOO_NEW|CORRUPT/.test(error.code));
    assert.deepEqual(picture(folder.path), before);
  }
});

test("fields of a snapshot file that no save could write make it damaged, and the row's state counts", (t) => {
  for (const text of [`${'['.repeat(2_000)}${']'.repeat(2_000)}`, `"${'x'.repeat(2 ** 20)}"`]) {
    const folder = changed(t, '');
    const path = folder.file('store.snapshot.json');
    const { content } = JSON.parse(readFileSync(path, 'utf8'));
    const changedText = JSON.stringify(content).replace('{', () => `{"planted":${text},`);
    const checksum = hash('sha256', changedText);
    writeFileSync(path, `{"format":"shepherd-store snapshot 1","checksum":"${checksum}","content":${changedText}}\n`);
    const store = folder.open();
    assert.deepEqual(store.health().findings.map(({ kind }) => kind), ['snapshot-file-damaged']);
    assert.ok(store.loadSnapshot());
    store.saveSnapshot({ timestamp: new Date() });
    assert.deepEqual(store.health().findings, []);
  }
});

test('a planted trigger in a file that is only read never runs', (t) => {
  const folder = changed(t, `${newerSchema(1, next)} CREATE TRIGGER planted AFTER INSERT ON usage BEGIN ${evil} END;`);
  const store = folder.open();
  assert.throws(() => store.addUsage('minecraft', day, 1), { code: 'ERR_STORE_SCHEMA_TOO_NEW' });
  assert.equal(store.getUsage('minecraft', day), 60_000);
});

test('a header and records that disagree: the higher sound one counts, and nothing is moved aside', (t) => {
  const record = (version: number): string =>
    `INSERT INTO schema_version VALUES (${version}, 'x', '2030-01-01T00:00:00Z');`;
  for (const [sql, version] of [
    [`PRAGMA user_version = ${next}`, next], // as a flipped bit in the header would say it
    [record(next), next], // the header is this version's
    [`PRAGMA user_version = ${next}; DELETE FROM schema_version WHERE version = 2`, next],
    [`PRAGMA user_version = ${next}; ${record(900)}`, next],
    ['PRAGMA user_version = 3', own], // as an older header would say it
  ] as const) {
    const folder = changed(t, sql);
    const store = folder.open({ recover: true });
    assert.deepEqual([store.recovery, store.isReadOnly], [undefined, false], sql);
    assert.equal(store.addUsage('minecraft', day, 1_000), 61_000);
    const newer = store.health().findings.find(({ kind }) => kind === 'schema-newer');
    assert.equal(newer !== undefined, version > own, sql);
    if (newer) assert.ok(newer.message.startsWith(`schema version ${version},`), newer.message);
    assert.equal(store.health().schemaVersion, version, sql);
    store.close();
    const left = namesIn(folder.path).filter((name) => name.includes('damaged'));
    assert.deepEqual(left, []);
  }
  const folder = changed(t, record(900));
  assert.throws(() => folder.open(), { code: 'ERR_STORE_CORRUPT' }); // the header says that it is not newer
});
