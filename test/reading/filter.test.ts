import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AuditEvent, type AuditFilter, SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';
import { codeOf } from '../support/refusals.ts';

type Numbered = { type: string; n?: number; sessionId?: string };

const rows = 1_700; // three pages and a part of one

function fill(folder: TestFolder): SqliteStore<Numbered> {
  let at = Date.UTC(2026, 10, 21);
  const store = folder.open<Numbered>({ clock: () => new Date(at) });
  store.transaction(() => {
    for (let n = 1; n <= rows; n++) {
      at += 1_000;
      const event = { type: n % 3 === 0 ? 'third' : 'other', n, sessionId: `s${n % 5}` };
      store.appendAudit(event, { source: n % 2 === 0 ? 'even' : 'odd', target: n === 850 ? 'one' : 'many' });
    }
  });
  return store;
}

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const event of events) list.push(event);
  return list;
}

const at = (n: number): Date => new Date(Date.UTC(2026, 10, 21) + n * 1_000);
const filters: (AuditFilter | undefined)[] = [
  undefined,
  {},
  { type: 'third' },
  { type: 'none' },
  { source: 'even' },
  { target: 'one' },
  { sessionId: 's2' },
  { since: at(900) },
  { until: at(900) },
  { since: at(400), until: at(1_300) },
  { beforeId: 0 },
  { beforeId: 1 },
  { beforeId: 2 },
  { beforeId: 501 },
  { beforeId: 1_000_000 },
  { type: 'third', source: 'even', target: 'many', sessionId: 's1', since: at(100), until: at(1_600), beforeId: 1_500 },
];

test('a search gives the events of getRecentAudits in the same order, whatever the filter', async (t) => {
  const folder = new TestFolder(t);
  const store = fill(folder);
  const most = Number.MAX_SAFE_INTEGER;
  for (const filter of filters) {
    assert.deepEqual(await all(store.findAudits(filter)), store.getRecentAudits(most, filter), JSON.stringify(filter));
  }
  store.close();
  const reader = folder.closing(SqliteStore.openReadOnly<Numbered>(folder.file()));
  assert.equal((await all(reader.findAudits({ type: 'third' }))).length, 566);
  assert.deepEqual(await all(new TestFolder(t).open().findAudits()), []);
});

test('a search gives what a log with gaps has', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  fill(folder).close();
  const raw = folder.raw();
  raw.exec('DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_log_no_update');
  raw.exec(
    'DELETE FROM audit_log WHERE id BETWEEN 300 AND 1400; UPDATE audit_log SET id = id + 1000000000 WHERE id > 1500',
  );
  raw.close();
  const store = folder.open<Numbered>();
  assert.deepEqual(await all(store.findAudits({ source: 'odd' })), store.getRecentAudits(rows, { source: 'odd' }));
});

test('between two pages of a search others have their turn, nothing is open, and later events stay out', async (t) => {
  const folder = new TestFolder(t);
  const store = fill(folder);
  const other = folder.raw();
  let turns = 0;
  let searching = true;
  const turning = (async () => {
    for (; searching; await nextTurn()) {
      turns++;
      // TRUNCATE is busy while any reader is in the -wal.
      const checkpoint = { ...other.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() };
      assert.deepEqual(checkpoint, { busy: 0, log: 0, checkpointed: 0 });
      store.appendAudit({ type: 'meanwhile' });
    }
  })();
  // None matches: nobody but the search itself could pause it.
  assert.deepEqual(await all(store.findAudits({ type: 'none' })), []);
  searching = false;
  await turning;
  assert.ok(turns >= 3, String(turns));
  const seen: AuditEvent<Numbered>[] = [];
  for await (const event of store.findAudits({ sessionId: 's1' })) {
    seen.push(event);
    if (seen.length % 50 === 0) store.transaction(() => store.appendAudit({ type: 'inside', sessionId: 's1' }));
  }
  assert.equal(seen.length, rows / 5);
});

test('a search rejects with the reason of its signal, before it and wherever it is, and can be left', async (t) => {
  const store = fill(new TestFolder(t));
  const reason = new Error('enough');
  await assert.rejects(all(store.findAudits({}, { signal: AbortSignal.abort(reason) })), reason);
  for (const stop of [1, 499, 500, 501, 1_200]) {
    const controller = new AbortController();
    let seen = 0;
    await assert.rejects(async () => {
      for await (const _event of store.findAudits({}, { signal: controller.signal })) {
        if (++seen === stop) controller.abort(reason);
      }
    }, reason);
    assert.equal(seen, stop);
  }
  const controller = new AbortController();
  setImmediate(() => controller.abort(reason));
  await assert.rejects(all(store.findAudits({ type: 'none' }, { signal: controller.signal })), reason);
  for await (const { id } of store.findAudits()) if (id === rows - 700) break;
  store.appendAudit({ type: 'after' });
});

test('a search fails at an unreadable event, which may be what is looked for, and on a closed store', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  fill(folder).close();
  const raw = folder.raw();
  raw.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{' WHERE id = 400");
  raw.close();
  const store = folder.open<Numbered>();
  const ids: number[] = [];
  assert.equal(await codeOf(async () => {
    for await (const { id } of store.findAudits({ sessionId: 's3' })) ids.push(id);
  }), 'ERR_STORE_CORRUPT');
  assert.equal(ids.at(-1), 403);
  const search = store.findAudits();
  await search.next();
  store.close();
  assert.equal(await codeOf(() => all(search)), 'ERR_STORE_CLOSED');
  assert.equal(await codeOf(() => store.findAudits()), 'ERR_STORE_CLOSED');
});
