// Opening a store with a ledger: what is made, what is healed from either side, and what is refused with both files as
// they were.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import * as system from 'node:fs';
import {
  chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, truncateSync,
  writeFileSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { rowHash } from '../../lib/core/chain.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, type LedgerFiles, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { type LedgerLine, lineText, parseLine } from '../../lib/ledger/line.ts';
import { modeOf, namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { checkBoth, dump, filesWith, ledgerIn, linesOf, openBoth, systemError } from '../support/ledger.ts';

const day = '2026-11-21';
const ledgerPath = (folder: TestFolder): string => folder.file('audit.jsonl');
const check = (folder: TestFolder): void => checkBoth(folder.file(), ledgerPath(folder));

/** A closed store with a ledger, and `count` events behind the first. */
function prepare(folder: TestFolder, count = 5): void {
  const store = openBoth(folder);
  for (let number = 1; number <= count; number++) store.appendAudit({ type: 'policy_loaded', entryCount: number });
  store.close();
}

/** The lines of a ledger as texts, the header first. */
const textLines = (folder: TestFolder): string[] => readFileSync(ledgerPath(folder), 'utf8').trimEnd().split('\n');
const writeLines = (folder: TestFolder, lines: readonly string[]): void =>
  writeFileSync(ledgerPath(folder), lines.map((line) => `${line}\n`).join(''));

test('a new ledger is private whatever the umask, and its folder too', (t) => {
  for (const umask of [0o000, 0o277, 0o077]) {
    const folder = new TestFolder(t);
    const before = process.umask(umask);
    try {
      folder.open({ ledger: Ledger.open(folder.file('logs/audit.jsonl')) }).close();
    } finally {
      process.umask(before);
    }
    assert.equal(modeOf(folder.file('logs')), '700');
    assert.equal(modeOf(folder.file('logs/audit.jsonl')), '600');
  }
});

test('a new ledger is open to those to whom the owner opened the database', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  chmodSync(folder.file(), 0o640);
  openBoth(folder).close();
  assert.equal(modeOf(ledgerPath(folder)), '640');
});

test('Ledger.open makes nothing', (t) => {
  const folder = new TestFolder(t);
  const ledger = ledgerIn(folder);
  assert.deepEqual([ledger.head, ledger.store, ledger.length, [...ledger.iterate()]], [undefined, undefined, 0, []]);
  assert.deepEqual(namesIn(folder.path), []);
});

test('what stands at the path of a ledger and is none is refused, and stays', (t) => {
  const strangers: [string, (path: string) => void, string][] = [
    ['text', (path) => writeFileSync(path, 'Shopping list\nbread\n'), 'ERR_STORE_NOT_A_STORE'],
    ['text without a newline', (path) => writeFileSync(path, 'Shopping list'), 'ERR_STORE_NOT_A_STORE'],
    ['a long line', (path) => writeFileSync(path, Buffer.alloc(200_000, 'x')), 'ERR_STORE_NOT_A_STORE'],
    ...[1, 2, 3].map((cut): [string, (path: string) => void, string] => [
      `text with a character across the end of its first page, ${cut} bytes of it before that`,
      (path) => writeFileSync(path, `${'x'.repeat(4_096 - cut)}\u{1F600}${'x'.repeat(5_000)}`), 'ERR_STORE_NOT_A_STORE',
    ]),
    ['a long binary', (path) => writeFileSync(path, Buffer.alloc(200_000, 0xff)), 'ERR_STORE_NOT_A_STORE'],
    ['a small database', (path) => makeDatabase(path, 'CREATE TABLE bookmarks (url TEXT)'), 'ERR_STORE_NOT_A_STORE'],
    ['a folder', (path) => mkdirSync(path), 'ERR_STORE_NOT_A_STORE'],
    ['a pipe', (path) => execFileSync('mkfifo', [path]), 'ERR_STORE_NOT_A_STORE'],
    ['a link', (path) => symlinkSync('/nonexistent/elsewhere', path), 'ERR_STORE_PERMISSION'],
  ];
  for (const [what, make, code] of strangers) {
    const folder = new TestFolder(t);
    make(ledgerPath(folder));
    const before = system.lstatSync(ledgerPath(folder), { bigint: true });
    assert.throws(() => openBoth(folder), { code }, what);
    const after = system.lstatSync(ledgerPath(folder), { bigint: true });
    assert.deepEqual([after.ino, after.size, after.mtimeNs], [before.ino, before.size, before.mtimeNs], what);
    assert.deepEqual(namesIn(folder.path), ['audit.jsonl'], what);
  }
});

test('a link that is planted after the ledger was opened is not followed', (t) => {
  const folder = new TestFolder(t);
  const ledger = ledgerIn(folder);
  symlinkSync(folder.file('planted'), ledgerPath(folder));
  assert.throws(() => folder.open({ ledger }), { code: 'ERR_STORE_PERMISSION' });
  assert.ok(!namesIn(folder.path).includes('planted'));
});

test('a file of the store itself is no ledger', (t) => {
  const folder = new TestFolder(t);
  for (const name of ['store.db', 'store.db-wal', 'store.snapshot.json']) {
    assert.throws(() => folder.open({ ledger: Ledger.open(folder.file(name)) }), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
    });
  }
  folder.open();
  assert.throws(() => Ledger.open(folder.file()), { code: 'ERR_STORE_INVALID_ARGUMENT' });
});

test('a ledger of another store is refused, and one without events is none', (t) => {
  const [folder, other] = [new TestFolder(t), new TestFolder(t)];
  prepare(folder);
  prepare(other);
  const whole = readFileSync(ledgerPath(other));
  copyFileSync(ledgerPath(other), ledgerPath(folder));
  assert.throws(() => openBoth(folder), { code: 'ERR_STORE_CONFLICT' });
  assert.deepEqual(readFileSync(ledgerPath(folder)), whole);
  writeLines(folder, textLines(other).slice(0, 1));
  openBoth(folder).close();
  check(folder);
});

test('once it has a ledger a store is not written without it: at open, or by one that was open before', (t) => {
  const folder = new TestFolder(t);
  const before = folder.open(); // nothing is in it yet, or it would keep the ledger out (alone.test.ts)
  const store = openBoth(folder);
  store.addUsage('a', day, 5);
  assert.throws(() => before.addUsage('a', day, 5), { code: 'ERR_STORE_CONFLICT' });
  assert.equal(before.isHealthy(), false);
  assert.throws(() => folder.open(), { code: 'ERR_STORE_CONFLICT' });
  assert.throws(() => folder.open({ recover: true }), { code: 'ERR_STORE_CONFLICT' });
  using reader = SqliteStore.openReadOnly(folder.file());
  assert.equal(reader.getUsage('a', day), 5);
  assert.equal(store.addUsage('a', day, 5), 10);
});

test('detaching ends it by an event: the store goes on without, and may get a ledger again, new or old', (t) => {
  for (const keep of [true, false]) {
    const folder = new TestFolder(t);
    const store = openBoth(folder);
    const other = openBoth(folder);
    store.addUsage('a', day, 1_500);
    store.detachLedger({ force: true });
    assert.throws(() => store.detachLedger());
    assert.throws(() => other.addUsage('a', day, 1), { code: 'ERR_STORE_CONFLICT' });
    other.close();
    assert.equal(linesOf(ledgerPath(folder)).at(-1)![2], 'ledger_detached');
    if (!keep) rmSync(ledgerPath(folder));
    store.addUsage('a', day, 1_000);
    store.setCooldownUntil('b', new Date(7));
    assert.ok(store.isHealthy());
    store.close();
    folder.open().close();
    const again = openBoth(folder);
    again.addUsage('a', day, 1);
    const wanted = dump(again);
    again.close();
    check(folder);
    rmSync(folder.file());
    const rebuilt = openBoth(folder, { recover: true });
    assert.deepEqual(dump(rebuilt), wanted);
    assert.equal(rebuilt.getUsage('a', day), 2_501);
  }
});

test('a store that was adopted, with gaps in its ids, gets a ledger and is rebuilt from it', (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), fourTables);
  const store = openBoth(folder);
  store.addUsage('minecraft', '2026-11-20', 1);
  const wanted = dump(store);
  store.close();
  check(folder);
  assert.deepEqual(linesOf(ledgerPath(folder)).slice(0, 3).map(([id]) => id), [1, 3, 4]);
  rmSync(folder.file());
  const rebuilt = openBoth(folder, { recover: true });
  assert.deepEqual(rebuilt.getUsageForDay('2026-11-20'), [
    { entryId: 'minecraft', durationMs: 90_001 },
    { entryId: 'tuxpaint', durationMs: 30_000 },
  ]);
  // The adopted snapshot was never saved by this package, so it has no file beside the database.
  assert.deepEqual({ ...dump(rebuilt), snapshot: undefined }, { ...wanted, snapshot: undefined });
});

test('a ledger that has less than the database, is healed, and how many lines it had lost is told once', (t) => {
  const folder = new TestFolder(t);
  prepare(folder, 40);
  const whole = textLines(folder);
  const before = readFileSync(ledgerPath(folder));
  const cases: Record<string, () => void> = {
    'a cut line': () => truncateSync(ledgerPath(folder), before.length - 10),
    'a missing newline': () => truncateSync(ledgerPath(folder), before.length - 1),
    'missing lines': () => writeLines(folder, whole.slice(0, 20)),
    'a line cut long before the end': () => truncateSync(ledgerPath(folder), 1_000),
    'the header alone': () => writeLines(folder, whole.slice(0, 1)),
    'half a header': () => writeFileSync(ledgerPath(folder), whole[0]!.slice(0, 50)),
    'an empty file': () => truncateSync(ledgerPath(folder)),
    'no file': () => rmSync(ledgerPath(folder)),
  };
  for (const [what, harm] of Object.entries(cases)) {
    harm();
    const left = what === 'no file' ? [] : readFileSync(ledgerPath(folder), 'utf8').split('\n').slice(1, -1);
    const store = openBoth(folder);
    const restored = { lines: 41 - left.length, usage: 0, cooldowns: 0, snapshot: false };
    assert.deepEqual(store.recovery, { found: 'ledger-behind', moved: [], restored }, what);
    assert.equal(store.auditHead()!.id, 41, what);
    store.close();
    const again = openBoth(folder);
    assert.equal(again.recovery, undefined, what);
    again.close();
    check(folder);
    assert.deepEqual(textLines(folder), whole, what);
  }
  assert.deepEqual(namesIn(folder.path).filter((name) => name.includes('audit')), ['audit.jsonl']);
});

test('a ledger that was detached and is given to the store again has lost nothing', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.detachLedger();
  store.appendAudit({ type: 'service_started' });
  store.close();
  assert.equal(openBoth(folder).recovery, undefined);
});

test('whole groups that the database lacks are replayed with their effects, and the torn one behind is not', (t) => {
  const folder = new TestFolder(t);
  prepare(folder);
  copyFileSync(folder.file(), folder.file('older'));
  const store = openBoth(folder);
  store.transaction(() => [store.addUsage('a', day, 1_500), store.setCooldownUntil('a', new Date(9))]);
  const { id } = store.auditHead()!;
  store.transaction(() => [store.addUsage('a', day, 1), store.addUsage('a', day, 2), store.addUsage('a', day, 4)]);
  store.close();
  const lines = textLines(folder);
  for (const cut of [
    lines.slice(0, -1),
    lines.slice(0, -2),
    [...lines.slice(0, -1), lines.at(-1)!.slice(0, 30)],
    [...lines.slice(0, -2), 'x', lines.at(-1)!],
  ]) {
    copyFileSync(folder.file('older'), folder.file());
    for (const name of namesIn(folder.path)) if (name.includes('.torn-')) rmSync(folder.file(name));
    writeLines(folder, cut);
    const healed = openBoth(folder);
    assert.deepEqual(
      [...healed.iterateAudits({ fromId: id + 1 })].map(({ event }) => event.type),
      ['ledger_set_aside'],
    );
    assert.equal(healed.getUsage('a', day), 1_500);
    assert.deepEqual(healed.getCooldownUntil('a'), new Date(9));
    healed.close();
    check(folder);
  }
});

test('a torn group that is longer than what is looked at hides no whole one before it', (t) => {
  const folder = new TestFolder(t);
  prepare(folder);
  copyFileSync(folder.file(), folder.file('older'));
  const store = openBoth(folder);
  store.addUsage('a', day, 7);
  const { id } = store.auditHead()!;
  store.appendAudits(Array.from({ length: 2_000 }, () => ({ event: { type: 'service_started' } })));
  store.close();
  writeLines(folder, textLines(folder).slice(0, -1));
  copyFileSync(folder.file('older'), folder.file());
  const healed = openBoth(folder);
  assert.deepEqual([...healed.iterateAudits({ fromId: id + 1 })].map(({ event }) => event.type), ['ledger_set_aside']);
  assert.equal(healed.getUsage('a', day), 7);
  healed.close();
  check(folder);
});

test('a long group is replayed whole, and a database that has more than the look is long is caught up with', (t) => {
  const folder = new TestFolder(t);
  prepare(folder);
  copyFileSync(folder.file(), folder.file('older'));
  const lines = textLines(folder);
  const store = openBoth(folder);
  store.appendAudits(
    Array.from({ length: 3_000 }, () => ({
      event: { type: 'launch_denied', entryId: 'a', reasons: ['x'.repeat(200)] },
    })),
  );
  store.close();
  copyFileSync(folder.file(), folder.file('newer'));
  copyFileSync(folder.file('older'), folder.file());
  openBoth(folder).close();
  check(folder);
  writeLines(folder, lines);
  openBoth(folder).close();
  check(folder);
});

test('file operations that are none, or not all of them, are refused when the ledger is opened', (t) => {
  const folder = new TestFolder(t);
  prepare(folder);
  const names = ['openSync', 'closeSync', 'readSync', 'writeSync', 'fsyncSync', 'ftruncateSync', 'fstatSync'];
  const values: unknown[] = [null, 5, 'files', {}, [], ...names.map((name) => ({ ...filesWith({}), [name]: 5 }))];
  for (const files of values) {
    assert.throws(() => ledgerIn(folder, { files: files as LedgerFiles }), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
      message: /^options\.files must be /,
    });
  }
  assert.equal(ledgerIn(folder, { files: filesWith({}) }).head?.id, 6);
});

test('different contents for one row are told, and neither file is changed', (t) => {
  const folder = new TestFolder(t);
  prepare(folder);
  const lines = textLines(folder);
  const last = parseLine(Buffer.from(lines.at(-1)!))!;
  const data = '{"entryCount":99}';
  const forged = {
    ...last,
    data,
    hash: rowHash(last.prev, { id: last.id, timestamp: last.at, type: last.type, data, meta: null }),
  };
  const following = {
    ...forged,
    id: forged.id + 1,
    prev: forged.hash,
    hash: rowHash(forged.hash, { id: forged.id + 1, timestamp: last.at, type: last.type, data, meta: null }),
  };
  for (const fork of [[forged], [forged, following]]) {
    writeLines(folder, [...lines.slice(0, -1), ...fork.map((line) => lineText(line).trimEnd())]);
    const before = readFileSync(ledgerPath(folder));
    for (const recover of [false, true])
      assert.throws(() => openBoth(folder, { recover }), { code: 'ERR_STORE_PARITY' });
    assert.deepEqual(readFileSync(ledgerPath(folder)), before);
    assert.equal(SqliteStore.openReadOnly(folder.file()).auditHead()!.id, 6);
  }
});

test('a row of the database that is not what was hashed goes into no ledger', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.close();
  const raw = folder.raw();
  raw.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{}x' WHERE id = 1");
  raw.close();
  assert.throws(() => openBoth(folder), { code: 'ERR_STORE_PARITY' });
});

for (const [what, harm] of [
  ['deleted', (path: string) => rmSync(path)],
  ['replaced', (path: string) => { copyFileSync(path, `${path}.copy`); renameSync(`${path}.copy`, path); }],
  ['renamed', (path: string) => renameSync(path, `${path}.old`)],
] as const) {
  test(`a ledger that is ${what} under an open store stops it`, (t) => {
    const folder = new TestFolder(t);
    const store = openBoth(folder);
    const { id } = store.appendAudit({ type: 'service_started' });
    harm(ledgerPath(folder));
    assert.equal(store.isHealthy(), false);
    assert.throws(() => store.appendAudit({ type: 'service_stopped' }), { code: 'ERR_STORE_IO' });
    store.close();
    const again = openBoth(folder);
    assert.equal(again.auditHead()!.id, id);
    again.close();
    check(folder);
  });
}

test('a ledger that is replaced between its opening and the store\'s is the one that counts', (t) => {
  const folder = new TestFolder(t);
  prepare(folder);
  const ledger = ledgerIn(folder);
  copyFileSync(ledgerPath(folder), folder.file('copy'));
  renameSync(folder.file('copy'), ledgerPath(folder));
  const store = folder.open({ ledger });
  store.appendAudit({ type: 'service_started' });
  store.close();
  check(folder);
});

test('two stores of one process, even with one Ledger between them, append to one chain', (t) => {
  const folder = new TestFolder(t);
  const ledger = ledgerIn(folder);
  const [a, b, c] = [folder.open({ ledger }), folder.open({ ledger }), openBoth(folder)];
  for (let round = 0; round < 5; round++) for (const store of [a, b, c]) store.addUsage('a', day, 1);
  a.close();
  b.addUsage('a', day, 1);
  c.addUsage('a', day, 1);
  b.close();
  c.close();
  check(folder);
  assert.equal(ledger.head!.id, Ledger.open(ledgerPath(folder)).head!.id - 1);
});

test('a line seen on its way, taken back and written again otherwise with the same length forks nothing', (t) => {
  const folder = new TestFolder(t);
  const ledger = ledgerIn(folder);
  const store = folder.open({ ledger });
  let look = false;
  const fsyncSync = (fd: number): void => {
    if (!look) return system.fsyncSync(fd);
    look = false;
    ledger.refresh(); // a reader does so without the lock
    throw systemError('ENOSPC', 'fsync');
  };
  const other = openBoth(folder, { files: filesWith({ fsyncSync }) });
  look = true;
  assert.throws(() => other.addUsage('a', day, 1), { code: 'ERR_STORE_DISK_FULL' });
  other.addUsage('a', day, 2);
  assert.equal(store.addUsage('a', day, 3), 5);
  for (const each of [store, other]) each.close();
  check(folder);
});

test('closing the store closes the ledger\'s file, which can still be read', (t) => {
  const folder = new TestFolder(t);
  let open = 0;
  const files = filesWith({
    openSync: (...args) => { const fd = system.openSync(...args); open++; return fd; },
    closeSync: (fd) => { open--; system.closeSync(fd); },
  });
  const ledger = ledgerIn(folder, { files });
  const store = folder.open({ ledger });
  store.appendAudit({ type: 'service_started' });
  store.close();
  assert.equal(open, 0);
  assert.equal(ledger.length, 2);
  ledger.close();
  assert.equal(open, 0);
});

test('an open costs no more with a long ledger than with a short one', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudits(
    Array.from({ length: 5_000 }, () => ({
      event: { type: 'launch_denied', entryId: 'a', reasons: ['x'.repeat(100)] },
    })),
  );
  store.close();
  let bytes = 0;
  const readSync = ((...args: [number, Buffer, number, number, number]) => {
    const read = system.readSync(...args);
    bytes += read;
    return read;
  }) as typeof system.readSync;
  openBoth(folder, { files: filesWith({ readSync }) }).close();
  assert.ok(statSync(ledgerPath(folder)).size > 1_500_000);
  assert.ok(bytes < 700_000, `${bytes} bytes were read`);
});

test('a ledger belongs to whom the database belongs, also where root makes it', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  // Refused to anybody but root, to whom alone it makes a difference.
  spawnSync('chown', ['12345:12345', folder.file()]);
  openBoth(folder).close();
  const [{ uid, gid }, database] = [statSync(ledgerPath(folder)), statSync(folder.file())];
  assert.deepEqual([uid, gid], [database.uid, database.gid]);
});

test('an adopted row with BLOBs, or texts that JavaScript would change, goes into a line and comes back', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), fourTables);
  const db = folder.raw();
  db.exec(`
    UPDATE audit_log SET event_data = x'7b7d' WHERE id = 3;
    INSERT INTO audit_log VALUES (5, x'00', x'', x'ff00'), (6, '2026-11-20T09:00:00Z', 'usage_added', 'no JSON'),
      (7, '2026-11-20T09:00:00Z', 'ledger_detached', x''),
      (8, '2026-11-20T09:00:00Z', 'note', 'a' || char(0)), (9, '2026-11-20T09:00:00Z', CAST(x'61ff' AS TEXT), '')`);
  db.close();
  const ledger = Ledger.open(ledgerPath(folder));
  const store = folder.open({ ledger });
  store.addUsage('film', '2026-11-20', 1);
  const lines = [...ledger.iterate()];
  assert.deepEqual(
    lines.filter(({ blob }) => blob).map(({ id, at, type, data, blob }) => [id, at, type, data, blob]),
    [
      [3, '2026-11-20T09:05:00.123456Z', 'session_started', '7b7d', ['data']],
      [5, '00', '', 'ff00', ['at', 'type', 'data']],
      [7, '2026-11-20T09:00:00Z', 'ledger_detached', '', ['data']],
      [8, '2026-11-20T09:00:00Z', 'note', '6100', ['data']],
      [9, '2026-11-20T09:00:00Z', '61ff', '', ['type']],
    ],
  );
  assert.ok((await ledger.verify()).ok);
  assert.ok((await store.verifyAudit()).ok);
  assert.ok((await verifyParity(store, ledger)).isConsistent);
  assert.deepEqual(await rebuildDatabase(ledger, folder.file('again.db')), { events: ledger.length });
  const log = (path: string): unknown => {
    using raw = new DatabaseSync(path, { readOnly: true });
    return [
      raw.prepare('SELECT * FROM audit_log ORDER BY id').all(),
      raw.prepare('SELECT * FROM usage ORDER BY entry_id, day').all(),
    ];
  };
  assert.deepEqual(log(folder.file('again.db')), log(folder.file()));
});

test('a line whose blob is not as it is written is no line', async (t) => {
  const folder = new TestFolder(t);
  const line: LedgerLine = {
    id: 1,
    at: '00',
    type: 'x',
    data: '7b7d',
    blob: ['at', 'data'],
    prev: '0'.repeat(64),
    hash: '0'.repeat(64),
  };
  const parsed = (changed: object): LedgerLine | undefined =>
    parseLine(Buffer.from(lineText({ ...line, ...changed }).trimEnd()));
  assert.deepEqual(parsed({}), line);
  for (const blob of [[], ['data', 'at'], ['at', 'at'], ['meta'], 'data', null, { 0: 'data' }, ['at', 'type', 'data']])
    assert.equal(parsed({ blob }), undefined, JSON.stringify(blob));
  for (const data of ['7b7', '7B', 'x', '7b 7d']) assert.equal(parsed({ data }), undefined, data);
  folder.open().close();
});

test('a header that a power cut destroyed with its whole first group is made anew, what stood there set aside', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  for (let number = 0; number < 40; number++) store.addUsage(`entry ${number}`, day, 1);
  store.close();
  copyFileSync(folder.file(), folder.file('before'));
  openBoth(folder).close(); // the opening balances are one group
  const { size } = statSync(ledgerPath(folder));
  assert.ok(size > 8_192);
  const whole = readFileSync(ledgerPath(folder));
  for (const bytes of [4_096, size]) {
    writeFileSync(ledgerPath(folder), Buffer.concat([Buffer.alloc(bytes, 0xfe), whole.subarray(bytes)]));
    copyFileSync(folder.file('before'), folder.file());
    const again = openBoth(folder);
    assert.equal(again.recovery?.found, 'ledger-torn');
    again.close();
    check(folder);
  }
  assert.equal(namesIn(folder.path).filter((name) => name.includes('.torn-')).length, 2);
  // Once the database has what follows the header's page, it was no power cut; nor where the file is longer, or groups
  // follow.
  writeFileSync(ledgerPath(folder), Buffer.concat([Buffer.alloc(4_096, 0xfe), whole.subarray(4_096)]));
  assert.throws(() => openBoth(folder), { code: 'ERR_STORE_PARITY' });
  const mended = openBoth(folder, { recover: true });
  assert.deepEqual([mended.recovery?.found, mended.recovery?.setAside?.length], ['ledger-damaged', 1]);
  mended.close();
  prepare(folder, 40);
  const longer = readFileSync(ledgerPath(folder));
  writeFileSync(ledgerPath(folder), Buffer.concat([Buffer.alloc(4_096, 0xfe), longer.subarray(4_096)]));
  assert.throws(() => openBoth(folder), { code: 'ERR_STORE_NOT_A_STORE' });
  writeFileSync(ledgerPath(folder), longer);
});

test('a text whose first 4096 bytes end within a character is no ledger', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(ledgerPath(folder), `${'x'.repeat(4_095)}\u00e9${'y'.repeat(200)}`);
  assert.throws(() => ledgerIn(folder), { code: 'ERR_STORE_NOT_A_STORE' });
});
