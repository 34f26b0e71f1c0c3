// Several processes that find one store damaged, missing or behind: they take turns, and a recovery that is cut short
// is told whole.
import assert from 'node:assert/strict';
import {
  copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { restore } from '../../lib/modules/backup/backup.ts';
import { FileLock } from '../../lib/recovery/lock.ts';
import { writeNote } from '../../lib/recovery/note.ts';
import { flipBit, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion, run } from '../support/process.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

const day = '2026-11-21';
const stamp = '2026-11-21T12-00-00.000Z';
const clock = (): Date => new Date('2026-11-21T12:00:00.000Z');
const busy = { code: 'ERR_STORE_BUSY' };

/** Three events, usage and a state, left by a process that was killed. */
const made = `
  const store = SqliteStore.open(path);
  for (let i = 0; i < 3; i++) store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '${day}', 10_000);
  store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
  connect(store).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
  store.appendAudit({ type: 'service_stopped' });
  store.saveSnapshot({ timestamp: new Date('2026-11-21T10:00:00Z') });
  die();`;

const harms: [what: string, harm: (folder: TestFolder) => void, found: string][] = [
  ['damaged', (folder) => writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise')), 'damaged'],
  ['missing', (folder) => { for (const suffix of ['', '-wal', '-shm']) rmSync(folder.file() + suffix); }, 'missing'],
  ['missing beside its -wal', (folder) => rmSync(folder.file()), 'missing'],
  ['behind its snapshot file', (folder) => flipBit(folder.file('store.db-wal'), 32 + 24 + 100), 'behind'],
];

/** Opens when it is told, writes and is killed; says what came of it. */
const recovering = `
  await told();
  let store;
  const code = codeOf(() => { store = SqliteStore.open(path, { recover: true }); });
  const ids = [];
  if (store) for (let i = 0; i < 20; i++) ids.push(store.appendAudit({ type: 'policy_loaded',
  entryCount: process.pid }).id);
  report({ code, pid: process.pid, count: ids.length, found: store?.recovery?.found });
  die();`;

for (const [what, harm, found] of harms) {
  test(`of processes that open a store at once which is ${what}, one recovers it and none loses what it `
    + `acknowledged`, async (t) => {
    const folder = new TestFolder(t);
    run(folder.file(), made);
    harm(folder);
    const companions = Array.from({ length: 4 }, () => new Companion(t, folder.file(), recovering));
    for (const companion of companions) companion.tell('go');
    const told = (await Promise.all(companions.map((companion) => companion.next()))) as {
      code: string;
      pid: number;
      count: number;
      found?: string;
    }[];
    for (const companion of companions) await companion.kill();
    for (const { code } of told) assert.ok(['no error', 'ERR_STORE_BUSY'].includes(code), code);
    assert.deepEqual(
      told.map((each) => each.found).filter((each) => each !== undefined),
      [found],
    );
    const store = folder.open();
    assert.equal(store.recovery, undefined);
    const events = store.getRecentAudits(1_000).map(({ event }) => event);
    assert.equal(events.filter(({ type }) => type === 'store_recovered').length, 1);
    for (const { pid, count } of told)
      assert.equal(events.filter((event) => event.type === 'policy_loaded' && event.entryCount === pid).length, count);
    assert.equal(store.getUsage('minecraft', day), 10_000);
    assert.deepEqual(
      namesIn(folder.path).filter((name) => /lock|recovery|tmp/.test(name)),
      [],
    );
  });
}

for (const [what, harm] of harms) {
  test(`while one process has the turn, no other says of a store that is ${what} what is not so`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    run(folder.file(), made);
    harm(folder);
    const before = picture(folder.path);
    using turn = FileLock.acquire(folder.file('store.db-lock'), 0, 'recovers it');
    for (const recover of [false, true])
      assert.throws(() => SqliteStore.open(folder.file(), { recover, busyTimeoutMs: 50 }), busy);
    turn.release();
    assert.deepEqual({ ...picture(folder.path), 'store.db-shm': '' }, { ...before, 'store.db-shm': '' });
  });
}

test('a restore takes the same turn', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file('backup.db'), `SqliteStore.open(path).close();`);
  using turn = FileLock.acquire(folder.file('store.db-lock'), 0, 'recovers it');
  await assert.rejects(restore(folder.file('backup.db'), folder.file(), { busyTimeoutMs: 50 }), busy);
  turn.release();
  assert.equal((await restore(folder.file('backup.db'), folder.file())).replaced, 'nothing');
});

test('a damaged database that a process goes on with is not moved from under it', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const companion = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    store.saveSnapshot({ timestamp: new Date() });
    report('open');
    await told();`);
  await companion.next();
  flipBit(folder.file(), 100, 1);
  const names = readdirSync(folder.path);
  assert.throws(() => SqliteStore.open(folder.file(), { recover: true, busyTimeoutMs: 50 }), busy);
  assert.deepEqual(readdirSync(folder.path), names);
  companion.tell('end');
  await companion.end();
  using store = SqliteStore.open(folder.file(), { recover: true });
  assert.equal(store.recovery?.found, 'damaged');
});

test('a recovery that was cut short when it had moved the database is told whole by the next one', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), made);
  writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
  const aside = folder.file(`store.db.damaged-${stamp}`);
  writeNote(folder.file(), { found: 'damaged', moved: [aside] });
  renameSync(folder.file(), aside);
  for (const suffix of ['-wal', '-shm']) rmSync(folder.file() + suffix);
  assert.throws(() => folder.open({ clock }), { code: 'ERR_STORE_CORRUPT' });
  const store = folder.open({ clock, recover: true });
  const { found, moved, lost } = store.recovery!;
  assert.deepEqual({ found, moved, lost }, { found: 'damaged', moved: [aside], lost: { from: 1, to: 4 } });
  assert.equal(existsSync(folder.file('store.db-recovery')), false);
  store.close();
  assert.equal(folder.open().recovery, undefined);
});

test('nothing is moved before the note of it stands: where that cannot be written, everything stays', (t) => {
  const folder = new TestFolder(t, { checked: false });
  run(folder.file(), made);
  writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
  mkdirSync(folder.file('store.db-recovery'));
  assert.throws(() => folder.open({ clock, recover: true }));
  assert.ok(readFileSync(folder.file()).every((byte, at) => byte === Buffer.from('noise')[at % 5]));
  assert.deepEqual(namesIn(folder.path).filter((name) => name.includes('.damaged-')), []);
});

test('a note is on the disk before what it tells of is moved, and its end is too', needs('strace'), (t) => {
  const folder = new TestFolder(t, { checked: false });
  run(folder.file(), made);
  writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
  const output = folder.file('trace');
  const before = tracing(output, ['fsync', 'rename', 'unlink']);
  run(folder.file(), 'SqliteStore.open(path, { recover: true }).close();', { before });
  const steps = readTrace(output).map(
    ({ name, path }) =>
      `${name} ${path === folder.path ? 'folder' : basename(path).replace(/^\.(.*)\.[0-9a-f-]{36}\.tmp$/, '$1.tmp')}`,
  );
  const at = steps.indexOf('rename store.db-recovery');
  assert.deepEqual(steps.slice(at - 1, at + 2), [
    'fsync store.db-recovery.tmp',
    'rename store.db-recovery',
    'fsync folder',
  ]);
  assert.match(steps[at + 2]!, /^rename store\.db\.damaged-/);
  assert.equal(steps[at + 3], 'fsync folder');
  const end = steps.indexOf('unlink store.db-recovery');
  assert.equal(steps[end + 1], 'fsync folder');
});

test('a recovery that was cut short behind its event is not told twice, and before its first step not at all', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), made);
  writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
  const store = SqliteStore.open(folder.file(), { clock, recover: true });
  const { moved } = store.recovery!;
  store.close();
  for (const note of [
    { found: 'damaged' as const, moved },
    { found: 'damaged' as const, moved: [folder.file('not-moved')] },
  ]) {
    writeNote(folder.file(), note);
    using again = SqliteStore.open(folder.file());
    assert.equal(again.recovery, undefined);
    assert.equal(again.auditHead()!.id, 1);
    assert.equal(existsSync(folder.file('store.db-recovery')), false);
  }
});

test('beside a note, a last event that cannot be read is damage', (t) => {
  const folder = new TestFolder(t, { checked: false });
  folder.open({ clock }).close();
  const raw = folder.raw();
  raw.exec(`INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash)
    VALUES (1, '2026-11-21T12:00:00.000Z', 'store_recovered', '[', '')`);
  raw.close();
  writeNote(folder.file(), { found: 'damaged', moved: [folder.file('store.db.damaged-1')] });
  writeFileSync(folder.file('store.db.damaged-1'), '');
  assert.throws(() => SqliteStore.open(folder.file()), { code: 'ERR_STORE_CORRUPT' });
});

test('a note that says nothing, or leads out of the folder, changes nothing', (t) => {
  const folder = new TestFolder(t);
  folder.open({ clock }).close();
  for (const text of [
    '',
    '{',
    '{"found":"eaten","moved":[]}',
    '{"found":"damaged","moved":["../../etc/passwd"]}',
    'null',
  ]) {
    writeFileSync(folder.file('store.db-recovery'), text);
    using store = SqliteStore.open(folder.file());
    assert.equal(store.recovery, undefined, text);
  }
});

test('a copy of a -wal whose commits came back by the ledger is told as well', (t) => {
  const folder = new TestFolder(t);
  const withLedger = made.replace(
    'SqliteStore.open(path)',
    "SqliteStore.open(path, { ledger: (await import(process.argv[2])).Ledger.open(path + '.jsonl') })",
  );
  run(
    folder.file(),
    withLedger.replace('process.argv[2]', `'${new URL('../../lib/ledger/index.ts', import.meta.url).href}'`),
  );
  flipBit(folder.file('store.db-wal'), 32 + 24 + 100);
  const store = folder.open({ clock, ledger: Ledger.open(`${folder.file()}.jsonl`) });
  assert.deepEqual(store.recovery?.moved, [folder.file(`store.db-wal.behind-${stamp}`)]);
});

// Names --------------------------------------------------------------------------------------------------------------

test('a database with a second name is refused, and opened when that is gone', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), made);
  linkSync(folder.file(), folder.file('other.db'));
  const before = picture(folder.path);
  for (const name of ['store.db', 'other.db'])
    assert.throws(() => SqliteStore.open(folder.file(name)), { code: 'ERR_STORE_CONFLICT' });
  run(folder.file('backup.db'), 'SqliteStore.open(path).close();');
  await assert.rejects(restore(folder.file('backup.db'), folder.file()), { code: 'ERR_STORE_CONFLICT' });
  assert.throws(() => SqliteStore.migrate(folder.file(), 4), { code: 'ERR_STORE_CONFLICT' });
  rmSync(folder.file('backup.db'));
  assert.deepEqual(picture(folder.path), before);
  rmSync(folder.file('other.db'));
  assert.equal(folder.open().auditHead()!.id, 4);
});

test('a service whose database gets a second name loses nothing to whoever opens that, nor to its own '
  + 'end', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), made);
  const service = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    for (let word = 'open'; word; word = await told()) {
      if (word === 'write') for (let i = 0; i < 60; i++) store.appendAudit({ type: 'service_started' });
      report({ id: store.auditHead().id, findings: store.health().findings.map(({ kind }) => kind) });
    }`);
  const { id } = (await service.next()) as { id: number };
  linkSync(folder.file(), folder.file('other.db'));
  const visit = 'for (const options of [{}, { recover: true }]) report(codeOf(() => SqliteStore.open(path, '
    + 'options).appendAudit({ type: "service_stopped" })));';
  assert.deepEqual(run(folder.file('other.db'), visit), ['ERR_STORE_CONFLICT', 'ERR_STORE_CONFLICT']);
  assert.deepEqual(await service.ask('write'), { id: id + 60, findings: ['second-name'] });
  await service.kill();
  rmSync(folder.file('other.db'));
  const store = folder.open();
  assert.equal(store.recovery, undefined);
  assert.equal(store.getRecentAudits(60).filter(({ event: { type } }) => type === 'service_started').length, 60);
});

test('a second name that a restore left when it was killed goes away by itself', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), made);
  linkSync(folder.file(), folder.file(`store.db.replaced-${stamp}`));
  writeFileSync(folder.file('store.db.replaced-before'), 'the database that an earlier restore kept');
  assert.equal(folder.open().auditHead()!.id, 4);
  assert.equal(statSync(folder.file()).nlink, 1);
  assert.equal(existsSync(folder.file(`store.db.replaced-${stamp}`)), false);
  assert.ok(existsSync(folder.file('store.db.replaced-before')));
});

test('a second name is a finding of a store that is only read', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  linkSync(folder.file(), folder.file('other.db'));
  using store = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual(store.health().findings.map(({ kind }) => kind), ['second-name']);
  rmSync(folder.file('other.db'));
  assert.equal(store.health().ok, true);
});

test(
  'a database that is mounted without its folder is a finding, and can be neither recovered nor restored to',
  needs('mount'),
  (t) => {
    const folder = new TestFolder(t);
    folder.open().close();
    folder.open().close();
    copyFileSync(folder.file(), folder.file('backup.db'));
    const backupUrl = new URL('../../lib/modules/backup/backup.ts', import.meta.url).href;
    const [findings, after, restored, recovered] = run(
      folder.file(),
      `
    const { mkdirSync, writeFileSync, existsSync } = fs;
    const { execFileSync } = await import('node:child_process');
    const alone = path.replace('store.db', 'all alone/store.db');
    mkdirSync(path.replace('store.db', 'all alone')); // the system writes the space as an escape
    writeFileSync(alone, '');
    execFileSync('mount', ['--bind', path, alone]);
    const store = SqliteStore.open(alone);
    report(store.health().findings.map(({ kind }) => kind));
    store.saveSnapshot({ timestamp: new Date() });
    store.close();
    using reader = SqliteStore.openReadOnly(alone);
    report(reader.health().findings.map(({ kind }) => kind));
    reader.close();
    const { restore } = await import('${backupUrl}');
    report(await restore(path.replace('store.db', 'backup.db'), alone).then(() => 'no error', (error) => error.code));
    fs.writeFileSync(alone, Buffer.alloc(50_000, 'noise'));
    report(codeOf(() => SqliteStore.open(alone, { recover: true })));
    execFileSync('umount', [alone]);
    fs.copyFileSync(path.replace('store.db', 'backup.db'), path);`,
      { unshared: true },
    );
    assert.deepEqual(
      [findings, after, restored, recovered],
      [['mounted-alone'], ['mounted-alone'], 'ERR_STORE_PERMISSION', 'ERR_STORE_PERMISSION'],
    );
    assert.ok(readFileSync(folder.file()).length > 0);
  },
);
