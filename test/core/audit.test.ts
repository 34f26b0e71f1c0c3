import assert from 'node:assert/strict';
import { copyFileSync, renameSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { type AuditEvent, type AuditFilter, type Finding, SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';

type Numbered = { type: string; n?: number; sessionId?: string };

/** Appends `count` events in one transaction. */
function appendMany(store: SqliteStore<Numbered>, count: number): void {
  store.appendAudits(Array.from({ length: count }, (_, n) => ({ event: { type: 'x', n } })));
}

const ids = (events: Iterable<AuditEvent<Numbered>>): number[] => Array.from(events, ({ id }) => id);

test('ids are positions: from 1, without a gap, over transactions, failures and reopening', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<Numbered>();
  assert.equal(store.auditHead(), undefined);
  assert.deepEqual(store.getRecentAudits(5), []);
  assert.equal(store.appendAudit({ type: 'x' }).id, 1);
  assert.throws(
    () => store.appendAudits([{ event: { type: 'x' } }, { event: { type: 'x' }, attributes: { source: '' } }]),
    { code: 'ERR_STORE_INVALID_ARGUMENT' },
  );
  assert.deepEqual(ids(store.appendAudits([{ event: { type: 'x' } }, { event: { type: 'y' } }])), [2, 3]);
  assert.throws(
    () =>
      store.transaction(() => {
        store.appendAudit({ type: 'x' });
        throw new Error('no');
      }),
    /^Error: no$/,
  );
  assert.equal(store.appendAudit({ type: 'x' }).id, 4);
  assert.deepEqual(store.appendAudits([]), []);
  store.close();
  const again = folder.open<Numbered>();
  assert.equal(again.appendAudit({ type: 'x' }).id, 5);
  assert.deepEqual(ids(again.getRecentAudits(9)), [5, 4, 3, 2, 1]);
});

test('what an append gives is the caller\'s own: the time of one event is not that of another', (t) => {
  const store = new TestFolder(t).open<Numbered>();
  const [first, second] = store.appendAudits([{ event: { type: 'x' } }, { event: { type: 'y' } }]);
  first!.timestamp.setTime(0);
  assert.notEqual(second!.timestamp.getTime(), 0);
});

test('the newest come first, as many as asked for', (t) => {
  const store = new TestFolder(t).open<Numbered>();
  appendMany(store, 1200);
  assert.deepEqual(ids(store.getRecentAudits(3)), [1200, 1199, 1198]);
  assert.deepEqual(store.getRecentAudits(0), []);
  assert.equal(store.getRecentAudits(Number.MAX_SAFE_INTEGER).length, 1200);
});

test('the order is that of the positions, whatever the clock says', (t) => {
  const times = ['2026-11-21T09:00:00Z', '1970-01-01T00:00:00Z', '2030-01-01T00:00:00Z', '2026-11-21T08:59:59.999Z'];
  let at = 0;
  const store = new TestFolder(t).open<Numbered>({ clock: () => new Date(times[at]!) });
  for (at = 0; at < times.length; at++) store.appendAudit({ type: 'x' });
  at = 0;
  assert.deepEqual(ids(store.getRecentAudits(9)), [4, 3, 2, 1]);
  assert.deepEqual(ids(store.getRecentAudits(9, { since: new Date(times[0]!) })), [3, 1]);
  assert.deepEqual(ids(store.getRecentAudits(9, { until: new Date(times[0]!) })), [4, 2]);
});

test('each filter narrows alone, and all do together', (t) => {
  const at = (minute: number): Date => new Date(Date.UTC(2026, 10, 21, 9, minute));
  let minute = 0;
  const store = new TestFolder(t).open<Numbered>({ clock: () => at(minute) });
  for (const [event, attributes] of [
    [
      { type: 'a', sessionId: 's1' },
      { source: 'admin', target: 'x' },
    ],
    [{ type: 'b', sessionId: 's1' }, { source: 'admin' }],
    [
      { type: 'a', sessionId: 's2' },
      { source: 'kiosk', target: 'x' },
    ],
    [{ type: 'a' }, { target: 'y' }],
    [{ type: 'b' }, {}],
    [
      { type: 'a', sessionId: 's1' },
      { source: 'admin', target: 'x' },
    ],
  ] as const) {
    store.appendAudit(event, attributes);
    minute++;
  }
  const found = (filter: AuditFilter): number[] => ids(store.getRecentAudits(9, filter));
  assert.deepEqual(found({}), [6, 5, 4, 3, 2, 1]);
  assert.deepEqual(found({ type: 'b' }), [5, 2]);
  assert.deepEqual(found({ source: 'admin' }), [6, 2, 1]);
  assert.deepEqual(found({ target: 'x' }), [6, 3, 1]);
  assert.deepEqual(found({ sessionId: 's1' }), [6, 2, 1]);
  assert.deepEqual(found({ since: at(3) }), [6, 5, 4]);
  assert.deepEqual(found({ until: at(3) }), [3, 2, 1]); // exclusive
  assert.deepEqual(found({ beforeId: 3 }), [2, 1]); // exclusive
  assert.deepEqual(found({ since: at(2), until: at(2) }), []);
  assert.deepEqual(
    found({ type: 'a', source: 'admin', target: 'x', sessionId: 's1', since: at(0), until: at(5), beforeId: 6 }),
    [1],
  );
  assert.deepEqual(found({ type: 'A' }), []);
  assert.deepEqual(found({ type: 'a%', source: "' OR 1=1 --" }), []);
  assert.deepEqual(ids(store.getRecentAudits(2, { type: 'a' })), [6, 4]); // counted after filtering
});

test('a filter by time is exact to the millisecond', (t) => {
  let time = new Date(0);
  const store = new TestFolder(t).open<Numbered>({ clock: () => time });
  for (const text of [
    '0000-01-01T00:00:00.000Z',
    '2026-11-21T09:00:00.001Z',
    '2026-11-21T09:00:00.002Z',
    '9999-12-31T23:59:59.999Z',
  ]) {
    time = new Date(text);
    const { id } = store.appendAudit({ type: 'x' });
    assert.deepEqual(ids(store.getRecentAudits(1, { since: time })), [id], text);
    assert.deepEqual(ids(store.getRecentAudits(1, { until: time })), id === 1 ? [] : [id - 1], text);
  }
});

test('beforeId pages through a log that grows meanwhile, without doubles or gaps', (t) => {
  const store = new TestFolder(t).open<Numbered>();
  appendMany(store, 25);
  const seen: number[] = [];
  for (let filter: AuditFilter = {}; ; ) {
    const page = ids(store.getRecentAudits(10, filter));
    if (page.length === 0) break;
    seen.push(...page);
    assert.ok(seen.length <= 25);
    filter = { beforeId: page.at(-1)! };
    store.appendAudit({ type: 'x' });
  }
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, index) => 25 - index));
});

test('an iteration gives from one id to another, both inclusive, oldest first', (t) => {
  const store = new TestFolder(t).open<Numbered>();
  assert.deepEqual([...store.iterateAudits()], []);
  appendMany(store, 1001); // two pages and a row
  const all = Array.from({ length: 1001 }, (_, index) => index + 1);
  assert.deepEqual(ids(store.iterateAudits()), all);
  assert.deepEqual(ids(store.iterateAudits({ fromId: 0 })), all);
  assert.deepEqual(ids(store.iterateAudits({ fromId: 500, toId: 501 })), [500, 501]);
  assert.deepEqual(ids(store.iterateAudits({ fromId: 501, toId: 1000 })), all.slice(500, 1000));
  assert.deepEqual(ids(store.iterateAudits({ fromId: 1001 })), [1001]);
  assert.deepEqual(ids(store.iterateAudits({ fromId: 1002 })), []);
  assert.deepEqual(ids(store.iterateAudits({ fromId: 5, toId: 4 })), []);
  assert.deepEqual(ids(store.iterateAudits({ toId: 0 })), []);
  assert.deepEqual(ids(store.getRecentAudits(2000)), all.toReversed());
});

test('an iteration ends at the head that it began with, also when each event it gives makes another', (t) => {
  const store = new TestFolder(t).open<Numbered>();
  appendMany(store, 1000);
  let given = 0;
  store.transaction(() => {
    for (const { id } of store.iterateAudits()) {
      assert.equal(id, ++given);
      assert.ok(given <= 1000);
      store.appendAudit({ type: 'x' });
    }
  });
  assert.equal(given, 1000);
  assert.equal(store.auditHead()?.id, 2000);
});

test('an iteration holds nothing between two pages: others write, and closing ends it', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<Numbered>();
  appendMany(store, 600);
  const events = store.iterateAudits();
  assert.equal(events.next().value?.id, 1);
  const db = folder.raw();
  assert.deepEqual({ ...db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() }, { busy: 0, log: 0, checkpointed: 0 });
  store.close();
  assert.throws(() => ids(events), { code: 'ERR_STORE_CLOSED' });
  assert.deepEqual([...events], []);
});

test('an iteration that is left early holds nothing either', (t) => {
  const store = new TestFolder(t).open<Numbered>();
  appendMany(store, 600);
  for (const { id } of store.iterateAudits()) if (id === 2) break;
  store.close();
});

test('an event id is recorded once, in one transaction, group or connection', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<Numbered>();
  const conflict = { code: 'ERR_STORE_CONFLICT' };
  store.appendAudit({ type: 'x', n: 1 }, { eventId: 'e1' });
  assert.throws(() => store.appendAudit({ type: 'x', n: 2 }, { eventId: 'e1' }), conflict);
  assert.throws(
    () =>
      store.appendAudits([
        { event: { type: 'x' }, attributes: { eventId: 'e2' } },
        { event: { type: 'x' }, attributes: { eventId: 'e2' } },
      ]),
    conflict,
  );
  const other = folder.open<Numbered>();
  assert.throws(() => other.appendAudit({ type: 'x' }, { eventId: 'e1' }), conflict);
  assert.equal(other.appendAudit({ type: 'x' }, { eventId: 'E1' }).id, 2);
  assert.equal(other.appendAudit({ type: 'x' }, { traceId: 'e1' }).id, 3);
  store.transaction(() => {
    assert.throws(() => store.appendAudit({ type: 'x' }, { eventId: 'e1' }), conflict);
    store.appendAudit({ type: 'x' }, { eventId: 'e2' }); // the group that had it was undone
  });
  assert.deepEqual(ids(store.getRecentAudits(9)), [4, 3, 2, 1]);
  assert.ok(store.isHealthy());
});

test('no connection changes, deletes or replaces a row', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<Numbered>();
  appendMany(store, 3);
  store.appendAudit({ type: 'x' }, { eventId: 'e1' });
  const before = store.getRecentAudits(9);
  const db = folder.raw();
  const sameEventId = `(id, timestamp, event_type, event_data, event_meta, event_hash) VALUES (5, `
    + `'2026-11-21T09:00:00Z', 'y', '{}', '{"eventId":"e1"}', 'h')`;
  const columns =
    "(id, timestamp, event_type, event_data, event_hash) VALUES (2, '2026-11-21T09:00:00Z', 'y', '{}', 'h')";
  for (const sql of [
    "UPDATE audit_log SET event_type = 'y' WHERE id = 2",
    'UPDATE audit_log SET id = 9 WHERE id = 3',
    'UPDATE OR REPLACE audit_log SET id = 1 WHERE id = 2',
    'DELETE FROM audit_log',
    'DELETE FROM audit_log WHERE id = 3',
    `INSERT INTO audit_log ${columns}`,
    `INSERT OR REPLACE INTO audit_log ${columns}`,
    `REPLACE INTO audit_log ${columns}`,
    `INSERT OR IGNORE INTO audit_log ${columns}`,
    `INSERT INTO audit_log ${columns} ON CONFLICT (id) DO UPDATE SET event_type = 'y'`,
    `INSERT INTO audit_log ${sameEventId}`,
    `INSERT OR REPLACE INTO audit_log ${sameEventId}`,
    `REPLACE INTO audit_log ${sameEventId}`,
  ]) {
    assert.throws(() => db.exec(sql), /append-only/, sql);
  }
  assert.deepEqual(store.getRecentAudits(9), before);
});

// Verifying

const dropTriggers =
  'DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_log_no_replace;';

/** A store with `count` events, and what its log looks like to `verifyAudit` after somebody had the file in hand. */
function tampered(t: TestContext, count: number, tamper: (db: DatabaseSync) => void): SqliteStore<Numbered> {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open<Numbered>();
  store.appendAudits(
    Array.from({ length: count }, (_, n) => ({
      event: { type: 'x', n, sessionId: '\uFFFD' },
      attributes: { source: 'admin' },
    })),
  );
  store.close();
  const db = folder.raw();
  db.exec(dropTriggers);
  tamper(db);
  db.close();
  return folder.open<Numbered>();
}

const told = (findings: Finding[]): [number, string][] => findings.map(({ id, kind }) => [id, kind]);

test('a log as it was written verifies, empty and over several pages', async (t) => {
  const store = new TestFolder(t).open<Numbered>();
  assert.deepEqual(await store.verifyAudit(), { ok: true, checked: 0, findings: [], more: 0 });
  appendMany(store, 1234);
  assert.deepEqual(await store.verifyAudit({ anchor: store.auditHead()! }), {
    ok: true,
    checked: 1234,
    head: store.auditHead(),
    findings: [],
    more: 0,
  });
});

for (const [column, change] of [
  ['timestamp', "replace(timestamp, 'T', 't')"],
  ['timestamp', 'timestamp || char(0)'],
  ['event_type', "'X'"],
  ['event_type', 'event_type || char(0)'],
  ['event_data', '\'{"n":2}\''],
  ['event_data', "event_data || ' '"],
  ['event_data', "event_data || char(0) || 'x'"],
  ['event_data', 'CAST(event_data AS BLOB)'],
  ['event_data', "x'00'"],
  ['event_data', "CAST(replace(CAST(event_data AS TEXT), '\uFFFD', CAST(x'ff' AS TEXT)) AS TEXT)"],
  ['event_meta', '\'{"source":"Admin"}\''],
  ['event_meta', 'NULL'],
  ['event_hash', "replace(event_hash, substr(event_hash, 1, 1), 'g')"],
  ['event_hash', 'upper(event_hash)'],
  ['event_hash', "''"],
  ['event_hash', 'event_hash || char(0)'],
] as const) {
  test(`a changed ${column} is found at its row: ${change}`, async (t) => {
    const store = tampered(t, 5, (db) => db.exec(`UPDATE audit_log SET ${column} = ${change} WHERE id = 2`));
    const report = await store.verifyAudit();
    assert.equal(report.ok, false);
    assert.equal(report.checked, 5);
    // One finding for one fault; but the row behind was chained to the hash that stood there.
    assert.deepEqual(told(report.findings).slice(0, column === 'event_hash' ? 1 : 9), [[2, 'tampered']]);
  });
}

test('a row that was taken out is a gap, wherever it was but at the end', async (t) => {
  const middle = tampered(t, 5, (db) => db.exec('DELETE FROM audit_log WHERE id = 3'));
  assert.deepEqual(told((await middle.verifyAudit()).findings), [[4, 'gap']]);
  const first = tampered(t, 5, (db) => db.exec('DELETE FROM audit_log WHERE id = 1'));
  assert.deepEqual(told((await first.verifyAudit()).findings), [[2, 'gap']]);
  const closed = tampered(t, 5, (db) =>
    db.exec('DELETE FROM audit_log WHERE id = 3; UPDATE audit_log SET id = id - 1 WHERE id > 3'),
  );
  assert.deepEqual(told((await closed.verifyAudit()).findings), [[3, 'tampered'], [4, 'tampered']]);
});

test('rows that changed places are found, and rows before the first', async (t) => {
  const swapped = tampered(t, 5, (db) => db.exec('UPDATE audit_log SET id = 99 WHERE id = 2; UPDATE audit_log SET '
    + 'id = 2 WHERE id = 3; UPDATE audit_log SET id = 3 WHERE id = 99'));
  assert.deepEqual(told((await swapped.verifyAudit()).findings), [[2, 'tampered'], [3, 'tampered'], [4, 'tampered']]);
  const before = tampered(t, 2, (db) => db.exec("INSERT INTO audit_log VALUES (0, '2026-11-21T09:00:00Z', 'x', "
    + "'{}', NULL, 'h', NULL), (-5, '2026-11-21T09:00:00Z', 'x', '{}', NULL, 'h', NULL)"));
  assert.deepEqual(told((await before.verifyAudit()).findings), [[-5, 'tampered'], [0, 'tampered'], [1, 'tampered']]);
});

test('a row with an id that cannot be read is told of, and nothing is appended behind it', async (t) => {
  for (const [id, head] of [
    ['9007199254740993'],
    ['9007199254740992'],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ] as const) {
    const folder = new TestFolder(t, { checked: false });
    const store = folder.open<Numbered>();
    appendMany(store, 2);
    folder.raw().exec(`INSERT INTO audit_log VALUES (${id}, '2026-11-21T09:00:00Z', 'x', '{}', NULL, 'h', NULL)`);
    assert.deepEqual(told((await store.verifyAudit()).findings), [[Number.MAX_SAFE_INTEGER, 'gap']]);
    assert.throws(() => store.appendAudit({ type: 'x' }), { code: 'ERR_STORE_CORRUPT' });
    if (head === undefined) assert.throws(() => store.auditHead(), { code: 'ERR_STORE_CORRUPT' });
    else assert.equal(store.auditHead()?.id, head);
    assert.equal(store.isHealthy(), head !== undefined);
    assert.equal(store.addUsage('a', '2026-11-21', 1), 1);
  }
});

test('a row of another store does not fit', async (t) => {
  const other = SqliteStore.inMemory<Numbered>({ clock: () => new Date('2026-11-21T09:00:00Z') });
  t.after(() => other.close());
  other.appendAudit({ type: 'x', n: 0 });
  const { hash } = other.auditHead()!;
  const store = tampered(t, 2, (db) => db.prepare("UPDATE audit_log SET timestamp = '2026-11-21T09:00:00.000Z', "
    + "event_data = '{\"n\":0}', event_meta = NULL, event_hash = ? WHERE id = 1").run(hash));
  assert.deepEqual(told((await store.verifyAudit()).findings), [[1, 'tampered'], [2, 'tampered']]);
});

test('only an anchor shows that the end was cut off', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<Numbered>();
  appendMany(store, 10);
  const anchor = store.auditHead()!;
  const db = folder.raw();
  db.exec(`${dropTriggers} DELETE FROM audit_log WHERE id > 6`);
  assert.equal((await store.verifyAudit()).ok, true);
  assert.deepEqual(told((await store.verifyAudit({ anchor })).findings), [[10, 'truncated']]);
  db.exec('DELETE FROM audit_log');
  assert.deepEqual(told((await store.verifyAudit({ anchor })).findings), [[10, 'truncated']]);
});

test('an anchor shows that other rows stand where its row was, also under rows written since', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<Numbered>();
  appendMany(store, 6);
  const earlier = store.auditHead()!;
  appendMany(store, 4);
  const anchor = store.auditHead()!;
  store.close();
  folder.raw().exec(`${dropTriggers} DELETE FROM audit_log WHERE id > 6`);
  const forked = folder.open<Numbered>();
  appendMany(forked, 10);
  assert.equal((await forked.verifyAudit()).ok, true);
  assert.equal((await forked.verifyAudit({ anchor: earlier })).ok, true);
  assert.deepEqual(told((await forked.verifyAudit({ anchor })).findings), [[10, 'forked']]);
  assert.deepEqual(told((await forked.verifyAudit({ anchor: { id: 3, hash: anchor.hash } })).findings), [
    [3, 'forked'],
  ]);
});

test('the first 1,000 findings are told, and the others counted', async (t) => {
  const store = tampered(t, 1500, (db) => db.exec("UPDATE audit_log SET event_type = 'y' WHERE id > 200"));
  const { findings, more, checked } = await store.verifyAudit();
  assert.deepEqual([findings.length, more, checked], [1000, 300, 1500]);
  assert.deepEqual([findings[0]?.id, findings.at(-1)?.id], [201, 1200]);
});

test('verifying can be aborted, and rejects with the signal\'s reason', async (t) => {
  const store = new TestFolder(t).open<Numbered>();
  appendMany(store, 1200);
  const reason = new Error('enough');
  await assert.rejects(store.verifyAudit({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
  const controller = new AbortController();
  const seen: number[] = [];
  const promise = store.verifyAudit({
    signal: controller.signal,
    onProgress: ({ done }) => {
      seen.push(done);
      controller.abort(reason);
    },
  });
  await assert.rejects(promise, (error) => error === reason);
  assert.deepEqual(seen, [500]);
});

test('progress is told after each page; others run, append and close meanwhile', async (t) => {
  const store = new TestFolder(t).open<Numbered>();
  appendMany(store, 1200);
  const seen: unknown[] = [];
  let turns = 0;
  const timer = setImmediate(function again() { turns++; setImmediate(again).unref(); });
  t.after(() => clearImmediate(timer));
  const report = await store.verifyAudit({
    onProgress: (progress) => {
      seen.push(progress);
      if (seen.length === 1) store.appendAudit({ type: 'x' });
    },
  });
  assert.deepEqual(seen, [{ done: 500, total: 1200 }, { done: 1000, total: 1200 }, { done: 1201, total: 1201 }]);
  assert.deepEqual([report.ok, report.checked], [true, 1201]);
  assert.ok(turns >= 2);
  await assert.rejects(store.verifyAudit({ onProgress: () => store.close() }), { code: 'ERR_STORE_CLOSED' });
});

test('a log whose database is exchanged for another one while it is verified is not said to be tampered '
  + 'with', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  copyFileSync(folder.file(), folder.file('restored.db'));
  for (const name of ['store.db', 'restored.db']) {
    using store = SqliteStore.open(folder.file(name));
    store.appendAudits(Array.from({ length: 1_200 }, () => ({ event: { type: 'service_started' } })));
  }
  using reader = SqliteStore.openReadOnly(folder.file());
  let isExchanged = false;
  const onProgress = (): void => {
    if (!isExchanged) renameSync(folder.file('restored.db'), folder.file());
    isExchanged = true;
  };
  await assert.rejects(reader.verifyAudit({ onProgress }), { code: 'ERR_STORE_BUSY' });
  assert.deepEqual((await reader.verifyAudit()).findings, []);
});
