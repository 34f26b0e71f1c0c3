// A newer version that is at work on a store at the same time as this one.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { ahead, type Newer } from '../fixtures/newer/make.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase } from '../support/foreign.ts';
import { writtenBy } from '../support/newer.ts';

const day = '2026-11-21';
const clock = (): Date => new Date('2026-11-21T09:30:00Z');

function open(folder: TestFolder, options: OpenOptions = {}): SqliteStore {
  return folder.open({ clock, ...options });
}

test('a version that saves beside a newer one keeps the fields that the newer one saved last', (t) => {
  const folder = new TestFolder(t);
  writtenBy('additive', folder.file());
  const store = open(folder);
  store.saveSnapshot({ timestamp: clock() });
  writtenBy('additive', folder.file(), undefined, `
    write('test', 'set the brightness', () => prepare('UPDATE brightness SET percent = 90').run());
    store.saveSnapshot({ timestamp: clock() });
    store.close();`);
  store.saveSnapshot({ timestamp: clock() });
  store.close();
  const { content } = JSON.parse(readFileSync(folder.file('store.snapshot.json'), 'utf8'));
  assert.deepEqual(content.brightness, [['minecraft', 90]]);
});

/** A step that changes no table, but what a row means: the versions before may not write any more. */
const stepOfMeaning = `BEGIN; UPDATE store_meta SET writable_from = ${schemaVersion + 1};
  INSERT INTO schema_version (version, description, applied_at)
  VALUES (${schemaVersion + 1}, 'meaning', '2026-11-21T09:00:00.000Z');
  PRAGMA user_version = ${schemaVersion + 1}; COMMIT;`;

test('a step that changes no table stops a store that is open, and is a finding of one that is read', (t) => {
  const folder = new TestFolder(t);
  const store = open(folder);
  store.addUsage('minecraft', day, 1_000);
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file(), { clock }));
  makeDatabase(folder.file(), stepOfMeaning);
  assert.throws(() => store.addUsage('minecraft', day, 1), { code: 'ERR_STORE_MIGRATION' });
  assert.equal(store.isHealthy(), false);
  assert.deepEqual([reader.isHealthy(), reader.health().findings[0]?.kind], [false, 'schema-changed']);
  store.close();
  assert.equal(open(folder).isReadOnly, true);
});

for (const kind of Object.keys(ahead) as Newer[]) {
  test(`another package (${kind}) that migrates while this one is about to is not overruled`, (t) => {
    const folder = new TestFolder(t, { checked: kind !== 'readers' });
    folder.open().close();
    SqliteStore.migrate(folder.file(), schemaVersion - 1, { force: true });
    let asked = 0;
    // The clock is asked by the plain open, by the look, and when the lock for the migration is about to be taken.
    const slow = (): Date => (++asked === 3 && writtenBy(kind, folder.file()), clock());
    const opening = (): SqliteStore => folder.open({ clock: slow });
    if (kind === 'readers') assert.throws(opening, { code: 'ERR_STORE_SCHEMA_TOO_NEW' });
    else assert.equal(opening().isReadOnly, kind === 'writers');
    assert.ok(asked >= 3);
    using db = new DatabaseSync(folder.file(), { readOnly: true });
    assert.equal(db.prepare('PRAGMA user_version').get()?.['user_version'], schemaVersion + ahead[kind]);
    assert.equal(db.prepare('SELECT count(*) AS n FROM schema_version').get()?.['n'], schemaVersion + ahead[kind]);
  });
}

// A part of the SQL with which a store begins to watch its schema, and of that which a migration sends before its lock.
const [watching, unlocked] = ['group_concat', 'PRAGMA synchronous'];

/** Has something done just before the first statement with this text. */
function justBefore(t: TestContext, text: string, act: () => void): void {
  const { prepare } = DatabaseSync.prototype;
  let isDone = false;
  t.mock.method(DatabaseSync.prototype, 'prepare', function (this: DatabaseSync, sql: string) {
    if (!isDone && sql.includes(text)) {
      isDone = true;
      act();
    }
    return prepare.call(this, sql);
  });
}

test('another package that migrates between the look at a schema and its watch is not overlooked', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  justBefore(t, watching, () => writtenBy('writers', folder.file()));
  assert.throws(() => open(folder, { recover: true }), { code: 'ERR_STORE_BUSY' });
  assert.equal(open(folder).isReadOnly, true);
});

test('a schema that is written anew between the look at a newer store and its watch is the same', (t) => {
  const folder = new TestFolder(t);
  writtenBy('additive', folder.file());
  justBefore(t, watching, () => makeDatabase(folder.file(), 'VACUUM'));
  assert.equal(open(folder, { recover: true }).isReadOnly, false);
});

test('another package that migrates while this one is about to migrate down is not overruled', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  justBefore(t, unlocked, () => writtenBy('additive', folder.file()));
  const migrating = (): unknown => SqliteStore.migrate(folder.file(), schemaVersion - 1, { force: true });
  assert.throws(migrating, { code: 'ERR_STORE_SCHEMA_TOO_NEW' });
  assert.equal(open(folder).health().schemaVersion, schemaVersion + ahead.additive);
});

test('another package that migrates under an open store stops it, and the next open goes by the new schema', (t) => {
  const folder = new TestFolder(t);
  const store = open(folder);
  store.addUsage('minecraft', day, 1_000);
  writtenBy('additive', folder.file());
  assert.throws(() => store.addUsage('minecraft', day, 1), { code: 'ERR_STORE_MIGRATION' });
  store.close();
  assert.equal(open(folder).addUsage('minecraft', day, 1_000), 62_000);
  assert.ok(existsSync(folder.file('store.snapshot.json')));
  assert.equal(open(folder).isReadOnly, false);
});
