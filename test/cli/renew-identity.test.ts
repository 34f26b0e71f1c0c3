// The command renew-identity, and what restore says of logs that have parted.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { backup } from '../../lib/modules/backup/backup.ts';
import { renewIdentity } from '../../lib/modules/identity/identity.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { connect } from '../../lib/store.ts';
import { archiveUpTo, kioskIn } from '../support/archive.ts';
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

test('a command goes on with the ledger of before, as a renewal that was cut short leaves it', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('audit.jsonl');
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  const before = readFileSync(path);
  renewIdentity(store);
  store.close();
  writeFileSync(path, before);
  const said = await shepherd(['grant', '--db', folder.file(), 'game', '30m']);
  assert.deepEqual([said.code, said.err], [0, '']);
  checkBoth(folder.file(), path);
});

test('rebuild-database takes the archives of before a renewal', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('audit.jsonl');
  const kiosk = kioskIn(folder, { ledger: Ledger.open(path) });
  await archiveUpTo(kiosk, 50);
  renewIdentity(kiosk.store);
  const head = kiosk.store.auditHead();
  kiosk.store.close();
  const args = ['--ledger', path, '--archives', kiosk.archives, '--db', folder.file('again.db'), '--json'];
  const said = await shepherd(['rebuild-database', ...args]);
  assert.deepEqual([said.code, said.err], [0, '']);
  assert.deepEqual((JSON.parse(said.out) as { head: object; events: number }).head, head);
  assert.equal((JSON.parse(said.out) as { events: number }).events, head!.id);
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
