// An outbox: what it gives, what it takes as arrived, and what it keeps from going into an archive.
import assert from 'node:assert/strict';
import { appendFileSync, closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { type Anchor, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { planArchive } from '../../lib/modules/archive/range.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { type Batch, Outbox } from '../../lib/modules/outbox/outbox.ts';
import { connect } from '../../lib/store.ts';
import { archiveUpTo, kioskIn, runFor } from '../support/archive.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { openBoth } from '../support/ledger.ts';
import { checkTable, codeOf } from '../support/refusals.ts';
import { badCounts, badOptions, badTexts } from '../support/values.ts';

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

test('an outbox without a ledger gives the same lines, and an event of any text', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<{ type: 'note'; text: string }>();
  store.appendAudit({ type: 'note', text: 'Ünïcode \u{1F411} " \\ \n \u0001 \u2028' }, { source: 'test' });
  writeFileSync(folder.file('copy.jsonl'), new Outbox(store, 'centre').read()!.text);
  assert.deepEqual((await Ledger.open(folder.file('copy.jsonl')).verify()).findings, []);
});

test('a batch has as many lines as the limit and the bytes permit, and one at least', (t) => {
  const folder = new TestFolder(t);
  const outbox = new Outbox(storeWith(folder, 600), 'centre');
  assert.equal(idsIn(outbox.read()).length, 500);
  const { text } = outbox.read({ limit: 10 })!;
  const bytes = Buffer.byteLength(text);
  assert.deepEqual(idsIn(outbox.read({ maxBytes: bytes })), idsIn(outbox.read({ limit: 10 })));
  assert.deepEqual(idsIn(outbox.read({ maxBytes: bytes - 1 })), idsIn(outbox.read({ limit: 9 })));
  assert.deepEqual(idsIn(outbox.read({ maxBytes: 1 })), [1]);
});

test('the lag is how many events wait, and since when', (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-11-21T09:00:00Z');
  const store = folder.open(clocks.options);
  const outbox = new Outbox(store, 'centre');
  assert.deepEqual(outbox.lag, { events: 0 });
  const { id } = store.appendAudit({ type: 'service_started' });
  clocks.pass(60_000);
  store.appendAudit({ type: 'service_stopped' });
  assert.deepEqual(outbox.lag, { events: 2, since: new Date('2026-11-21T09:00:00Z') });
  outbox.acknowledge({ id, hash: connect(store).parts.log.hashAt(id)! });
  assert.deepEqual(outbox.lag, { events: 1, since: new Date('2026-11-21T09:01:00Z') });
});

test('only a later row of this log is acknowledged', async (t) => {
  const folder = new TestFolder(t);
  const store = storeWith(folder, 5);
  const outbox = new Outbox(store, 'centre');
  const first = outbox.read({ limit: 2 })!.anchor;
  const third = outbox.read({ limit: 3 })!.anchor;
  outbox.acknowledge(third);
  outbox.acknowledge(third);
  const table: [name: string, anchor: Anchor][] = [
    ['a row before the position', first],
    ['the row of the position with another hash', { ...third, hash: first.hash }],
    ['a row with the hash of another', { id: 4, hash: third.hash }],
    ['a row that is not there yet', { id: 6, hash: third.hash }],
  ];
  for (const [name, anchor] of table) {
    assert.equal(await codeOf(() => outbox.acknowledge(anchor)), 'ERR_STORE_CONFLICT', name);
    assert.equal(outbox.position.id, 3);
  }
});

test('what an outbox has not acknowledged goes into no archive', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const outbox = new Outbox(kiosk.store, 'centre');
  outbox.acknowledge(outbox.read({ limit: 30 })!.anchor);
  assert.equal(await codeOf(() => archiveUpTo(kiosk, 31)), 'ERR_STORE_CONFLICT');
  const { held } = await planArchive(kiosk.store, { keepDays: 1 });
  assert.equal(held?.id, 31);
  await archiveUpTo(kiosk, 30);
  assert.deepEqual(idsIn(outbox.read({ limit: 1 })), [31]);
  assert.equal(outbox.remove(), true);
  await archiveUpTo(kiosk, 50);
});

test('an outbox that is made while rows are archived keeps them in the log', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  let outbox: Outbox | undefined;
  const onProgress = (): void => void (outbox ??= new Outbox(kiosk.store, 'centre')); // the file has rows by then
  const options = { folder: kiosk.archives, upTo: { id: 50 }, onProgress };
  assert.equal(await codeOf(() => archiveAudits(kiosk.store, options)), 'ERR_STORE_CONFLICT');
  assert.deepEqual(idsIn(outbox!.read({ limit: 1 })), [1]);
});

test('a new outbox of a log that was shortened begins behind the archives', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { anchor } = await archiveUpTo(kiosk, 50);
  const outbox = new Outbox(kiosk.store, 'centre');
  const { id, hash } = outbox.position;
  assert.deepEqual({ id, hash }, anchor);
  assert.deepEqual(idsIn(outbox.read({ limit: 1 })), [51]);
});

test('rows that an older version has archived are asked for, and not passed over', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const outbox = new Outbox(kiosk.store, 'centre');
  const tenth = outbox.read({ limit: 10 })!.anchor;
  outbox.remove();
  const { anchor } = await archiveUpTo(kiosk, 50);
  folder.raw().prepare('INSERT INTO outboxes (name, id, hash) VALUES (?, ?, ?)').run('centre', tenth.id, tenth.hash);
  assert.equal(await codeOf(() => outbox.read()), 'ERR_STORE_CONFLICT');
  assert.deepEqual(outbox.position, tenth);
  outbox.acknowledge(anchor);
  assert.deepEqual(idsIn(outbox.read({ limit: 1 })), [51]);
});

test('a backup behind the position is rewound, and sent again from the last row that both know', async (t) => {
  const folder = new TestFolder(t);
  const store = storeWith(folder, 10);
  const outbox = new Outbox(store, 'centre');
  outbox.acknowledge(outbox.read({ limit: 4 })!.anchor);
  await backup(store, folder.file('backup.db'));
  for (let count = 0; count < 5; count++) store.appendAudit({ type: 'service_stopped' });
  outbox.acknowledge(outbox.read()!.anchor);
  const all = store.auditHead();
  store.close();
  const restored = await restore(folder.file('backup.db'), folder.file());
  assert.deepEqual([restored.rewound, restored.partedAfter], [['centre'], undefined]);
  const again = folder.open();
  const behind = new Outbox(again, 'centre');
  const { id, rewound } = behind.position;
  assert.deepEqual([id, rewound, behind.lag], [10, 15, { events: 0 }]);
  again.appendAudit({ type: 'service_started' });
  const batch = behind.read()!;
  assert.deepEqual([idsIn(batch), batch.rewound], [[11], 15]);
  assert.equal(await codeOf(() => behind.acknowledge(all!)), 'ERR_STORE_CONFLICT');
  behind.acknowledge(batch.anchor);
  assert.deepEqual([behind.position.id, behind.position.rewound], [11, undefined]);
  await backup(again, folder.file('second.db'));
  again.appendAudit({ type: 'service_stopped' });
  behind.acknowledge(again.auditHead()!);
  again.close();
  await restore(folder.file('second.db'), folder.file());
  const { id: second, rewound: by } = new Outbox(folder.open(), 'centre').position;
  assert.deepEqual([second, by], [11, 12]);
});

/** A store of five rows in the backup `first.db`, and of so many more that have arrived. */
async function sentBehindBackup(folder: TestFolder, more: number): Promise<SqliteStore> {
  const store = storeWith(folder, 5);
  await backup(store, folder.file('first.db'));
  for (let count = 0; count < more; count++) store.appendAudit({ type: 'service_stopped' });
  new Outbox(store, 'centre').acknowledge(store.auditHead()!);
  return store;
}

test('what was written behind a restore and not sent is not known to both after another restore', async (t) => {
  const folder = new TestFolder(t);
  (await sentBehindBackup(folder, 4)).close();
  await restore(folder.file('first.db'), folder.file());
  const again = folder.open();
  again.appendAudit({ type: 'service_started' });
  await backup(again, folder.file('second.db'));
  again.appendAudit({ type: 'service_started' });
  again.close();
  await restore(folder.file('second.db'), folder.file());
  const { id, rewound } = new Outbox(folder.open(), 'centre').position;
  assert.deepEqual([id, rewound], [5, 9]);
});

test('what a rewound outbox sends again goes into no archive', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 3, perDay: 20 });
  await backup(kiosk.store, folder.file('backup.db'));
  runFor(kiosk.store, kiosk.clocks, 3, 20);
  new Outbox(kiosk.store, 'centre').acknowledge(kiosk.store.auditHead()!);
  kiosk.store.close();
  await restore(folder.file('backup.db'), folder.file());
  const store = folder.open(kiosk.clocks.options);
  runFor(store, kiosk.clocks, 9, 20);
  const again = { ...kiosk, store };
  assert.equal(await codeOf(() => archiveUpTo(again, 61)), 'ERR_STORE_CONFLICT');
  await archiveUpTo(again, 60);
  const outbox = new Outbox(store, 'centre');
  assert.deepEqual([outbox.position.id, outbox.position.rewound], [60, 120]);
  assert.deepEqual(idsIn(outbox.read({ limit: 2 })), [61, 62]);
});

test('rows that were archived since a backup do not make its log another one', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const outbox = new Outbox(kiosk.store, 'centre');
  outbox.acknowledge(outbox.read({ limit: 40 })!.anchor);
  await backup(kiosk.store, folder.file('backup.db'));
  await archiveUpTo(kiosk, 30);
  runFor(kiosk.store, kiosk.clocks, 1, 5);
  kiosk.store.close();
  const { partedAfter, rewound } = await restore(folder.file('backup.db'), folder.file());
  assert.deepEqual([partedAfter, rewound], [undefined, undefined]);
  assert.equal(new Outbox(folder.open(kiosk.clocks.options), 'centre').position.id, 40);
});

test('an outbox is not rewound by a backup that has its last row', async (t) => {
  const folder = new TestFolder(t);
  const store = await sentBehindBackup(folder, 5);
  await backup(store, folder.file('second.db'));
  store.close();
  assert.deepEqual((await restore(folder.file('first.db'), folder.file())).rewound, ['centre']);
  const again = folder.open();
  again.appendAudit({ type: 'service_started' });
  again.close();
  const { partedAfter, rewound } = await restore(folder.file('second.db'), folder.file());
  assert.deepEqual([partedAfter, rewound], [5, undefined]);
  const { id, rewound: by } = new Outbox(folder.open(), 'centre').position;
  assert.deepEqual([id, by], [10, undefined]);
});

test('a store with damage that nobody has seen yet is replaced all the same', async (t) => {
  const folder = new TestFolder(t);
  const store = storeWith(folder, 2_000);
  new Outbox(store, 'centre').acknowledge(store.auditHead()!);
  await backup(store, folder.file('backup.db'));
  store.close();
  const fd = openSync(folder.file(), 'r+');
  for (let page = 60; page < 64; page++) writeSync(fd, Buffer.alloc(4096, 0xff), 0, 4096, page * 4096);
  closeSync(fd);
  assert.equal((await restore(folder.file('backup.db'), folder.file())).replaced, 'same-store');
  assert.equal(folder.open().auditHead()!.id, 2_000);
});

test('a restored store that gets its rows back from the ledger is not rewound', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  await backup(store, folder.file('backup.db'));
  store.appendAudit({ type: 'service_stopped' });
  const outbox = new Outbox(store, 'centre');
  const { anchor } = outbox.read()!;
  outbox.acknowledge(anchor);
  store.close();
  await restore(folder.file('backup.db'), folder.file());
  const { id, hash, rewound } = new Outbox(openBoth(folder), 'centre').position;
  assert.deepEqual([{ id, hash }, rewound], [anchor, undefined]);
});

test('restore says where the logs of backup and store have parted', async (t) => {
  const folder = new TestFolder(t);
  const store = storeWith(folder, 20);
  await backup(store, folder.file('first.db'));
  for (let count = 0; count < 5; count++) store.appendAudit({ type: 'service_stopped' });
  await backup(store, folder.file('second.db'));
  store.close();
  assert.equal((await restore(folder.file('first.db'), folder.file())).partedAfter, undefined);
  const forked = folder.open();
  for (let count = 0; count < 9; count++) forked.appendAudit({ type: 'service_started' });
  forked.close();
  assert.equal((await restore(folder.file('second.db'), folder.file())).partedAfter, 20);
});

test('in a store that is only read nothing is written, and an outbox that was removed says so', async (t) => {
  const folder = new TestFolder(t);
  const store = storeWith(folder, 3);
  const outbox = new Outbox(store, 'centre');
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.equal(new Outbox(reader, 'other').lag.events, 3);
  assert.deepEqual(idsIn(new Outbox(reader, 'centre').read()), [1, 2, 3]);
  assert.equal(await codeOf(() => new Outbox(reader, 'centre').remove()), 'ERR_STORE_READ_ONLY');
  const { anchor } = outbox.read()!;
  assert.deepEqual([outbox.remove(), outbox.remove()], [true, false]);
  for (const call of [() => outbox.position, () => outbox.lag, () => outbox.read(), () => outbox.acknowledge(anchor)]) {
    assert.equal(await codeOf(call), 'ERR_STORE_NOT_FOUND');
  }
});

test('a row that was changed is not sent', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = storeWith(folder, 3);
  const outbox = new Outbox(store, 'centre');
  folder.raw().exec('DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_type = \'x\' WHERE id = 2');
  assert.equal(await codeOf(() => outbox.read()), 'ERR_STORE_CORRUPT');
  assert.deepEqual(idsIn(outbox.read({ limit: 1 })), [1]);
});

const badStores: [name: string, value: unknown][] = [['undefined', undefined], ['null', null], ['an object', {}]];
const badNames: [name: string, value: unknown][] = [
  ...badTexts, ['a path', '../centre'], ['a dot first', '.centre'], ['a blank', 'a b'], ['65 letters', 'a'.repeat(65)],
];

checkTable(Outbox.prototype, {
  position: {}, lag: {}, remove: {},
  read: { arguments: [{ name: 'options' }] },
  acknowledge: { arguments: [{ name: 'anchor' }] },
});

// An optional number may be left out.
const badNumbers = badCounts.filter(([, value]) => value !== undefined);

type Refusal = [bad: [name: string, value: unknown][], call: (store: SqliteStore, value: never) => unknown];

const refused: Record<string, Refusal> = {
  store: [badStores, (_, store) => new Outbox(store, 'centre')],
  name: [badNames, (store, name) => new Outbox(store, name)],
  'read.options': [badOptions, (store, options) => new Outbox(store, 'centre').read(options)],
  'read.options.limit': [
    [...badNumbers, ['0', 0], ['100,001', 100_001]], (store, limit) => new Outbox(store, 'centre').read({ limit }),
  ],
  'read.options.maxBytes': [
    [...badNumbers, ['0', 0], ['beyond 64 MiB', 2 ** 26 + 1]],
    (store, maxBytes) => new Outbox(store, 'centre').read({ maxBytes }),
  ],
  anchor: [
    [...badOptions, ['undefined', undefined], ['none', {}], ['an id alone', { id: 1 }],
      ['id 0', { id: 0, hash: 'a'.repeat(64) }],
      ['a short hash', { id: 1, hash: 'a' }], ['capitals', { id: 1, hash: 'A'.repeat(64) }]],
    (store, anchor) => new Outbox(store, 'centre').acknowledge(anchor),
  ],
};

for (const [name, [bad, call]] of Object.entries(refused)) {
  test(`an outbox refuses each bad value of ${name}, and nothing is written`, async (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const store = storeWith(folder, 1);
    if (name !== 'name' && name !== 'store') new Outbox(store, 'centre');
    const raw = folder.raw();
    const rows = (): unknown => raw.prepare('SELECT * FROM outboxes').all();
    const before = rows();
    for (const [what, value] of bad) {
      assert.equal(await codeOf(() => call(store, value as never)), 'ERR_STORE_INVALID_ARGUMENT', what);
    }
    assert.deepEqual(rows(), before);
  });
}
