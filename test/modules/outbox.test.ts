// An outbox: what it gives, what it takes as arrived, and what it keeps from going into an archive.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { type Batch, Outbox } from '../../lib/modules/outbox/outbox.ts';
import { TestFolder } from '../support/folder.ts';
import { codeOf } from '../support/refusals.ts';

/** A store with so many events. */
function storeWith(folder: TestFolder, events: number): SqliteStore {
  const store = folder.open();
  for (let count = 0; count < events; count++) store.appendAudit({ type: 'policy_loaded', entryCount: count });
  return store;
}

/** The ids in a batch. */
function idsIn(batch: Batch | undefined): number[] {
  const lines = batch?.text.trimEnd().split('\n').slice(1) ?? [];
  return lines.map((line) => (JSON.parse(line) as { id: number }).id);
}

test('an outbox gives the lines behind its position, as the ledger of the store has them', async (t) => {
  const folder = new TestFolder(t);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  const store = folder.open({ ledger });
  store.appendAudit({ type: 'service_started' });
  store.addUsage('game', '2026-11-21', 1_000);
  const outbox = new Outbox(store, 'centre');
  assert.deepEqual(idsIn(outbox.read()), [1, 2, 3]);
  assert.deepEqual(outbox.read(), outbox.read());
  const { text, from, to, anchor } = outbox.read()!;
  assert.deepEqual([from, to, anchor], [1, 3, store.auditHead()]);
  appendFileSync(folder.file('copy.jsonl'), text);
  assert.deepEqual((await Ledger.open(folder.file('copy.jsonl')).verify()).findings, []);
});

test('what was acknowledged is not given again, also after the store was opened anew', (t) => {
  const folder = new TestFolder(t);
  const store = storeWith(folder, 5);
  const outbox = new Outbox(store, 'centre');
  const first = outbox.read({ limit: 2 })!;
  assert.deepEqual(idsIn(first), [1, 2]);
  outbox.acknowledge(first.anchor);
  assert.deepEqual(idsIn(outbox.read({ limit: 2 })), [3, 4]);
  store.close();
  const again = new Outbox(folder.open(), 'centre');
  const { id, hash, acknowledgedAt } = again.position;
  assert.deepEqual({ id, hash }, first.anchor);
  assert.ok(acknowledgedAt instanceof Date);
  assert.deepEqual(idsIn(again.read()), [3, 4, 5]);
  again.acknowledge(again.read()!.anchor);
  assert.equal(again.read(), undefined);
  assert.deepEqual(again.lag, { events: 0 });
});
