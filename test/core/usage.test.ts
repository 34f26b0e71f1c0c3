import assert from 'node:assert/strict';
import type { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import type { SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';
import { randomNumbers } from '../support/values.ts';

const day = '2026-11-21';
const most = Number.MAX_SAFE_INTEGER;
const corrupt = { code: 'ERR_STORE_CORRUPT' };
const invalidArgument = { code: 'ERR_STORE_INVALID_ARGUMENT' };

/** Entry ids that look like something else. */
const hostileIds = [
  '__proto__',
  'constructor',
  'toString',
  "'); DROP TABLE usage; --",
  '" OR ""="',
  '%',
  '_',
  '*',
  '0',
  '1e3',
  'null',
  ' ',
  'a ',
  'A',
  'a',
  'ä',
  'a\u0308',
  '🎮',
  '👨‍👩‍👧',
  'لعبة',
  '\u202Eevil',
  '\uFEFFa',
  '\uFFFD',
  '\\u0000',
  '[]',
  '{"a":1}',
  '\u2028',
  '\n',
  '../../etc/passwd',
  'x'.repeat(2 ** 20),
];

test('a thousand sessions of 900 ms are 900 s exactly, at every step', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.transaction(() => {
    for (let count = 1; count <= 1000; count++) assert.equal(store.addUsage('minecraft', day, 900), count * 900);
  });
  assert.equal(store.getUsage('minecraft', day), 900_000);
  assert.deepEqual(
    { ...folder.raw().prepare('SELECT duration_secs, carry_ms FROM usage').get() },
    { duration_secs: 900, carry_ms: 0 },
  );
});

test('milliseconds carry over to seconds, which is what other readers see', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const db = folder.raw();
  for (const [add, total, secs, carry] of [
    [999, 999, 0, 999],
    [0, 999, 0, 999],
    [1, 1000, 1, 0],
    [1999, 2999, 2, 999],
    [2, 3001, 3, 1],
    [86_400_000, 86_403_001, 86_403, 1],
  ] as const) {
    assert.equal(store.addUsage('a', day, add), total);
    assert.deepEqual(
      { ...db.prepare('SELECT duration_secs, carry_ms, typeof(duration_secs) AS kind FROM usage').get() },
      { duration_secs: secs, carry_ms: carry, kind: 'integer' },
    );
  }
});

test('nothing was used where nothing was added, and adding nothing makes a total of 0', (t) => {
  const store = new TestFolder(t).open();
  assert.equal(store.getUsage('a', day), 0);
  assert.deepEqual(store.getUsageForDay(day), []);
  assert.equal(store.addUsage('a', day, 0), 0);
  assert.deepEqual(store.getUsageForDay(day), [{ entryId: 'a', durationMs: 0 }]);
});

test('a total goes up to 2^53 - 1 and no further: what would pass it is refused and changes nothing', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  assert.equal(store.addUsage('a', day, most), most);
  assert.throws(() => store.addUsage('a', day, 1), invalidArgument);
  assert.throws(() => store.addUsage('a', day, most), invalidArgument);
  assert.equal(store.addUsage('a', day, 0), most);
  assert.equal(store.addUsage('b', day, most - 5), most - 5);
  assert.throws(() => store.addUsage('b', day, 6), invalidArgument);
  assert.equal(store.addUsage('b', day, 5), most);
  store.close();
  const again = folder.open();
  assert.deepEqual([again.getUsage('a', day), again.getUsage('b', day)], [most, most]);
  assert.deepEqual(again.getStatus(['a'], day), [{ entryId: 'a', durationMs: most }]);
  again.saveSnapshot({ timestamp: new Date() }); // the plain file carries the total too
  assert.equal(again.health().snapshot.file.state, 'whole');
});

test('sums are exact, whatever is added in whatever order', (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  const store = new TestFolder(t).open();
  const sums = new Map<string, number>();
  store.transaction(() => {
    for (let round = 0; round < 500; round++) {
      const entryId = pick(['a', 'b', 'c']);
      const durationMs = pick([between(0, 1000), between(0, 10 ** 6), between(0, 2 ** 40)]);
      const sum = (sums.get(entryId) ?? 0) + durationMs;
      sums.set(entryId, sum);
      assert.equal(store.addUsage(entryId, day, durationMs), sum, `seed ${seed}`);
    }
  });
  assert.deepEqual(
    store.getUsageForDay(day),
    [...sums].sort().map(([entryId, durationMs]) => ({ entryId, durationMs })),
    `seed ${seed}`,
  );
});

test('a range gives the days that have a total, in order, both ends included', (t) => {
  const store = new TestFolder(t).open();
  for (const each of ['2026-11-30', '2026-11-01', '2025-12-31', '2026-12-01', '0000-01-01', '9999-12-31'])
    store.addUsage('a', each, 1500);
  store.addUsage('b', '2026-11-15', 1);
  const days = (from: string, to: string): string[] => store.getUsageRange('a', from, to).map((part) => part.day);
  assert.deepEqual(store.getUsageRange('a', '2026-11-01', '2026-11-30'), [
    { day: '2026-11-01', durationMs: 1500 },
    { day: '2026-11-30', durationMs: 1500 },
  ]);
  assert.deepEqual(days('0000-01-01', '9999-12-31'), [
    '0000-01-01',
    '2025-12-31',
    '2026-11-01',
    '2026-11-30',
    '2026-12-01',
    '9999-12-31',
  ]);
  assert.deepEqual(days('2026-11-02', '2026-11-29'), []);
  assert.deepEqual(days('2026-11-30', '2026-11-30'), ['2026-11-30']);
  assert.deepEqual(days('2026-11-30', '2026-11-01'), []);
});

test('a day gives the entries that have a total, by entry id', (t) => {
  const store = new TestFolder(t).open();
  for (const [index, entryId] of ['b', 'a', 'c'].entries()) store.addUsage(entryId, day, index);
  store.addUsage('d', '2026-11-22', 5);
  assert.deepEqual(store.getUsageForDay(day), [
    { entryId: 'a', durationMs: 1 },
    { entryId: 'b', durationMs: 0 },
    { entryId: 'c', durationMs: 2 },
  ]);
});

test('the status of many entries comes in the order asked, doubles and unknown ones included', (t) => {
  const store = new TestFolder(t).open();
  const until = new Date('2026-11-21T10:00:00Z');
  store.addUsage('a', day, 1500);
  store.addUsage('b', '2026-11-20', 1500);
  store.setCooldownUntil('b', until);
  assert.deepEqual(store.getStatus(['b', 'never', 'a', 'b'], day), [
    { entryId: 'b', durationMs: 0, cooldownUntil: until },
    { entryId: 'never', durationMs: 0 },
    { entryId: 'a', durationMs: 1500 },
    { entryId: 'b', durationMs: 0, cooldownUntil: until },
  ]);
  assert.deepEqual(store.getStatus([], day), []);
  const many = Array.from({ length: 2000 }, (_, index) => `entry ${2000 - index}`);
  assert.deepEqual(store.getStatus(many, day).map(({ entryId }) => entryId), many);
});

test('an entry id may be any text, and is no other', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  hostileIds.forEach((entryId, index) => {
    assert.equal(store.addUsage(entryId, day, index + 1), index + 1);
    store.setCooldownUntil(entryId, new Date(index));
  });
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  const again = folder.open();
  assert.deepEqual(hostileIds.map((entryId) => again.getUsage(entryId, day)), hostileIds.map((_, index) => index + 1));
  assert.deepEqual(
    again.getStatus(hostileIds, day),
    hostileIds.map((entryId, index) => ({ entryId, durationMs: index + 1, cooldownUntil: new Date(index) })),
  );
  assert.deepEqual(new Set(again.getUsageForDay(day).map(({ entryId }) => entryId)), new Set(hostileIds));
  assert.deepEqual(again.health().findings, []);
});

test('an error about a hostile entry id still says which operation failed', (t) => {
  const store = new TestFolder(t).open();
  store.close();
  for (const entryId of hostileIds) assert.throws(() => store.addUsage(entryId, day, 1), { code: 'ERR_STORE_CLOSED' });
});

/** A store whose total of "a" was damaged, and the row as it stands. */
function damagedTotal(t: TestContext, sql: string): { store: SqliteStore; row: () => unknown } {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.addUsage('a', day, 1500);
  store.addUsage('b', day, 1500);
  const db: DatabaseSync = folder.raw();
  db.exec(`PRAGMA ignore_check_constraints = ON; UPDATE usage SET ${sql} WHERE entry_id = 'a'`);
  const row = (): unknown => ({
    ...db
      .prepare("SELECT quote(duration_secs) AS secs, quote(carry_ms) AS carry FROM usage WHERE entry_id = 'a'")
      .get(),
  });
  return { store, row };
}

for (const sql of [
  "duration_secs = 'many'",
  "duration_secs = ''",
  "duration_secs = x'01'",
  'duration_secs = -1',
  'duration_secs = 1.5',
  'duration_secs = 9e999',
  'duration_secs = 9007199254741',
  'duration_secs = 9007199254740992',
  'duration_secs = 9223372036854775807',
  'duration_secs = 9007199254740, carry_ms = 992',
  'carry_ms = 1000',
  'carry_ms = 5000',
  'carry_ms = -1',
  'carry_ms = -500',
  "carry_ms = 'x'",
  'carry_ms = 0.5',
  'carry_ms = 9223372036854775807',
]) {
  test(`a damaged total is an error to whoever reads or adds, and stays as it is: ${sql}`, (t) => {
    const { store, row } = damagedTotal(t, sql);
    const before = row();
    assert.throws(() => store.getUsage('a', day), corrupt);
    for (const add of [0, 1, 500, 1000, 10 ** 6])
      assert.throws(() => store.addUsage('a', day, add), corrupt, String(add));
    assert.throws(() => store.getUsageRange('a', day, day), corrupt);
    assert.throws(() => store.getUsageForDay(day), corrupt);
    assert.throws(() => store.getStatus(['b', 'a'], day), corrupt);
    assert.deepEqual(row(), before);
    // The others go on, and the plain file is none the worse for it.
    assert.equal(store.addUsage('b', day, 1), 1501);
    store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
    assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-11-21T09:00:00Z') });
    assert.equal(store.health().snapshot.file.state, 'whole');
    assert.deepEqual(row(), before);
    assert.ok(store.isHealthy());
  });
}

test('ids that no method accepts do not make the plain file unreadable', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  folder.raw().exec(`INSERT INTO usage VALUES ('', '${day}', 5, 0), (x'00', '${day}', 5, 0); INSERT INTO cooldowns `
    + `(entry_id, until) VALUES ('', '2030-01-01T00:00:00Z'), (NULL, '2030-01-01T00:00:00Z')`);
  store.addUsage('a', day, 1);
  store.saveSnapshot({ timestamp: new Date() });
  assert.equal(store.health().snapshot.file.state, 'whole');
});
