// Ledger and log compared, and each made from the other.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, fstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { importStore } from '../../lib/import/index.ts';
import { SqliteStore } from '../../lib/index.ts';
import {
  Ledger, type LedgerLine, mirrorEvent, rebuildDatabase, rebuildLedger, replay, verifyParity,
} from '../../lib/ledger/index.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase } from '../support/foreign.ts';
import { filesWith, plant, plantInBoth } from '../support/ledger.ts';
import { run } from '../support/process.ts';
import { badOptions } from '../support/values.ts';

const clock = (): Date => new Date('2026-11-21T10:00:00Z');

/** A closed store with a ledger and something of everything in both. */
function filled(t: TestContext): TestFolder {
  const folder = new TestFolder(t);
  const store = folder.open({ clock, ledger: Ledger.open(folder.file('audit.jsonl')) });
  store.appendAudit({ type: 'service_started' }, { eventId: 'e1', source: 'Zoë', tags: ['1.5e-7'] });
  store.transaction(() => {
    store.addUsage('minecraft', '2026-11-20', 1_500);
    store.addUsage('minecraft', '2026-11-21', 90_500);
    store.setCooldownUntil('minecraft', new Date('2026-11-21T11:00:00Z'));
  });
  store.addUsage('film', '2026-11-21', 0);
  store.setCooldownUntil('film', clock());
  store.clearCooldown('film');
  store.close();
  return folder;
}

function ledgerOf(folder: TestFolder): Ledger {
  return folder.closing(Ledger.open(folder.file('audit.jsonl')));
}

function readerOf(folder: TestFolder, name = 'store.db'): SqliteStore {
  return folder.closing(SqliteStore.openReadOnly(folder.file(name)));
}

/** What a rebuild must not lose. */
function dump(store: SqliteStore): unknown {
  return [
    [...store.iterateAudits()],
    ['2026-11-20', '2026-11-21'].map((day) => store.getUsageForDay(day)),
    store.listCooldowns(),
    store.auditHead(),
  ];
}

test('ledger and log of a store that was used are consistent, and so are the balances', async (t) => {
  const folder = filled(t);
  const progress: number[] = [];
  const report = await verifyParity(readerOf(folder), ledgerOf(folder), {
    onProgress: ({ done }) => progress.push(done),
  });
  assert.deepEqual(report, {
    isConsistent: true,
    ledgerCount: 8,
    sqliteCount: 8,
    missingInSqlite: [],
    missingInLedger: [],
    mismatched: [],
    unreadable: [],
    state: [],
    more: 0,
  });
});

test('a database from before is told what it lacks, replay adds it with its effects, a second finds it', async (t) => {
  const folder = filled(t);
  copyFileSync(folder.file(), folder.file('before.db'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  store.addUsage('minecraft', '2026-11-21', 500);
  store.clearCooldown('minecraft');
  const expected = dump(store);
  store.close();

  assert.deepEqual((await verifyParity(readerOf(folder, 'before.db'), ledgerOf(folder))).missingInSqlite, [9, 10]);
  const old = folder.closing(SqliteStore.open(folder.file('before.db'), { clock, ledger: ledgerOf(folder) }));
  assert.deepEqual(dump(old), expected);
  const report = await replay(old, ledgerOf(folder));
  assert.deepEqual([report.replayed, report.skippedExisting, report.parity.isConsistent], [0, 10, true]);
});

test('an event whose type is a name that every object has is replayed like any other', async (t) => {
  const folder = new TestFolder(t);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  using store = SqliteStore.open<{ type: string }>(folder.file('used.db'), { ledger });
  const types = [
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'toLocaleString',
    'toString',
    'valueOf',
    '__defineGetter__',
  ];
  for (const type of types) store.appendAudit({ type });
  const { events } = await rebuildDatabase(ledger, folder.file());
  assert.equal(events, types.length + 1);
  using rebuilt = SqliteStore.openReadOnly<{ type: string }>(folder.file());
  assert.deepEqual([...rebuilt.iterateAudits({ fromId: 2 })].map(({ event }) => event.type), types);
});

test('a ledger from before is told what it lacks', async (t) => {
  const folder = filled(t);
  copyFileSync(folder.file('audit.jsonl'), folder.file('before.jsonl'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  store.appendAudit({ type: 'service_stopped' });
  const report = await verifyParity(store, folder.closing(Ledger.open(folder.file('before.jsonl'))));
  assert.deepEqual([report.missingInLedger, report.isConsistent], [[9], false]);
});

for (const column of ['timestamp', 'event_type', 'event_data', 'event_meta', 'event_hash', 'signature']) {
  test(`a row whose ${column} is another one in the database is a mismatch with both hashes`, async (t) => {
    const folder = filled(t);
    const db = folder.raw();
    const value = column === 'event_meta' ? '{"source":"nobody"}' : 'x';
    db.exec('DROP TRIGGER audit_log_no_update');
    db.prepare(`UPDATE audit_log SET ${column} = ? WHERE id = 2`).run(value);
    const report = await verifyParity(readerOf(folder), ledgerOf(folder));
    const line = [...ledgerOf(folder).iterate()].find(({ id }) => id === 2);
    assert.deepEqual(report.mismatched, [
      { id: 2, ledgerHash: line?.hash, sqliteHash: column === 'event_hash' ? 'x' : line?.hash },
    ]);
    assert.equal(report.isConsistent, false);
    await assert.rejects(replay(folder.closing(SqliteStore.openReadOnly(folder.file())), ledgerOf(folder)), {
      code: 'ERR_STORE_READ_ONLY',
    });
    rmSync(folder.file()); // it was damaged on purpose
  });
}

test('usage and cooldowns that are not what the events add up to are named', async (t) => {
  const folder = filled(t);
  folder.raw().exec(`
    UPDATE usage SET carry_ms = 7 WHERE day = '2026-11-20';
    DELETE FROM cooldowns;
    INSERT INTO usage VALUES ('new', '2026-11-20', 1, 0)`);
  const { state, isConsistent } = await verifyParity(readerOf(folder), ledgerOf(folder));
  assert.equal(isConsistent, false);
  assert.deepEqual(state, [
    { entryId: 'minecraft', day: '2026-11-20', expected: 1_500, stored: 1_007 },
    { entryId: 'new', day: '2026-11-20', expected: undefined, stored: 1_000 },
    { entryId: 'minecraft', expected: '2026-11-21T11:00:00.000Z', stored: undefined },
  ]);
});

test('a single line is mirrored once, as a part of the transaction around it', (t) => {
  const folder = filled(t);
  const lines = [...ledgerOf(folder).iterate()];
  copyFileSync(folder.file(), folder.file('other.db'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  assert.equal(mirrorEvent(store, lines[0]!), 'already-present');
  const forged: LedgerLine = { ...lines[0]!, data: '{"a":1}' };
  assert.throws(() => mirrorEvent(store, forged), { code: 'ERR_STORE_PARITY' });
  store.addUsage('minecraft', '2026-11-21', 5);
  const line = [...ledgerOf(folder).iterate()].at(-1)!;
  store.close();

  const ledger = folder.file('other.jsonl');
  writeFileSync(ledger, readFileSync(folder.file('audit.jsonl'), 'utf8').split('\n').slice(0, -2).join('\n') + '\n', {
    mode: 0o600,
  });
  const other = folder.closing(SqliteStore.open(folder.file('other.db'), { clock, ledger: Ledger.open(ledger) }));
  const before = other.getUsage('minecraft', '2026-11-21');
  assert.throws(
    () =>
      other.transaction(() => {
        assert.equal(mirrorEvent(other, line), 'inserted');
        throw new Error('boom');
      }),
    /boom/,
  );
  assert.equal(other.getUsage('minecraft', '2026-11-21'), before);
  assert.equal(mirrorEvent(other, line), 'inserted');
  assert.equal(other.getUsage('minecraft', '2026-11-21'), before + 5);
  assert.equal(mirrorEvent(other, line), 'already-present');
  assert.deepEqual(Ledger.open(ledger).head, other.auditHead());
});

test('a line that does not follow the newest row is refused', (t) => {
  const folder = filled(t);
  const lines = [...ledgerOf(folder).iterate()];
  const store = SqliteStore.inMemory({ clock });
  assert.throws(() => mirrorEvent(store, lines[0]!), { code: 'ERR_STORE_PARITY' });
  assert.throws(() => mirrorEvent(store, lines[3]!), { code: 'ERR_STORE_PARITY' });
  assert.equal(store.auditHead(), undefined);
});

test('what is no line of a ledger is refused as an argument, and a getter is asked once', (t) => {
  const folder = filled(t);
  const [line] = [...ledgerOf(folder).iterate()];
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  const hostile = Object.defineProperty({ ...line! }, 'data', {
    enumerable: true,
    get: () => {
      throw new Error('boom');
    },
  });
  const values: unknown[] = [
    undefined,
    null,
    5,
    'line',
    {},
    [],
    [line],
    { ...line, data: 5 },
    { ...line, id: 1n },
    { ...line, id: 0 },
    { ...line, id: '1' },
    { ...line, meta: null },
    { ...line, blob: 'data' },
    { ...line, blob: ['data'] },
    { ...line, more: false },
    { ...line, sig: 5 },
    { ...line, extra: 1 },
    hostile,
  ];
  for (const value of values) {
    assert.throws(() => mirrorEvent(store, value as LedgerLine), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
      message: /^line /,
    });
  }
  let asked = 0;
  const counting = Object.defineProperty({ ...line! }, 'data', {
    enumerable: true,
    get: () => (asked++ === 0 ? line!.data : '{}'),
  });
  assert.equal(mirrorEvent(store, counting), 'already-present');
  assert.equal(mirrorEvent(store, { ...line!, more: undefined } as unknown as LedgerLine), 'already-present');
});

test('a lost database is rebuilt from the ledger, and a lost ledger from the database', async (t) => {
  const folder = filled(t);
  const expected = dump(readerOf(folder));
  assert.deepEqual(await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db')), { events: 8 });
  const rebuilt = folder.closing(SqliteStore.open(folder.file('rebuilt.db'), { clock, ledger: ledgerOf(folder) }));
  assert.equal(rebuilt.recovery, undefined);
  assert.deepEqual(dump(rebuilt), expected);
  assert.ok((await rebuilt.verifyAudit()).ok);

  assert.deepEqual(await rebuildLedger(readerOf(folder), folder.file('rebuilt.jsonl')), { events: 8 });
  assert.equal(
    readFileSync(folder.file('rebuilt.jsonl'), 'utf8'),
    readFileSync(folder.file('audit.jsonl'), 'utf8').replaceAll(',"more":true', ''),
  );
  assert.ok((await verifyParity(readerOf(folder), Ledger.open(folder.file('rebuilt.jsonl')))).isConsistent);
});

test('a rebuild overwrites nothing, and leaves nothing behind when it fails or is aborted', async (t) => {
  const folder = filled(t);
  const names = (): string[] => readdirSync(folder.path).sort();
  const before = names();
  const store = readerOf(folder);
  await assert.rejects(rebuildLedger(store, folder.file('audit.jsonl')), { code: 'ERR_STORE_CONFLICT' });
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file()), { code: 'ERR_STORE_CONFLICT' });
  await assert.rejects(rebuildDatabase(Ledger.open(folder.file('none.jsonl')), folder.file('new.db')), {
    code: 'ERR_STORE_NOT_FOUND',
  });
  const reason = new Error('enough');
  await assert.rejects(rebuildLedger(store, folder.file('new.jsonl'), { signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(
    rebuildDatabase(ledgerOf(folder), folder.file('new.db'), { signal: AbortSignal.abort(reason) }),
    reason,
  );
  await assert.rejects(
    rebuildDatabase(ledgerOf(folder), folder.file('new.db'), {
      onProgress: () => {
        throw reason;
      },
    }),
    reason,
  );
  writeFileSync(
    folder.file('damaged.jsonl'),
    readFileSync(folder.file('audit.jsonl'), 'utf8').replace('90500', '90501'),
    { mode: 0o600 },
  );
  await assert.rejects(rebuildDatabase(Ledger.open(folder.file('damaged.jsonl')), folder.file('new.db')), {
    code: 'ERR_STORE_CORRUPT',
  });
  assert.deepEqual(names(), [...before, 'damaged.jsonl'].sort());
});

test('comparing is refused with what is no ledger of this store', async (t) => {
  const folder = filled(t);
  const other = filled(t);
  const store = readerOf(folder);
  await assert.rejects(verifyParity(store, ledgerOf(other)), { code: 'ERR_STORE_CONFLICT' });
  await assert.rejects(verifyParity(store, Ledger.open(folder.file('none.jsonl'))), { code: 'ERR_STORE_NOT_FOUND' });
  await assert.rejects(replay(store, Ledger.open(folder.file('none.jsonl'))), { code: 'ERR_STORE_NOT_FOUND' });
  await assert.rejects(verifyParity(store, 'audit.jsonl' as unknown as Ledger), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  for (const value of [undefined, null, 5, {}, 'audit.jsonl'] as unknown[] as Ledger[]) {
    await assert.rejects(replay(store, value), { code: 'ERR_STORE_INVALID_ARGUMENT', message: /^ledger / });
    await assert.rejects(rebuildDatabase(value, folder.file('new.db')), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
      message: /^ledger /,
    });
  }
  for (const [name, value] of badOptions) {
    await assert.rejects(
      verifyParity(store, ledgerOf(folder), value as object),
      { code: 'ERR_STORE_INVALID_ARGUMENT' },
      name,
    );
    await assert.rejects(
      rebuildLedger(store, folder.file('new.jsonl'), value as object),
      { code: 'ERR_STORE_INVALID_ARGUMENT' },
      name,
    );
  }
  assert.equal(existsSync(folder.file('new.jsonl')), false);
});

test('a store that was imported gets a ledger: parity holds, and a rebuild loses nothing', async (t) => {
  const folder = new TestFolder(t);
  await importStore(new URL('../fixtures/shepherdd-utc.db', import.meta.url).pathname, folder.file());
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  assert.ok((await verifyParity(store, ledgerOf(folder))).isConsistent);
  const expected = [dump(store), store.getUsageRange('minecraft', '2026-01-01', '2026-12-31')];
  await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db'));
  const rebuilt = folder.closing(SqliteStore.open(folder.file('rebuilt.db'), { clock, ledger: ledgerOf(folder) }));
  assert.deepEqual([dump(rebuilt), rebuilt.getUsageRange('minecraft', '2026-01-01', '2026-12-31')], expected);
});

test('a ledger that was detached and attached again accounts for what happened in between', async (t) => {
  const folder = filled(t);
  const first = folder.open({ clock, ledger: ledgerOf(folder) });
  first.detachLedger();
  first.addUsage('minecraft', '2026-11-21', 7);
  first.clearCooldown('minecraft');
  first.close();
  const again = folder.open({ clock, ledger: ledgerOf(folder) });
  const report = await verifyParity(again, ledgerOf(folder));
  assert.deepEqual([report.isConsistent, report.state], [true, []]);
  const expected = dump(again);
  await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db'));
  assert.deepEqual(dump(readerOf(folder, 'rebuilt.db')), expected);
});

// Only the store writes these, so they are never so; but a line with the right hashes can be planted.
const unreadable: [type: string, data: string][] = [
  ...['null', 'x', '', '[]', '-5', '"text"'].flatMap((data): [string, string][] => [
    ['usage_added', data],
    ['cooldown_set', data],
    ['cooldown_cleared', data],
  ]),
  ['usage_added', '{"day":"2026-11-21","durationMs":5}'],
  ['usage_added', '{"entryId":"","day":"2026-11-21","durationMs":5}'],
  ['usage_added', '{"entryId":7,"day":"2026-11-21","durationMs":5}'],
  ['usage_added', '{"entryId":"a\\u0000b","day":"2026-11-21","durationMs":5}'],
  ['usage_added', '{"entryId":"minecraft","durationMs":5}'],
  ['usage_added', '{"entryId":"minecraft","day":"2026-02-30","durationMs":5}'],
  ['usage_added', '{"entryId":"minecraft","day":"2026-11-21"}'],
  ['usage_added', '{"entryId":"minecraft","day":"2026-11-21","durationMs":-5000}'],
  ['usage_added', '{"entryId":"minecraft","day":"2026-11-21","durationMs":0.5}'],
  ['usage_added', '{"entryId":"minecraft","day":"2026-11-21","durationMs":"5"}'],
  ['cooldown_set', '{"entryId":"","until":"2026-11-21T10:00:00.000Z"}'],
  ['cooldown_set', '{"entryId":"minecraft"}'],
  ['cooldown_set', '{"entryId":"minecraft","until":"tomorrow"}'],
  ['cooldown_set', '{"entryId":"minecraft","until":"2026-02-30T10:00:00.000Z"}'],
  ...['5', '"then"', '""', '{}'].map((setAt): [string, string] => [
    'cooldown_set',
    `{"entryId":"minecraft","until":"2026-11-21T10:00:00.000Z","setAt":${setAt}}`,
  ]),
  ['cooldown_cleared', '{}'],
  ['cooldown_cleared', '{"entryId":""}'],
];

test('a sound line of usage or cooldowns that no method takes is refused by row anywhere, to no effect', async (t) => {
  const folder = filled(t);
  const [db, path] = [folder.file(), folder.file('audit.jsonl')];
  const text = readFileSync(path);
  const before = dump(readerOf(folder));
  for (const [type, data] of unreadable) {
    const name = `${type} ${data}`;
    writeFileSync(path, text);
    const refused = { code: 'ERR_STORE_CORRUPT', message: /\brow 9\b/ };
    const reader = SqliteStore.openReadOnly(db);
    assert.equal(plant(path, { type, data }), 9);
    assert.throws(() => SqliteStore.open(db, { clock, ledger: Ledger.open(path) }), refused, name);
    await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file('new.db')), refused, name);
    assert.deepEqual(dump(reader), before, name);
    reader.close();
  }
  writeFileSync(path, text);
});

test('a replay that meets such a line takes none of those before it either', async (t) => {
  const folder = filled(t);
  const path = folder.file('audit.jsonl');
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  copyFileSync(path, folder.file('other.jsonl'));
  const before = dump(store);
  plant(folder.file('other.jsonl'), {
    type: 'usage_added',
    data: '{"entryId":"minecraft","day":"2026-11-21","durationMs":5}',
  });
  plant(folder.file('other.jsonl'), { type: 'usage_added', data: 'null' });
  const other = folder.closing(Ledger.open(folder.file('other.jsonl')));
  await assert.rejects(replay(store, other), { code: 'ERR_STORE_CORRUPT', message: /\brow 10\b/ });
  const [good, bad] = [...other.iterate()].slice(-2);
  assert.throws(
    () =>
      store.transaction(() => {
        mirrorEvent(store, good!);
        mirrorEvent(store, bad!);
      }),
    { code: 'ERR_STORE_CORRUPT' },
  );
  assert.deepEqual(dump(store), before);
});

test('usage that would pass what a total can hold is refused by its row', async (t) => {
  const folder = filled(t);
  const path = folder.file('audit.jsonl');
  const text = readFileSync(path);
  plant(path, {
    type: 'usage_added',
    data: `{"entryId":"minecraft","day":"2026-11-21","durationMs":${Number.MAX_SAFE_INTEGER}}`,
  });
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file('new.db')), {
    code: 'ERR_STORE_CORRUPT',
    message: /\brow 9\b/,
  });
  writeFileSync(path, text);
});

test('a sound line whose meta is no JSON is refused by its row wherever it is taken', async (t) => {
  const folder = filled(t);
  const path = folder.file('audit.jsonl');
  const text = readFileSync(path);
  plant(path, { type: 'service_started', data: '{}', meta: 'nope' });
  const refused = { code: 'ERR_STORE_CORRUPT', message: /\brow 9\b/ };
  assert.throws(() => folder.open({ clock, ledger: ledgerOf(folder) }), refused);
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file('new.db')), refused);
  writeFileSync(path, text);
});

test('usage and cooldowns of both files that cannot be read are a difference, and the rest is compared', async (t) => {
  for (const [type, data] of unreadable) {
    const folder = filled(t);
    assert.equal(plantInBoth(folder.file(), folder.file('audit.jsonl'), { type, data }), 9);
    assert.equal((await verifyParity(readerOf(folder), ledgerOf(folder))).isConsistent, false);
    folder.raw().exec("UPDATE usage SET carry_ms = 7 WHERE day = '2026-11-20'");
    const report = await verifyParity(readerOf(folder), ledgerOf(folder));
    assert.deepEqual([report.isConsistent, report.unreadable, report.mismatched], [false, [9], []], `${type} ${data}`);
    assert.deepEqual(
      report.state,
      [{ entryId: 'minecraft', day: '2026-11-20', expected: 1_500, stored: 1_007 }],
      `${type} ${data}`,
    );
  }
});

test('a row of the database alone that cannot be read is a difference as well', async (t) => {
  const folder = filled(t);
  const path = folder.file('audit.jsonl');
  copyFileSync(path, folder.file('before.jsonl'));
  plantInBoth(folder.file(), path, { type: 'usage_added', data: 'null' });
  const {
    missingInLedger,
    unreadable: ids,
    isConsistent,
  } = await verifyParity(readerOf(folder), folder.closing(Ledger.open(folder.file('before.jsonl'))));
  assert.deepEqual([missingInLedger, ids, isConsistent], [[9], [9], false]);
});

test('a day of an adopted table that is none goes into no ledger, which a database can be rebuilt from', async (t) => {
  const folder = new TestFolder(t);
  folder.open({ clock }).close();
  makeDatabase(folder.file(), "INSERT INTO usage VALUES ('film', '2026-02-30', 5, 0), ('film', '2026-11-21', 5, 0)");
  folder.open({ clock, ledger: ledgerOf(folder) }).close();
  await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db'));
  const rebuilt = readerOf(folder, 'rebuilt.db');
  assert.deepEqual(
    [rebuilt.getUsageForDay('2026-11-21'), rebuilt.getUsageRange('film', '2026-01-01', '2026-12-31').length],
    [[{ entryId: 'film', durationMs: 5_000 }], 1],
  );
});

/** The filled store as `before.db` and `before.jsonl`, and with groups of so many events after that as it was. */
function grown(t: TestContext, ...groups: number[]): TestFolder {
  const folder = filled(t);
  copyFileSync(folder.file(), folder.file('before.db'));
  copyFileSync(folder.file('audit.jsonl'), folder.file('before.jsonl'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  for (const count of groups) {
    store.appendAudits(
      Array.from({ length: count }, () => ({ event: { type: 'launch_denied', entryId: 'x', reasons: [] } })),
    );
  }
  store.close();
  return folder;
}

test('whichever file is far ahead, every line and row is counted, progress told and an abort heard', async (t) => {
  const folder = grown(t, 5_000);
  const ids = Array.from({ length: 1_000 }, (_, index) => 9 + index);
  const sides: [name: string, store: SqliteStore, ledger: Ledger, expected: object][] = [
    [
      'ledger',
      readerOf(folder, 'before.db'),
      ledgerOf(folder),
      {
        ledgerCount: 5_008,
        sqliteCount: 8,
        missingInSqlite: ids,
        missingInLedger: [],
        ahead: { from: 9, to: 5_008, count: 5_000 },
      },
    ],
    [
      'database',
      readerOf(folder),
      folder.closing(Ledger.open(folder.file('before.jsonl'))),
      { ledgerCount: 8, sqliteCount: 5_008, missingInSqlite: [], missingInLedger: ids },
    ],
  ];
  for (const [name, store, ledger, expected] of sides) {
    const told: [number, number][] = [];
    let turns = 0;
    const report = await verifyParity(store, ledger, {
      onProgress: ({ done, total }) => {
        told.push([done, total]);
        setImmediate(() => turns++);
      },
    });
    assert.deepEqual(
      report,
      { isConsistent: false, ...expected, mismatched: [], unreadable: [], state: [], more: 4_000 },
      name,
    );
    assert.deepEqual(
      told,
      [1_000, 2_000, 3_000, 4_000, 5_000].map((done) => [done, 5_008]),
      name,
    );
    assert.equal(turns, 5, name);
    const controller = new AbortController();
    const reason = new Error('enough');
    let calls = 0;
    await assert.rejects(
      verifyParity(store, ledger, {
        signal: controller.signal,
        onProgress: () => {
          calls++;
          controller.abort(reason);
        },
      }),
      (error) => error === reason,
      name,
    );
    assert.equal(calls, 1, name);
  }
});

test('a group of any size that is on its way into the database is no difference once it has arrived', async (t) => {
  const folder = grown(t, 3_000, 2_000);
  copyFileSync(folder.file('before.db'), folder.file('whole.db'));
  writeFileSync(
    folder.file('part.jsonl'),
    readFileSync(folder.file('audit.jsonl'), 'utf8').split('\n').slice(0, 3_009).join('\n') + '\n',
    { mode: 0o600 },
  );
  const compared = async (name: string, arriving: string): Promise<unknown> => {
    const promise = verifyParity(readerOf(folder, name), ledgerOf(folder));
    setTimeout(
      () => SqliteStore.open(folder.file(name), { clock, ledger: Ledger.open(folder.file(arriving)) }).close(),
      100,
    );
    return promise;
  };
  const none = { missingInLedger: [], mismatched: [], unreadable: [], state: [] };
  assert.deepEqual(await compared('whole.db', 'audit.jsonl'), {
    isConsistent: true,
    ledgerCount: 8,
    sqliteCount: 8,
    missingInSqlite: [],
    ...none,
    more: 0,
  });
  // Those that have not arrived are known by their first and last, though none of them is among the first thousand.
  assert.deepEqual(await compared('before.db', 'part.jsonl'), {
    isConsistent: false,
    ledgerCount: 2_008,
    sqliteCount: 8,
    missingInSqlite: [],
    ...none,
    more: 2_000,
    ahead: { from: 3_009, to: 5_008, count: 2_000 },
  });
});

test('what a service commits while the comparison begins is missing in neither file', async (t) => {
  const folder = filled(t);
  const service = folder.open({ clock, ledger: ledgerOf(folder) });
  let committed = 0;
  const files = filesWith({ fstatSync: ((fd: number) => {
    const stat = fstatSync(fd);
    service.appendAudit({ type: 'policy_loaded', entryCount: ++committed });
    return stat;
  }) as typeof fstatSync });
  const report = await verifyParity(
    readerOf(folder),
    folder.closing(Ledger.open(folder.file('audit.jsonl'), { files })),
  );
  assert.ok(committed > 1);
  assert.deepEqual([report.missingInLedger, report.missingInSqlite, report.isConsistent], [[], [], true]);
});

test('a gap of the ledger behind the end of the database is no line that is counted', async (t) => {
  const folder = filled(t);
  const path = folder.file('audit.jsonl');
  const text = readFileSync(path);
  for (const id of [20, 30]) plant(path, { id, type: 'x', data: '{}' });
  const report = await verifyParity(readerOf(folder), ledgerOf(folder));
  assert.deepEqual(
    [report.missingInSqlite, report.ahead, report.ledgerCount],
    [[20, 30], { from: 20, to: 30, count: 2 }, 10],
  );
  // Another row that comes between them is none of them.
  copyFileSync(folder.file(), folder.file('other.db'));
  const promise = verifyParity(readerOf(folder, 'other.db'), ledgerOf(folder));
  setTimeout(() => {
    using db = new DatabaseSync(folder.file('other.db'));
    db.exec(`
      INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash)
      VALUES (24, 't', 'x', '{}', 'h'), (25, 't', 'x', '{}', 'i')`);
  }, 100);
  assert.deepEqual((await promise).ahead, { from: 20, to: 30, count: 2 });
  writeFileSync(path, text);
});

test('a killed rebuild leaves only temporary names, which the next one into the folder removes', async (t) => {
  const folder = grown(t, 3_000);
  const rebuilds: [target: string, call: string, again: () => Promise<unknown>][] = [
    [
      'new.db',
      "rebuildDatabase(Ledger.open(folder + 'audit.jsonl'), folder + 'new.db', { onProgress: die })",
      async () => rebuildDatabase(ledgerOf(folder), folder.file('new.db')),
    ],
    [
      'new.jsonl',
      "rebuildLedger(SqliteStore.openReadOnly(path), folder + 'new.jsonl', { onProgress: die })",
      async () => rebuildLedger(readerOf(folder), folder.file('new.jsonl')),
    ],
  ];
  for (const [target, call, again] of rebuilds) {
    const names = (): string[] => readdirSync(folder.path).filter((name) => name.startsWith('.')).sort();
    run(folder.file(), `
      const { Ledger, rebuildDatabase, rebuildLedger } = await import(
        '${new URL('../../lib/ledger/index.ts', import.meta.url).href}'
      );
      const folder = path.replace('store.db', '');
      await ${call};`);
    assert.ok(names().length > 1, target);
    for (const name of names()) assert.match(name, /^\.\.?shepherd-store-[0-9a-f-]{36}\.(tmp|lock)/);
    await again();
    assert.deepEqual(names(), [], target);
  }
});

test('a rebuilt ledger gets the folder that it is to lie in, as a new one does; a database must have it', async (t) => {
  const folder = filled(t);
  await rebuildLedger(readerOf(folder), folder.file('a/b/new.jsonl'));
  assert.deepEqual(readdirSync(folder.file('a/b')), ['new.jsonl']);
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file('c/new.db')), { code: 'ERR_STORE_NOT_FOUND' });
  assert.equal(existsSync(folder.file('c')), false);
});

test('a row that the database lacks before its end is missing, and not ahead', async (t) => {
  const folder = filled(t);
  copyFileSync(folder.file(), folder.file('other.db'));
  using db = new DatabaseSync(folder.file('other.db'));
  db.exec('DROP TRIGGER audit_log_no_delete; DELETE FROM audit_log WHERE id = 2');
  db.close();
  const { missingInSqlite, ahead } = await verifyParity(readerOf(folder, 'other.db'), ledgerOf(folder));
  assert.deepEqual([missingInSqlite, ahead], [[2], undefined]);
});

test('what keeps a row from being replayed and is no fault of its data is told as what it is', (t) => {
  const folder = filled(t);
  const path = folder.file('audit.jsonl');
  const text = readFileSync(path);
  plant(path, { type: 'service_started', data: '{}', meta: '{"eventId":"e1"}' });
  assert.throws(() => folder.open({ clock, ledger: ledgerOf(folder) }), { code: 'ERR_STORE_CONFLICT' });
  writeFileSync(path, text);
  plant(path, { type: 'usage_added', data: '{"entryId":"minecraft","day":"2026-11-21","durationMs":5}' });
  copyFileSync(folder.file(), folder.file('other.db'));
  using db = new DatabaseSync(folder.file('other.db'));
  db.exec('UPDATE usage SET duration_secs = -1');
  db.close();
  assert.throws(() => SqliteStore.open(folder.file('other.db'), { clock, ledger: ledgerOf(folder) }), {
    code: 'ERR_STORE_CORRUPT',
    message: /^the usage of /,
  });
  writeFileSync(path, text);
});

test('an event from before the ledger may have one of its types and hold anything', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  const door = connect(store);
  door.write('test', 'adopt', () => door.appendAudit({ type: 'usage_added', data: 'null', meta: null }));
  store.close();
  folder.open({ clock, ledger: ledgerOf(folder) }).close();
  assert.ok((await verifyParity(readerOf(folder), ledgerOf(folder))).isConsistent);
  assert.deepEqual(await rebuildDatabase(ledgerOf(folder), folder.file('new.db')), { events: 2 });
});
