// A limit never fails open: whatever is damaged of what decides, the answer is no, and it is an answer.
import assert from 'node:assert/strict';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import type { SqliteStore } from '../../lib/index.ts';
import { evaluate, evaluateAll, type LimitPolicy } from '../../lib/modules/limits/limits.ts';
import { damage } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { balance, override } from '../support/limits.ts';

const hourMs = 3_600_000;
const [monday, today, tomorrow] = ['2026-11-16', '2026-11-21', '2026-11-22'];
const now = new Date(`${today}T12:00:00Z`);
const options = { timeZone: 'UTC' };

/** `free` needs none of the rows but that of the session. */
const policy: LimitPolicy = {
  entries: {
    a: { groups: ['games'], dailyMs: 5 * hourMs, usesBalance: 'tokens' },
    b: { groups: ['games'] },
    free: {},
  },
  groups: { games: { weeklyMs: 10 * hourMs } },
};

/** Writes a row of every kind, after which everything is allowed. */
function fill(store: SqliteStore, db: DatabaseSync): void {
  for (const entryId of ['a', 'b', 'c']) for (const day of [monday, today]) store.addUsage(entryId, day, 90_500);
  for (const subject of ['a', 'group:games']) {
    store.setCooldownUntil(subject, new Date(now.getTime() - 1));
    for (const day of [today, tomorrow]) override(db, subject, day, 0, 'allowed');
  }
  for (const subject of ['tokens', 'a']) balance(db, subject, hourMs);
  store.saveSnapshot({
    timestamp: now, activeSession: { sessionId: 's', entryId: 'c', startedAt: now, warningsIssued: [] },
  });
}

/** The entries that may start. */
function allowed(store: SqliteStore): string[] {
  const verdicts = evaluateAll(store, policy, ['a', 'b', 'free'], options);
  return verdicts.filter((verdict) => verdict.allowed).map(({ entryId }) => entryId);
}

/** Columns with what they may not hold, the row, whose limits that makes unreadable, and who may start nevertheless. */
const damages: [column: string, values: string[], where: string, subject: string, allowed: string[]][] = [
  ...[today, monday].map((day): (typeof damages)[number] => {
    const bad = ['-1', '0.5', "'x'", "x'61'", 'NULL', '9007199254740992', '9223372036854775807', '9007199254741'];
    return ['usage.duration_secs', bad, `entry_id = 'b' AND day = '${day}'`, 'group:games', ['free']];
  }),
  ['usage.carry_ms', ['-1', '1000', '0.5', "'x'", 'NULL', '9007199254740992'], "entry_id = 'b'", 'group:games',
    ['free']],
  ...([
    [monday, ["'2026-11-19x'", "'2026-11-1x'", "'2026-11-16' || char(0)"]],
    [today, ["'2026-11-21x'", "'2026-11-31'", "'2026-11-21' || char(0)", "'x'", "x'61'", 'CAST(day AS BLOB)']],
  ] as const).map(([day, bad]): (typeof damages)[number] => {
    return ['usage.day', [...bad], `entry_id = 'b' AND day = '${day}'`, 'group:games', ['free']];
  }),
  ['usage.duration_secs', ["'x'"], "entry_id = 'c'", '', ['a', 'b', 'free']],
  ...[today, tomorrow].flatMap((day): typeof damages => {
    const numbers = ['NULL', "'x'", '0.5', "x'61'", '9007199254740992', '-9223372036854775807'];
    const words = ["'maybe'", "''", "'ALLOWED'", "'allowed' || char(0)", "x'61'", '1'];
    const ofDay = (subject: string): string => `subject = '${subject}' AND day = '${day}'`;
    return [
      ['overrides.granted_ms', numbers, ofDay('a'), 'a', ['b', 'free']],
      ['overrides.availability', words, ofDay('a'), 'a', ['b', 'free']],
      ['overrides.granted_ms', numbers, ofDay('group:games'), 'group:games', ['free']],
      ['overrides.availability', words, ofDay('group:games'), 'group:games', ['free']],
    ];
  }),
  ['overrides.day', ["'2026-11-22x'", "'2026-11-31'"], `subject = 'a' AND day = '${tomorrow}'`, 'a', ['b', 'free']],
  ...['a', 'group:games'].flatMap((subject): typeof damages => {
    const rest = subject === 'a' ? ['b', 'free'] : ['free'];
    const bad = ["'soon'", "''", '5', "x'61'", "'2026-02-30T00:00:00Z'", '9007199254740992'];
    return ['until', 'set_at', 'clock_behind_at'].map((column) => {
      const values = column === 'until' ? [...bad, 'NULL'] : bad;
      return [`cooldowns.${column}`, values, `entry_id = '${subject}'`, subject, rest];
    });
  }),
  ['balances.balance_ms', ['-1', 'NULL', "'x'", '0.5', "x'61'", '9007199254740992'], "subject = 'tokens'", 'tokens',
    ['b', 'free']],
  ['balances.balance_ms', ["'x'"], "subject = 'a'", '', ['a', 'b', 'free']],
];

for (const [place, values, where, subject, rest] of damages) {
  test(`a damaged ${place} where ${where} lets nobody start whom it limits`, (t) => {
    const [table, column] = place.split('.') as [string, string];
    for (const value of values) {
      const folder = new TestFolder(t, { checked: false, inMemory: true });
      const store = folder.open({ clock: () => now });
      fill(store, folder.raw());
      assert.deepEqual(allowed(store), ['a', 'b', 'free']);
      damage(folder.file(), table, `${column} = ${value} WHERE ${where}`);
      assert.deepEqual(allowed(store), rest, value);
      const { reasons } = evaluate(store, policy, 'a', options);
      assert.deepEqual(reasons.filter(({ code }) => code === 'unreadable').map((reason) => reason.subject),
        subject === '' || !['a', 'group:games', 'tokens'].includes(subject) ? [] : [subject], value);
      for (const reason of reasons) assert.deepEqual(reason, { code: 'unreadable', subject: reason.subject }, value);
    }
  });
}

/** A store whose every part is sound, closed so that its file may be harmed. */
function closed(t: TestContext): TestFolder {
  const folder = new TestFolder(t, { checked: false, inMemory: true });
  using store = folder.open({ clock: () => now });
  using db = new DatabaseSync(folder.file());
  fill(store, db);
  return folder;
}

test('where nobody knows what runs, nothing may start', (t) => {
  const folder = closed(t);
  const store = folder.open({ clock: () => now });
  writeFileSync(folder.file('store.snapshot.json'), 'noise');
  assert.deepEqual(allowed(store), ['a', 'b', 'free']);
  folder.raw().exec("UPDATE snapshot SET data = '{'");
  for (const entryId of ['a', 'b', 'free', 'unknown']) {
    const { allowed, reasons, changesAt } = evaluate(store, policy, entryId, options);
    assert.deepEqual([allowed, changesAt], [false, undefined]);
    assert.deepEqual(reasons.at(-1), { code: 'unreadable', subject: entryId });
  }
});

test('what can still be read is told beside what cannot', (t) => {
  const folder = closed(t);
  damage(folder.file(), 'overrides', `granted_ms = 'x', availability = 'denied' WHERE day = '${today}'`);
  const store = folder.open({ clock: () => now });
  store.addUsage('b', today, 10 * hourMs);
  const { reasons } = evaluate(store, policy, 'a', options);
  assert.deepEqual(reasons.map(({ code, subject }) => `${code} ${subject}`), [
    'denied a', 'denied group:games', 'weekly_quota group:games', 'unreadable a', 'unreadable group:games',
  ]);
});

for (const [table, rest] of Object.entries({
  usage: ['free'], overrides: [], cooldowns: [], balances: ['b', 'free'],
})) {
  test(`a damaged page of ${table} lets nobody start whom it limits`, (t) => {
    const folder = closed(t);
    const pages = `SELECT rootpage FROM sqlite_schema WHERE tbl_name = '${table}' AND rootpage > 0`;
    using db = new DatabaseSync(folder.file());
    const roots = db.prepare(pages).all().map(({ rootpage }) => Number(rootpage));
    const store = folder.open({ clock: () => now }); // what it reads at open may be of these pages
    db.close();
    const file = openSync(folder.file(), 'r+');
    for (const page of roots) writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, (page - 1) * 4096);
    closeSync(file);
    assert.deepEqual(allowed(store), rest);
  });
}
