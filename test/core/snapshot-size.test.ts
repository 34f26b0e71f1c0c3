// The plain file's size: what goes into it, what it costs to find that, and what is too large.
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { readSnapshotFile, type SnapshotContent } from '../../lib/core/snapshot-file.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';

const hourMs = 3_600_000;
const noon = Date.UTC(2026, 10, 21, 12);
const state = { timestamp: new Date(noon) };
const session = { sessionId: 's', entryId: 'a', startedAt: new Date(noon), warningsIssued: [] };

function contentOf(folder: TestFolder): SnapshotContent {
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.ok(file.state === 'whole');
  return file.content;
}

/** The entries whose cooldowns the file has, after a save. */
function saved(folder: TestFolder, store: SqliteStore): string[] {
  store.saveSnapshot(state);
  return contentOf(folder).cooldowns.map(({ entryId }) => entryId);
}

test('the file has the cooldowns that are not over and those of the last day, and all are listed', (t) => {
  const folder = new TestFolder(t);
  let now = noon;
  const store = folder.open({ clock: () => new Date(now) });
  const hours: Record<string, number> = { running: 1, over: 0, yesterday: -23.9, older: -24, years: -9e4 };
  for (const [entryId, left] of Object.entries(hours)) store.setCooldownUntil(entryId, new Date(now + left * hourMs));
  assert.deepEqual(saved(folder, store), ['over', 'running', 'yesterday']);
  assert.equal(store.listCooldowns().length, 5);
  assert.equal(
    store.getStatus(Object.keys(hours), '2026-11-21').filter(({ cooldownUntil }) => cooldownUntil).length,
    5,
  );
  now += hourMs;
  store.appendAudit({ type: 'service_started' });
  assert.deepEqual(saved(folder, store), ['over', 'running']);
  now += 100 * hourMs;
  assert.deepEqual(saved(folder, store), []);
  // A clock that was ahead and is right again.
  now = noon;
  assert.deepEqual(saved(folder, store), ['over', 'running', 'yesterday']);
});

test('a cooldown that a clock set back makes run again is in the file, though nothing else has changed since the '
  + 'last save', (t) => {
  const folder = new TestFolder(t);
  let now = new Date(2026, 10, 22, 23);
  const store = folder.open({ clock: () => now });
  // The days that the file has are the same at both times.
  for (const day of ['2026-11-20', '2026-11-22']) store.addUsage('a', day, 1_000);
  store.setCooldownUntil('a', new Date(2026, 10, 21, 12));
  assert.deepEqual(saved(folder, store), []);
  now = new Date(2026, 10, 21, 0, 30);
  assert.deepEqual(saved(folder, store), ['a']);
});

test('a cooldown in another writer\'s time zone is in the file for as long as any other', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock: () => new Date(noon) });
  const zones: [entryId: string, until: string][] = [
    ['east', '2026-11-22T12:00:00+23:59'],
    ['west', '2026-11-19T12:02:00-23:59'],
    ['seconds', '2026-11-20T12:00:01Z'],
    ['east of a day ago', '2026-11-21T11:58:00+23:59'],
    ['west of a day ago', '2026-11-19T12:00:00-23:59'],
    ['no instant', 'tomorrow'],
  ];
  for (const [entryId, until] of zones)
    folder.raw().prepare('INSERT INTO cooldowns (entry_id, until) VALUES (?, ?)').run(entryId, until);
  assert.deepEqual(saved(folder, store), ['east', 'seconds', 'west']);
});

/**
 * Has every statement counted that runs until the function that is given is called: its SQL, the rows it gave and those
 * it changed.
 */
function watched(t: TestContext): () => { sql: string; rows: number }[] {
  const ran: { sql: string; rows: number }[] = [];
  const { all, run } = StatementSync.prototype;
  t.mock.method(StatementSync.prototype, 'all', function (this: StatementSync, ...values: Parameters<typeof all>) {
    const rows = all.apply(this, values);
    ran.push({ sql: this.sourceSQL, rows: rows.length });
    return rows;
  });
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: Parameters<typeof run>) {
    const result = run.apply(this, values);
    ran.push({ sql: this.sourceSQL, rows: Number(result.changes) });
    return result;
  });
  return () => {
    t.mock.restoreAll();
    return ran;
  };
}

test('cooldowns that ended long ago cost nothing at a save, a load, a look at the health or an open', (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const options = { clock: () => new Date(noon), recover: true };
  const store = folder.open(options);
  store.transaction(() => {
    for (let number = 0; number < 5_000; number++)
      store.setCooldownUntil(`old ${number}`, new Date(noon - 100 * hourMs - number));
    store.setCooldownUntil('running', new Date(noon + hourMs));
    for (let number = 0; number < 5_000; number++) store.addUsage(`old ${number}`, '2020-01-01', 1);
    for (const day of ['2026-11-20', '2026-11-21']) store.addUsage('running', day, 1_000);
  });
  const stop = watched(t);
  store.saveSnapshot(state);
  store.transaction(() => [store.addUsage('running', '2026-11-21', 1_000), store.saveSnapshot(state)]);
  store.loadSnapshot();
  assert.ok(store.health().ok);
  store.close();
  const again = folder.open(options);
  const ran = stop();
  assert.deepEqual(ran.filter(({ rows }) => rows > 250), []);
  // What SQLite itself would read without giving it.
  const plans = new Set(ran.map(({ sql }) => sql).filter((sql) => /^SELECT.*\bcooldowns\b/s.test(sql)));
  assert.ok(plans.size > 0);
  for (const sql of plans) {
    const plan = folder.raw().prepare(`EXPLAIN QUERY PLAN ${sql}`).all().map(({ detail }) => String(detail));
    assert.deepEqual(plan.filter((step) => /SCAN cooldowns/.test(step)), [], sql);
  }
  assert.deepEqual(saved(folder, again), ['running']);
});

/** Six bytes for each in JSON. */
const control = (count: number): string => '\x01'.repeat(count);
const mebi = 1024 * 1024;

const tooLarge: [what: string, save: (store: SqliteStore) => void][] = [
  [
    'a session id that JSON makes too long',
    (store) => store.saveSnapshot({ ...state, activeSession: { ...session, sessionId: control(11 * mebi) } }),
  ],
  [
    'a session id of which V8 has no JSON',
    (store) => store.saveSnapshot({ ...state, activeSession: { ...session, sessionId: control(90 * mebi) } }),
  ],
  [
    'warnings without end',
    (store) =>
      store.saveSnapshot({
        ...state,
        activeSession: { ...session, warningsIssued: new Array(6 * mebi).fill(Number.MAX_SAFE_INTEGER) },
      }),
  ],
  [
    'cooldowns that together are too long',
    (store) =>
      store.transaction(() => {
        for (const number of [1, 2]) store.setCooldownUntil(control(6 * mebi) + number, new Date(noon + hourMs));
        store.saveSnapshot(state);
      }),
  ],
  [
    'usage of a day that together is too long',
    (store) =>
      store.transaction(() => {
        for (const number of [1, 2]) store.addUsage(control(6 * mebi) + number, '2026-11-21', 1);
        store.saveSnapshot(state);
      }),
  ],
];

for (const [what, save] of tooLarge) {
  test(`what would not be read back is refused and changes nothing: ${what}`, (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const store = folder.open({ clock: () => new Date(noon) });
    store.saveSnapshot(state);
    const before = [
      store.auditHead(),
      store.listCooldowns(),
      store.getUsageForDay('2026-11-21'),
      contentOf(folder),
      readdirSync(folder.path),
    ];
    assert.throws(() => store.transaction(() => {
      store.appendAudit({ type: 'service_started' });
      save(store);
    }), { code: 'ERR_STORE_INVALID_ARGUMENT' });
    assert.deepEqual(
      [
        store.auditHead(),
        store.listCooldowns(),
        store.getUsageForDay('2026-11-21'),
        contentOf(folder),
        readdirSync(folder.path),
      ],
      before,
    );
    assert.ok(store.health().ok);
    store.saveSnapshot({ timestamp: new Date(noon + 1) });
    assert.equal(contentOf(folder).generation, 2);
  });
}

test('a large file that is just read back is written, and heals', (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const options = { clock: () => new Date(noon), recover: true };
  const store = folder.open(options);
  store.setCooldownUntil(control(10 * mebi), new Date(noon + hourMs));
  store.saveSnapshot(state);
  store.close();
  rmSync(folder.file());
  const again = folder.open(options);
  assert.deepEqual(again.recovery?.restored, { usage: 0, cooldowns: 1, snapshot: true });
});
