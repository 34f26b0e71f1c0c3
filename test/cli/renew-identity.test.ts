// The command renew-identity, and what restore says of logs that have parted.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { backup } from '../../lib/modules/backup/backup.ts';
import { connect } from '../../lib/store.ts';
import { pattern, shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, openBoth } from '../support/ledger.ts';

const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

function uuidOf(folder: TestFolder): string {
  using store = SqliteStore.openReadOnly(folder.file());
  return connect(store).uuid;
}

test('renew-identity refuses while a process has the store open, and leaves it as it was', async (t) => {
  const folder = new TestFolder(t);
  folder.open().appendAudit({ type: 'service_started' });
  const before = uuidOf(folder);
  const said = await shepherd(['renew-identity', '--db', folder.file()]);
  assert.match(said.err, /stop the service first/);
  assert.equal(said.code, 1);
  assert.equal(uuidOf(folder), before);
});

test('renew-identity goes on with the ledger that the store remembers', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  store.close();
  const before = uuidOf(folder);
  const said = await shepherd(['renew-identity', folder.file()]);
  const row = pattern(/^renewed: /, uuid, /, which was /, uuid, / up to row 3\n$/);
  assert.match(said.out, row);
  assert.deepEqual([said.code, said.err], [0, '']);
  const after = uuidOf(folder);
  assert.notEqual(after, before);
  assert.ok(said.out.includes(`${after}, which was ${before}`));
  assert.match(readFileSync(folder.file('audit.jsonl'), 'utf8'), new RegExp(`^.*"store":"${after}"`));
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

test('renew-identity --keep leaves the UUID, also beside a running service', async (t) => {
  const folder = new TestFolder(t);
  folder.open().appendAudit({ type: 'service_started' });
  folder.raw().exec(`UPDATE store_meta SET machine_id = '${'0'.repeat(64)}'`);
  const before = uuidOf(folder);
  const said = await shepherd(['renew-identity', '--db', folder.file(), '--keep', '--json']);
  assert.deepEqual([said.code, JSON.parse(said.out)], [0, { kept: before }]);
  assert.equal(uuidOf(folder), before);
  const [row] = folder.raw().prepare('SELECT machine_id FROM store_meta').all();
  assert.notEqual(row!['machine_id'], '0'.repeat(64));
});

test('restore says where two logs have parted, and which outboxes are ahead', async (t) => {
  const folder = new TestFolder(t);
  const append = (store: SqliteStore, count: number): void => {
    for (let index = 0; index < count; index++) store.appendAudit({ type: 'service_started' });
  };
  const store = folder.open();
  append(store, 5);
  await backup(store, folder.file('first.db'));
  append(store, 5);
  await backup(store, folder.file('second.db'));
  store.close();
  const first = await shepherd(['restore', '--db', folder.file(), folder.file('first.db')]);
  assert.doesNotMatch(first.out, /parted|rewound/);
  using again = SqliteStore.open(folder.file());
  append(again, 9);
  const outbox = new Outbox(again, 'centre');
  outbox.acknowledge(outbox.read()!.anchor);
  again.close();
  const second = await shepherd(['restore', '--db', folder.file(), folder.file('second.db')]);
  assert.match(second.out, /have parted behind row 5: /);
  assert.match(second.out, /^rewound: centre got later rows/m);
  assert.deepEqual([second.code, second.err], [0, '']);
});
