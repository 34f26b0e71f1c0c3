// A database that has lost something, or is lost itself: what is noticed, what comes back, and what is kept of the
// damage.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import {
  copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { connect } from '../../lib/store.ts';
import { flipBit, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase, makeText } from '../support/foreign.ts';
import { run } from '../support/process.ts';

const day = '2026-11-21';
const clock = (): Date => new Date('2026-11-21T12:00:00.000Z');
const early = new Date('2026-11-21T13:00:00Z');
const late = new Date('2026-11-21T14:00:00Z');

/**
 * Three events, 10 s of usage, a cooldown and a state, all in the database file; then everything that follows is in the
 * WAL.
 */
const opened = "const store = SqliteStore.open(path, { clock: () => new Date('2026-11-21T12:00:00.000Z') });";
const first = `
  ${opened}
  for (let i = 0; i < 3; i++) store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '${day}', 10_000);
  store.setCooldownUntil('minecraft', new Date('${early.toISOString()}'));
  store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
  connect(store).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();`;
const second = `
  store.appendAudit({ type: 'service_stopped' });
  store.addUsage('minecraft', '${day}', 5_000);
  store.addUsage('tuxpaint', '${day}', 1_500);
  store.setCooldownUntil('minecraft', new Date('${late.toISOString()}'));
  store.appendAudit({ type: 'service_started' });
  store.saveSnapshot({ timestamp: new Date('2026-11-21T10:00:00Z') });`;
const lastState = { timestamp: new Date('2026-11-21T10:00:00Z') };

function uuidOf(store: SqliteStore): unknown {
  return (connect(store).prepare('SELECT uuid FROM store_meta').get() as unknown as unknown[])[0];
}

/** What a service asks for when it starts. */
function balances(store: SqliteStore): object {
  return {
    minecraft: store.getUsage('minecraft', day),
    tuxpaint: store.getUsage('tuxpaint', day),
    cooldown: store.getCooldownUntil('minecraft'),
    state: store.loadSnapshot(),
  };
}
const allBalances = { minecraft: 15_000, tuxpaint: 1_500, cooldown: late, state: lastState };

/** Opens it, and once more: the second time nothing may be found. Leaves it open. */
function openTwice(
  folder: TestFolder,
  options: OpenOptions = {},
): { store: SqliteStore; recovery: NonNullable<SqliteStore['recovery']> } {
  const once = SqliteStore.open(folder.file(), { clock, ...options });
  const { recovery } = once;
  assert.ok(recovery);
  const [newest] = once.getRecentAudits(1);
  const { found, moved, lost, restored } = recovery;
  assert.deepEqual(newest!.event, {
    type: 'store_recovered',
    found,
    moved,
    ...(lost ? { lost } : {}),
    usage: restored.usage,
    cooldowns: restored.cooldowns,
  });
  once.close();
  const store = folder.open({ clock });
  assert.equal(store.recovery, undefined);
  assert.equal(store.auditHead()!.id, newest!.id);
  return { store, recovery };
}

for (const [how, lacking] of [['', []], [', also without its -shm', ['store.db-shm']]] as const) {
  test(`commits that a damaged WAL has lost come back from the plain file, and an event says which events did `
    + `not${how}`, (t) => {
    const folder = new TestFolder(t);
    run(folder.file(), `${first} ${second} die();`);
    flipBit(folder.file('store.db-wal'), 32 + 24 + 100);
    for (const name of lacking) rmSync(folder.file(name));
    const damaged = readFileSync(folder.file('store.db-wal'));
    const { store, recovery } = openTwice(folder);
    const wal = folder.file('store.db-wal.behind-2026-11-21T12-00-00.000Z');
    assert.deepEqual(recovery, {
      found: 'behind',
      moved: [wal],
      lost: { from: 4, to: 5 },
      restored: { usage: 2, cooldowns: 1, snapshot: true },
    });
    assert.deepEqual(balances(store), allBalances);
    assert.deepEqual(readFileSync(wal), damaged);
    assert.equal(statSync(wal).mode & 0o777, 0o600);
    assert.equal(store.auditHead()!.id, 4);
  });
}

test('usage and a state without any event are missed as well', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.addUsage('minecraft', '${day}', 5_000); store.saveSnapshot({ timestamp: new `
    + `Date('2026-11-21T10:00:00Z') }); die();`);
  flipBit(folder.file('store.db-wal'), 32 + 24 + 100);
  const { store, recovery } = openTwice(folder);
  assert.equal(recovery.found, 'behind');
  assert.deepEqual(recovery.restored, { usage: 1, cooldowns: 0, snapshot: true });
  assert.equal(recovery.lost, undefined);
  assert.equal(store.getUsage('minecraft', day), 15_000);
  assert.deepEqual(store.loadSnapshot(), lastState);
});

test('wherever the WAL is damaged, with its -shm or without, no limit is forgotten and the log is whole', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  run(folder.file('origin/store.db'), `${first} ${second} die();`);
  const frames = (statSync(folder.file('origin/store.db-wal')).size - 32) / (24 + 4096);
  assert.ok(frames > 10);
  for (let frame = -1; frame < frames; frame++) {
    for (const names of [['store.db', 'store.db-wal', 'store.db-shm'], ['store.db', 'store.db-wal']]) {
      const target = folder.file(`at-${frame}-${names.length}`);
      mkdirSync(target);
      for (const name of [...names, 'store.snapshot.json'])
        copyFileSync(folder.file(`origin/${name}`), `${target}/${name}`);
      flipBit(`${target}/store.db-wal`, frame < 0 ? 17 : 32 + frame * (24 + 4096) + 24 + 1_000);
      using store = SqliteStore.open(`${target}/store.db`, { clock });
      assert.deepEqual(balances(store), allBalances, `frame ${frame}`);
      const report = await store.verifyAudit();
      assert.deepEqual(report.findings, []);
      assert.equal(report.head!.id, store.recovery ? (store.recovery.lost?.from ?? 6) : 5);
    }
  }
});

test('a copy of the database from before, put back, is healed', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  copyFileSync(folder.file(), folder.file('backup.db'));
  run(folder.file(), `${opened} ${second} store.close();`);
  renameSync(folder.file('backup.db'), folder.file());
  const { store, recovery } = openTwice(folder);
  assert.deepEqual(recovery, {
    found: 'behind',
    moved: [],
    lost: { from: 4, to: 5 },
    restored: { usage: 2, cooldowns: 1, snapshot: true },
  });
  assert.deepEqual(balances(store), allBalances);
});

test('what is told to be lost begins behind what was left, also where a new ledger has written its first events by '
  + 'then', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} ${second} store.close();`);
  rmSync(folder.file());
  const store = folder.open({
    clock,
    recover: true,
    ledger: Ledger.open(folder.file('audit.jsonl'), { signingKey: generateKeyPairSync('ed25519').privateKey }),
  });
  assert.deepEqual(store.recovery?.lost, { from: 1, to: 5 });
});

test('a database that went another way since is healed as well, and keeps its own events', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  for (const name of ['store.db', 'store.snapshot.json']) copyFileSync(folder.file(name), folder.file(`${name}.old`));
  run(folder.file(), `${opened} ${second} store.close();`);
  renameSync(folder.file('store.snapshot.json'), folder.file('newer.json'));
  for (const name of ['store.db', 'store.snapshot.json']) renameSync(folder.file(`${name}.old`), folder.file(name));
  run(folder.file(), `const store = SqliteStore.open(path);
    for (let i = 0; i < 4; i++) store.appendAudit({ type: 'policy_loaded', entryCount: i });
    store.addUsage('minecraft', '${day}', 90_000); store.close();`);
  renameSync(folder.file('newer.json'), folder.file('store.snapshot.json'));
  const { store, recovery } = openTwice(folder);
  assert.deepEqual(recovery, {
    found: 'forked',
    moved: [],
    lost: { to: 5 },
    restored: { usage: 1, cooldowns: 1, snapshot: true },
  });
  assert.deepEqual(balances(store), { ...allBalances, minecraft: 100_000 });
  assert.deepEqual(store.getRecentAudits(2)[1]!.event, { type: 'policy_loaded', entryCount: 3 });
});

test('what the database has as much or more of stays and is not told as restored, and what cannot be read in it '
  + 'stays as it is', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  copyFileSync(folder.file(), folder.file('backup.db'));
  run(folder.file(), `${opened} store.addUsage('gcompris', '${day}', 7_000); ${second} store.close();`);
  renameSync(folder.file('backup.db'), folder.file());
  makeDatabase(folder.file(), `
    UPDATE usage SET duration_secs = 99 WHERE entry_id = 'minecraft';
    INSERT INTO usage VALUES ('gcompris', '${day}', 7, 0);
    INSERT INTO usage VALUES ('tuxpaint', '${day}', 'many', 0);
    UPDATE cooldowns SET until = 'tomorrow';`);
  const { store, recovery } = openTwice(folder);
  assert.deepEqual(recovery.restored, { usage: 0, cooldowns: 0, snapshot: true });
  assert.equal(store.getUsage('minecraft', day), 99_000);
  assert.equal(store.getUsage('gcompris', day), 7_000);
  assert.throws(() => store.getUsage('tuxpaint', day), { code: 'ERR_STORE_CORRUPT' });
  assert.throws(() => store.getCooldownUntil('minecraft'), { code: 'ERR_STORE_CORRUPT' });
});

const losses: [what: string, found: string, lose: (path: string) => void, aside: string[]][] = [
  ['deleted', 'missing', (path) => rmSync(path), []],
  ['emptied', 'missing', (path) => truncateSync(path, 0), []],
  [
    'deleted beside its -wal',
    'missing',
    (path) => {
      run(path, `const store = SqliteStore.open(path); store.addUsage('new', '${day}', 1); die();`);
      rmSync(path);
    },
    ['store.db-wal.orphan'],
  ],
  ['cut off', 'damaged', (path) => truncateSync(path, 4096), ['store.db.damaged']],
  ['cut off in its header', 'damaged', (path) => truncateSync(path, 50), ['store.db.damaged']],
  [
    'overwritten with noise',
    'damaged',
    (path) => writeFileSync(path, Buffer.alloc(50_000, 'noise')),
    ['store.db.damaged'],
  ],
  ['damaged in its first page', 'damaged', (path) => flipBit(path, 100, 1), ['store.db.damaged']],
  ['robbed of a table', 'damaged', (path) => makeDatabase(path, 'DROP TABLE usage'), ['store.db.damaged']],
  [
    'damaged beside its -wal and -shm',
    'damaged',
    (path) => {
      run(path, `const store = SqliteStore.open(path); store.addUsage('new', '${day}', 1); die();`);
      writeFileSync(path, Buffer.alloc(50_000, 'noise'));
    },
    ['store.db-shm.damaged', 'store.db-wal.damaged', 'store.db.damaged'],
  ],
];

for (const [what, found, lose, aside] of losses) {
  test(`a database that was ${what} is made anew by recover with the same identity, and by nothing else`, (t) => {
    const folder = new TestFolder(t);
    run(folder.file(), `${first} ${second} store.close();`);
    using before = SqliteStore.openReadOnly(folder.file());
    const uuid = uuidOf(before);
    before.close();
    lose(folder.file());
    const damaged = picture(folder.path);
    assert.throws(() => folder.open({ clock }), { code: 'ERR_STORE_CORRUPT' });
    assert.deepEqual(picture(folder.path), damaged);
    const { store, recovery } = openTwice(folder, { recover: true });
    assert.equal(recovery.found, found);
    assert.deepEqual(recovery.lost, { from: 1, to: 5 });
    assert.deepEqual(recovery.restored, { usage: 2, cooldowns: 1, snapshot: true });
    const stamp = '-2026-11-21T12-00-00.000Z';
    assert.deepEqual(recovery.moved.toSorted(), aside.map((name) => folder.file(name + stamp)));
    assert.deepEqual(balances(store), allBalances);
    assert.equal(uuidOf(store), uuid);
    store.close();
    const after = picture(folder.path);
    for (const name of aside) assert.equal(after[name + stamp], damaged[name.replace(/\.[a-z]+$/, '')]);
    assert.deepEqual(
      Object.keys(after),
      [...aside.map((name) => name + stamp), 'store.db', 'store.snapshot.json'].sort(),
    );
  });
}

test('two files are never moved to one name', (t) => {
  const folder = new TestFolder(t);
  for (let round = 0; round < 3; round++) {
    run(
      folder.file(),
      `const store = SqliteStore.open(path); store.saveSnapshot({ timestamp: new Date() }); store.close();`,
    );
    writeFileSync(folder.file(), Buffer.alloc(5_000, `noise ${round}`));
    SqliteStore.open(folder.file(), { clock, recover: true }).close();
  }
  const name = 'store.db.damaged-2026-11-21T12-00-00.000Z';
  assert.deepEqual(namesIn(folder.path).filter((each) => each.includes('damaged')), [name, `${name}-1`, `${name}-2`]);
});

test('a damaged database that its own header names is moved aside by recover, though nothing else is left', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  rmSync(folder.file('store.snapshot.json'));
  flipBit(folder.file(), 100, 1);
  assert.throws(() => folder.open(), { code: 'ERR_STORE_CORRUPT' });
  const { store, recovery } = openTwice(folder, { recover: true });
  assert.deepEqual(recovery, {
    found: 'damaged',
    moved: [folder.file('store.db.damaged-2026-11-21T12-00-00.000Z')],
    restored: { usage: 0, cooldowns: 0, snapshot: false },
  });
  assert.equal(store.loadSnapshot(), undefined);
});

test('a stranger at the path of a lost store stays where it is, unless the plain file names a store', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  rmSync(folder.file());
  makeDatabase(folder.file(), 'CREATE TABLE bookmarks (url TEXT);');
  const before = picture(folder.path);
  assert.throws(() => folder.open({ recover: true }), { code: 'ERR_STORE_NOT_A_STORE' });
  assert.deepEqual(picture(folder.path), before);
  makeText(folder.file());
  assert.throws(() => folder.open(), { code: 'ERR_STORE_CORRUPT' });
  assert.equal(openTwice(folder, { recover: true }).recovery.found, 'damaged');
});

test('a lost database beside a damaged plain file starts empty by recover, and both damaged files are kept', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  rmSync(folder.file());
  flipBit(folder.file('store.snapshot.json'), 200);
  assert.throws(() => folder.open(), { code: 'ERR_STORE_CORRUPT' });
  const { store, recovery } = openTwice(folder, { recover: true });
  assert.deepEqual(recovery, {
    found: 'missing',
    moved: [folder.file('store.snapshot.json.damaged-2026-11-21T12-00-00.000Z')],
    restored: { usage: 0, cooldowns: 0, snapshot: false },
  });
  assert.equal(store.loadSnapshot(), undefined);
  assert.deepEqual(store.health().findings, []);
});

test("another store's plain file is moved aside by recover, and this store's own is written again", (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  run(folder.file('other.db'), `const store = SqliteStore.open(path); store.addUsage('minecraft', '${day}', `
    + `70_000); store.saveSnapshot({ timestamp: new Date() }); store.close();`);
  renameSync(folder.file('other.snapshot.json'), folder.file('store.snapshot.json'));
  assert.throws(() => folder.open(), { code: 'ERR_STORE_CONFLICT' });
  const { store, recovery } = openTwice(folder, { recover: true });
  assert.deepEqual(recovery, {
    found: 'other-file',
    moved: [folder.file('store.snapshot.json.other-store-2026-11-21T12-00-00.000Z')],
    restored: { usage: 0, cooldowns: 0, snapshot: false },
  });
  assert.equal(store.getUsage('minecraft', day), 10_000);
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-11-21T09:00:00Z') });
  assert.deepEqual(store.health().findings, []);
  assert.ok(existsSync(folder.file('store.snapshot.json')));
});

test("another store's plain file beside a damaged row is moved aside by recover too", (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} store.close();`);
  makeDatabase(folder.file(), "UPDATE snapshot SET data = 'x'");
  run(
    folder.file('other.db'),
    `const store = SqliteStore.open(path); store.saveSnapshot({ timestamp: new Date() }); store.close();`,
  );
  renameSync(folder.file('other.snapshot.json'), folder.file('store.snapshot.json'));
  const { store } = openTwice(folder, { recover: true });
  assert.throws(() => store.loadSnapshot(), { code: 'ERR_STORE_CORRUPT' });
});

test('a recovery that was cut short is carried on', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${first} ${second} store.close();`);
  const [uuid] = run(folder.file(), `const store = SqliteStore.openReadOnly(path); `
    + `report(connect(store).prepare('SELECT uuid FROM store_meta').get()[0]);`);
  // Killed after the tables were made, and before anything was put back.
  rmSync(folder.file());
  run(folder.file('store.db'), `
    const { createSchema } = await import(${JSON.stringify(new URL('../../lib/migrate/create.ts',
      import.meta.url).href)});
    const db = new DatabaseSync(path); db.exec('BEGIN'); createSchema(db, new Date(), ${JSON.stringify({ uuid })});
    db.exec('COMMIT'); db.close();`);
  const { store, recovery } = openTwice(folder);
  assert.deepEqual([recovery.found, recovery.lost], ['behind', { from: 1, to: 5 }]);
  assert.deepEqual(balances(store), allBalances);
});

test('what recovery says is a copy', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('store.db-wal'), 'x');
  const store = folder.open();
  store.recovery!.moved.push('something else');
  assert.equal(store.recovery!.moved.length, 1);
});

test('a loss that nobody had to recover from is none: opening beside a service that goes on writing finds '
  + 'nothing', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  for (let round = 0; round < 5; round++) {
    store.appendAudit({ type: 'service_started' });
    store.saveSnapshot({ timestamp: clock() });
    const other = folder.open();
    assert.equal(other.recovery, undefined);
    other.close();
  }
});
