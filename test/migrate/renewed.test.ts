// A store whose identity was renewed: which versions may use it, and what a step down makes of it.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { renewIdentity } from '../../lib/modules/identity/identity.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { newerPackage } from '../support/newer.ts';
import { run } from '../support/process.ts';

// The version that knows of former identities, and the one before.
const [renewable, before] = [10, 9];

interface Meta {
  uuid: string;
  writers: number;
  readers: number;
}

function metaOf(folder: TestFolder, name = 'store.db'): Meta {
  using db = new DatabaseSync(folder.file(name));
  const sql = 'SELECT uuid, writable_from AS writers, readable_from AS readers FROM store_meta';
  return { ...db.prepare(sql).get() } as unknown as Meta;
}

test('no version before the tenth may use a renewed store, and a step down with force sets that back', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const { uuid, ...users } = metaOf(folder);
  assert.deepEqual(users, { writers: 9, readers: 6 });
  const { from, to } = renewIdentity(store);
  assert.equal(from, uuid);
  store.close();
  assert.deepEqual(metaOf(folder), { uuid: to, writers: renewable, readers: renewable });

  const files = picture(folder.path);
  assert.throws(() => SqliteStore.migrate(folder.file(), before), { code: 'ERR_STORE_MIGRATION' });
  assert.deepEqual(picture(folder.path), files);
  SqliteStore.migrate(folder.file(), before, { force: true });
  assert.deepEqual(metaOf(folder), { uuid: to, writers: 9, readers: 6 });
  SqliteStore.migrate(folder.file(), schemaVersion);
  assert.deepEqual(metaOf(folder), { uuid: to, writers: 9, readers: 6 });
});

test('the machine on which a store was made is no loss, and a step up notes the one on which it is', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const machineOf = (): unknown => {
    using db = folder.raw();
    return db.prepare('SELECT machine_id FROM store_meta').get()!['machine_id'];
  };
  const here = machineOf();
  const db = folder.raw();
  db.exec("UPDATE store_meta SET machine_id = 'another one'");
  db.close();
  SqliteStore.migrate(folder.file(), before);
  SqliteStore.migrate(folder.file(), schemaVersion);
  assert.equal(machineOf(), here);
});

test('a newer version that renews an identity, or makes such a store anew, still keeps away whom it kept away', (t) => {
  for (const [kind, writers, readers] of [['writers', schemaVersion + 2, renewable],
    ['readers', schemaVersion + 3, schemaVersion + 3]] as const) {
    const folder = new TestFolder(t, { checked: false });
    const root = newerPackage(kind);
    const [made] = run(folder.file(), `
      const { Ledger, rebuildDatabase } = await import('${new URL('lib/ledger/index.ts', root).href}');
      const { renewIdentity } = await import('${new URL('lib/modules/identity/identity.ts', root).href}');
      const ledger = path.replace('.db', '.jsonl');
      const store = SqliteStore.open(path, { ledger: Ledger.open(ledger) });
      store.appendAudit({ type: 'service_started' });
      report(renewIdentity(store).to);
      store.close();
      await rebuildDatabase(Ledger.open(ledger), path.replace('.db', '-anew.db'));`, { root });
    const expected = { uuid: made, writers, readers };
    assert.deepEqual(metaOf(folder), expected, kind);
    assert.deepEqual(metaOf(folder, 'store-anew.db'), expected, kind);
  }
});
