// Readers while another process opens, writes to and closes the store again and again: each time the files beside it
// come and go.
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { readValue } from '../../lib/core/handle.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { ReadOnlyFile } from '../../lib/reading/reader.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion } from '../support/process.ts';

test('a store is read, and opened for a moment, while another process opens and closes it all the time', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  folder.open().close();
  const service = new Companion(t, folder.file(), `
    const { existsSync } = process.getBuiltinModule('node:fs');
    report('begun');
    while (!existsSync(path + '.end')) {
      using store = SqliteStore.open(path);
      store.appendAudit({ type: 'service_started' });
    }`);
  await service.next();
  let sent = 0;
  for (let count = 0; count < 500; count++) {
    using reader = SqliteStore.openReadOnly(folder.file());
    const batch = new Outbox(reader, 'centre').read();
    reader.close();
    if (!batch) continue;
    using guest = SqliteStore.openAsGuest(folder.file());
    new Outbox(guest, 'centre').acknowledge(batch.anchor);
    sent = batch.to;
  }
  writeFileSync(folder.file('store.db.end'), '');
  await service.end();
  t.diagnostic(`${sent} events sent`);
  assert.ok(sent > 50, `${sent} events sent`);
});

test('a read is made again where the -shm was away only while SQLite looked for it', async (t) => {
  const folder = new TestFolder(t);
  const service = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    store.appendAudit({ type: 'service_started' });
    report('written');
    await told();`);
  await service.next();
  const reader = new ReadOnlyFile(folder.file(), 1_000);
  const [shm, aside] = [`${folder.file()}-shm`, folder.file('aside')];
  let attempts = 0;
  const count = reader.read(() => {
    if (attempts++ === 0) renameSync(shm, aside);
    try {
      return readValue(reader.db, 'SELECT count(*) FROM audit_log');
    } finally {
      if (attempts === 1) renameSync(aside, shm);
    }
  });
  reader.close();
  assert.deepEqual([count, attempts], [1, 2]);
  await service.kill();
});
