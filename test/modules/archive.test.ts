// Archiving as a service or a timer calls it: which rows go, what is told, and how it goes on after it was cut short.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SqliteStore, type StoreError } from '../../lib/index.ts';
import { Ledger, rebuildLedger } from '../../lib/ledger/index.ts';
import {
  archiveAudits, forgetArchives, forgetUsage, listArchives, readArchive, type UpTo, verifyArchives,
} from '../../lib/modules/archive/archive.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import {
  archiveUpTo, dayMs, idsOf, kindsOfAll, kindsOfLog, type Kiosk, kioskIn, namesIn, range, runFor,
} from '../support/archive.ts';
import { Worker } from '../support/child.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { codeOf } from '../support/refusals.ts';
import { needs } from '../support/tools.ts';

const conflict = { code: 'ERR_STORE_CONFLICT' };

test('the oldest rows go into a file that is a ledger, the log begins behind them, and both verify', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store, archives } = kiosk;
  const before = [...store.iterateAudits()];
  const archived = await archiveUpTo(kiosk, 40);
  const path = join(archives, 'store.db.audit-1-40.jsonl');
  const bytes = readFileSync(path);
  const { hash } = archived.anchor;
  assert.deepEqual(archived, {
    from: 1, to: 40, path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'),
    anchor: { id: 40, hash },
  });
  assert.deepEqual(namesIn(archives), ['store.db.audit-1-40.jsonl']);
  assert.deepEqual([...readArchive(path)], before.slice(0, 40));
  assert.deepEqual([...store.iterateAudits()].slice(0, 80), before.slice(40));
  const event = { type: 'log_archived', from: 1, to: 40, hash, file: 'store.db.audit-1-40.jsonl' };
  assert.deepEqual(store.getRecentAudits(1)[0]!.event, { ...event, sha256: archived.sha256 });
  assert.equal(await kindsOfLog(store), 'ok');
  assert.deepEqual(await Ledger.open(path).verify(), {
    ok: true, checked: 40, head: archived.anchor, findings: [], more: 0,
  });
  const head = store.auditHead();
  assert.deepEqual(await verifyArchives(store, archives), {
    ok: true, archives: 1, checked: 121, head, findings: [], more: 0,
  });
  const { store: uuid } = Ledger.open(path);
  assert.deepEqual(listArchives(archives), [{ path, from: 1, to: 40, bytes: bytes.length, store: uuid }]);
});

test('archive follows archive, compressed or not, and a store that is opened again goes on behind them', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const before = [...kiosk.store.iterateAudits()];
  const first = await archiveUpTo(kiosk, 30, true);
  const second = await archiveUpTo(kiosk, 31);
  kiosk.store.close();
  kiosk.store = folder.open(kiosk.clocks.options);
  assert.equal(kiosk.store.recovery, undefined);
  const third = await archiveUpTo(kiosk, 100, true);
  assert.deepEqual(namesIn(kiosk.archives), [
    'store.db.audit-1-30.jsonl.gz', 'store.db.audit-31-31.jsonl', 'store.db.audit-32-100.jsonl.gz',
  ]);
  assert.deepEqual([first, second, third].flatMap(({ path }) => [...readArchive(path)]), before.slice(0, 100));
  assert.equal(readFileSync(first.path).readUInt16BE(), 0x1f8b);
  assert.deepEqual(idsOf(kiosk.store), range(101, 123));
  assert.equal(await kindsOfAll(kiosk), 'ok');
  assert.equal(kiosk.store.appendAudit({ type: 'service_started' }).id, 124);
});

test('where there is nothing to do, nothing is written and nothing is given', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store, archives } = kiosk;
  const give = (upTo: Parameters<typeof archiveAudits>[1]['upTo']): Promise<unknown> =>
    archiveAudits(store, { folder: archives, upTo });
  assert.equal(await give({ keepDays: 12 }), undefined);
  assert.equal(await give({ keepDays: 36_500 }), undefined);
  assert.equal(await give({ before: new Date('2026-01-01T08:00:00Z') }), undefined);
  assert.equal(await give({ before: new Date('0000-01-01T00:00:00Z') }), undefined);
  await archiveUpTo(kiosk, 40);
  const head = store.auditHead();
  for (const upTo of [{ id: 40 }, { id: 1 }, { keepDays: 8 }, { before: new Date('2026-01-05T08:00:00Z') }]) {
    assert.equal(await give(upTo), undefined, JSON.stringify(upTo));
  }
  assert.deepEqual(store.auditHead(), head);
  const empty = folder.closing(SqliteStore.open(folder.file('empty.db')));
  assert.equal(await archiveAudits(empty, { folder: archives, upTo: { keepDays: 1 } }), undefined);
  await assert.rejects(archiveAudits(empty, { folder: archives, upTo: { id: 1 } }), conflict);
});

test('rows go by their positions up to the first that is not older, however clocks jump', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-01-01T00:00:00Z');
  const store = folder.open(clocks.options);
  // Row 3 was written while the clock was ahead, rows 5 and 6 while it was behind.
  const days = ['01-01', '01-02', '01-20', '01-03', '01-01', '01-01', '01-05', '01-06', '02-20'];
  for (const day of days) {
    clocks.set(`2026-${day}T12:00:00Z`);
    store.appendAudit({ type: 'policy_loaded', entryCount: 1 });
  }
  const options = { folder: folder.file('archives') };
  const upTo = async (before: string): Promise<number | undefined> =>
    (await archiveAudits(store, { ...options, upTo: { before: new Date(before) } }))?.to;
  assert.equal(await upTo('2026-01-02T12:00:00Z'), 1);
  assert.equal(await upTo('2026-01-10T00:00:00Z'), 2, 'row 3 is not older, so nothing behind it goes');
  assert.equal(await upTo('2026-01-20T12:00:00Z'), undefined);
  assert.equal(await upTo('2026-01-20T12:00:00.001Z'), 8);
});

test('a time that is still to come keeps no log from being shortened, and a clock that is behind does', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-01-01T00:00:00Z');
  const store = folder.open(clocks.options);
  // Rows 2, 3 and 7 were written while the clock was years ahead.
  for (const day of ['26-01-01', '99-01-01', '99-01-02', '26-01-02', '26-01-10', '26-01-12', '99-01-01']) {
    clocks.set(`20${day}T12:00:00Z`);
    store.appendAudit({ type: 'policy_loaded', entryCount: 1 });
  }
  const upTo = async (now: string, wanted: UpTo): Promise<number | undefined> => {
    clocks.set(now);
    return (await archiveAudits(store, { folder: folder.file('archives'), upTo: wanted }))?.to;
  };
  assert.equal(await upTo('1970-01-01T00:00:00Z', { keepDays: 1 }), undefined, 'every time is still to come');
  await assert.rejects(upTo('1970-01-01T00:00:00Z', { id: 1 }), conflict);
  assert.equal(await upTo('2026-01-20T12:00:00Z', { keepDays: 12 }), 4);
  await assert.rejects(upTo('2026-01-20T12:00:00Z', { id: 7 }), conflict, 'nothing older is behind');
  assert.equal(await upTo('2026-01-20T12:00:00Z', { id: 6 }), 6);
});

test('keepDays counts days of 24 hours back from now, and stops at a row that has to stay', async (t) => {
  const folder = new TestFolder(t);
  const { store, clocks, archives } = kioskIn(folder);
  const options = { folder: archives };
  assert.equal((await archiveAudits(store, { ...options, upTo: { keepDays: 10 } }))?.to, 20);
  assert.equal(await archiveAudits(store, { ...options, upTo: { keepDays: 10 } }), undefined);
  clocks.pass(1);
  assert.equal((await archiveAudits(store, { ...options, upTo: { keepDays: 10 } }))?.to, 30);
  store.saveSnapshot({
    timestamp: new Date(clocks.wall),
    activeSession: { sessionId: 's', entryId: 'a', startedAt: new Date('2026-01-05T08:00:00Z'), warningsIssued: [] },
  });
  assert.equal((await archiveAudits(store, { ...options, upTo: { keepDays: 2 } }))?.to, 40, 'the session began there');
  assert.equal(await archiveAudits(store, { ...options, upTo: { keepDays: 2 } }), undefined);
  store.saveSnapshot({ timestamp: new Date(clocks.wall) });
  assert.equal((await archiveAudits(store, { ...options, upTo: { keepDays: 1 } }))?.to, 120);
});

test('an id or a time that asks for a row that has to stay is refused, and names the row', async (t) => {
  const folder = new TestFolder(t);
  const { store, clocks, archives } = kioskIn(folder);
  const refused = (upTo: Parameters<typeof archiveAudits>[1]['upTo'], row: number): Promise<void> =>
    assert.rejects(archiveAudits(store, { folder: archives, upTo }), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'ERR_STORE_CONFLICT');
      assert.match(error.message, new RegExp(`\\b${row}\\b`));
      return true;
    });
  await refused({ id: 121 }, 120);
  await refused({ id: 2 ** 53 - 1 }, 120);
  await refused({ id: 111 }, 111);
  await refused({ before: new Date('9999-12-31T00:00:00Z') }, 111);
  await refused({ before: new Date(clocks.wall) }, 111);
  store.saveSnapshot({
    timestamp: new Date(clocks.wall),
    activeSession: { sessionId: 's', entryId: 'a', startedAt: new Date('2026-01-05T08:00:00Z'), warningsIssued: [] },
  });
  await refused({ id: 41 }, 41);
  assert.equal(existsSync(archives) && namesIn(archives).length > 0, false);
  assert.deepEqual(idsOf(store), range(1, 120));
});

test('a leftover file of the name does not make rows go that have to stay', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store, archives } = kiosk;
  // A copy of the log under the name of an archive: whoever may write to the folder can make one.
  await rebuildLedger(store, join(archives, 'store.db.audit-1-120.jsonl'));
  await archiveAudits(store, { folder: archives, upTo: { keepDays: 5 } });
  assert.deepEqual(idsOf(store).slice(-11), range(111, 121));
});

test('the folder is made private, and so is each file, whatever the umask', async (t) => {
  const folder = new TestFolder(t);
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const kiosk = kioskIn(folder);
  chmodSync(folder.file(), 0o666);
  const { path } = await archiveUpTo(kiosk, 10, true);
  assert.equal(statSync(kiosk.archives).mode & 0o777, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  chmodSync(folder.file(), 0o600);
});

test('of a store of another user, root makes archives that are of that user', needs('root'), async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  for (const name of namesIn(folder.path)) chownSync(folder.file(name), 1234, 4321);
  const { path } = await archiveUpTo(kiosk, 10);
  const { uid, gid, mode } = statSync(path);
  assert.deepEqual([uid, gid, mode & 0o777], [1234, 4321, 0o600]);
});

/** Archives, but aborts once the first rows are deleted; the file is named and recorded by then. */
async function cutShort({ store, archives }: Kiosk, id: number, gzip = false): Promise<void> {
  const controller = new AbortController();
  const rejected = archiveAudits(store, {
    folder: archives, upTo: { id }, gzip, signal: controller.signal,
    onProgress: () => store.auditHead()!.id > id && idsOf(store)[0]! > 1 && controller.abort(),
  });
  await assert.rejects(rejected, { name: 'AbortError' });
}

test('an archiving that ended while it deleted rows is finished by the next one', async (t) => {
  for (const gzip of [false, true]) {
    const folder = new TestFolder(t);
    const kiosk = kioskIn(folder, { perDay: 300 });
    await cutShort(kiosk, 2_500, gzip);
    assert.equal(idsOf(kiosk.store)[0], 1_001);
    assert.equal(await kindsOfLog(kiosk.store), 'ok');
    assert.equal(await kindsOfAll(kiosk), 'ok');
    kiosk.store.close();
    kiosk.store = folder.open(kiosk.clocks.options);
    const { store, archives } = kiosk;
    const finished = await archiveAudits(store, { folder: archives, upTo: { keepDays: 30 } });
    assert.deepEqual([finished?.from, finished?.to, finished?.bytes], [1, 2_500, statSync(finished!.path).size]);
    assert.deepEqual([idsOf(store)[0], store.auditHead()?.id], [2_501, 3_601]);
    assert.equal((await archiveAudits(store, { folder: archives, upTo: { id: 2_600 } }))?.from, 2_501);
    assert.equal(await kindsOfAll(kiosk), 'ok');
  }
});

test('where the file of an unfinished archiving is not in the folder, the rest gets one of its own', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { perDay: 300 });
  await cutShort(kiosk, 2_500);
  const elsewhere = folder.file('elsewhere');
  const archived = await archiveAudits(kiosk.store, { folder: elsewhere, upTo: { id: 2_600 } });
  assert.deepEqual([archived?.from, archived?.to], [1_001, 2_600]);
  assert.deepEqual(idsOf(kiosk.store)[0], 2_601);
  assert.equal(await kindsOfLog(kiosk.store), 'ok');
  const kindsElsewhere = await kindsOfAll({ ...kiosk, archives: elsewhere });
  assert.equal(kindsElsewhere, 'gap, missing');
  copyFileSync(join(kiosk.archives, 'store.db.audit-1-2500.jsonl'), join(elsewhere, 'store.db.audit-1-2500.jsonl'));
  assert.equal(await kindsOfAll({ ...kiosk, archives: elsewhere }), 'ok');
});

test('a file that was named and not recorded is recorded by the next archiving, if it is as the log is', async (t) => {
  for (const damage of [false, true]) {
    const folder = new TestFolder(t);
    const kiosk = kioskIn(folder);
    kiosk.store.close();
    copyFileSync(folder.file(), folder.file('before.db'));
    kiosk.store = folder.open(kiosk.clocks.options);
    const { path, sha256 } = await archiveUpTo(kiosk, 50, true);
    kiosk.store.close();
    renameSync(folder.file('before.db'), folder.file());
    kiosk.store = folder.open(kiosk.clocks.options);
    const { store, archives } = kiosk;
    assert.equal(await kindsOfAll(kiosk), 'ok', 'the log has the rows of the file as well');
    if (damage) {
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(0, 500, 501));
      await assert.rejects(archiveAudits(store, { folder: archives, upTo: { id: 50 }, gzip: true }), conflict);
      assert.deepEqual(idsOf(store), range(1, 120));
      rmSync(path);
      continue;
    }
    const archived = await archiveAudits(store, { folder: archives, upTo: { id: 20 } });
    assert.deepEqual([archived?.to, archived?.sha256, idsOf(store)[0]], [50, sha256, 51]);
    assert.equal(await kindsOfAll(kiosk), 'ok');
  }
});

test('while another process archives a store, archiving and forgetting archives are busy', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store, archives } = kiosk;
  const worker = new Worker(t, 'archive', ['lock', folder.file()]);
  await worker.told(1);
  const busy = { code: 'ERR_STORE_BUSY' };
  await assert.rejects(archiveAudits(store, { folder: archives, upTo: { id: 10 } }), busy);
  assert.throws(() => forgetArchives(store, archives, { before: new Date() }), busy);
  assert.deepEqual(idsOf(store), range(1, 120));
  worker.kill();
  await worker.end();
  assert.equal((await archiveUpTo(kiosk, 10)).to, 10, 'the lock dies with its process');
  const twice = [20, 30].map((id) => archiveAudits(store, { folder: archives, upTo: { id } }));
  const outcomes = await Promise.allSettled(twice);
  assert.deepEqual(outcomes.map(({ status }) => status), ['fulfilled', 'rejected']);
  assert.equal((outcomes[1] as PromiseRejectedResult).reason.code, 'ERR_STORE_BUSY');
  assert.deepEqual(namesIn(folder.path), ['archives', 'store.db', 'store.db-shm', 'store.db-wal']);
});

test('rows of a session that runs stay: from its event on, or without one from its beginning on', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store, clocks, archives } = kiosk;
  const tracker = new SessionTracker(store, clocks.forTracker);
  const { sessionId } = tracker.start({ entryId: 'minecraft' });
  runFor(store, clocks, 5, 10);
  tracker.touch();
  await assert.rejects(archiveUpTo(kiosk, 130), (error: StoreError) => {
    return error.code === 'ERR_STORE_CONFLICT' && error.message.includes('row 121 ');
  });
  assert.equal((await archiveAudits(store, { folder: archives, upTo: { keepDays: 2 } }))?.to, 120);
  tracker.end({ type: 'user_stop' });
  assert.equal((await archiveAudits(store, { folder: archives, upTo: { keepDays: 2 } }))?.to, 151);
  // Another program's session, which was saved but has no event: what is not older than its beginning stays.
  const startedAt = new Date(clocks.wall - 2.5 * dayMs);
  const session = { sessionId: 'other', entryId: 'a', startedAt, warningsIssued: [] };
  clocks.pass(5 * dayMs);
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession: session });
  await assert.rejects(archiveUpTo(kiosk, 162), conflict);
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession: { ...session, sessionId } });
  assert.equal((await archiveUpTo(kiosk, 162)).to, 162, 'that session has ended, as the log says');
});

test('where the state cannot be read, nobody knows which session runs, and nothing is archived', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  kiosk.store.saveSnapshot({ timestamp: new Date(kiosk.clocks.wall) });
  writeFileSync(folder.file('store.snapshot.json'), '{');
  folder.raw().exec("UPDATE snapshot SET data = '{'");
  await assert.rejects(archiveUpTo(kiosk, 10), { code: 'ERR_STORE_CORRUPT' });
  assert.equal(idsOf(kiosk.store)[0], 1);
});

test('the adopted rows go together, gaps and all, and what is behind them goes by itself', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), `${fourTables}; DELETE FROM snapshot;
    INSERT INTO audit_log VALUES (7, '2026-11-20T10:00:00Z', 'launch_denied', '{"a":1}');`);
  const clocks = new Clocks('2026-12-01T08:00:00Z');
  const store = folder.open(clocks.options);
  const adopted = store.auditHead()!.id;
  const ids = idsOf(store);
  assert.ok(ids.length < adopted, 'the ids of the adopted rows have gaps');
  runFor(store, clocks, 4, 10);
  const kiosk = { store, clocks, archives: folder.file('archives') };
  const options = { folder: kiosk.archives };
  await assert.rejects(archiveUpTo(kiosk, ids[2]!), conflict);
  const before = new Date('2026-11-20T08:02:00Z');
  assert.equal(await archiveAudits(store, { ...options, upTo: { before } }), undefined);
  const archived = await archiveUpTo(kiosk, adopted + 1);
  assert.deepEqual([archived.from, archived.to], [ids[0], adopted + 1]);
  assert.deepEqual([...readArchive(archived.path)].map(({ id }) => id), [...ids, adopted + 1]);
  assert.equal(await kindsOfLog(store), 'ok');
  assert.equal(await kindsOfAll(kiosk), 'ok');
  await archiveUpTo(kiosk, adopted + 5);
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('an adopted row whose time cannot be read goes with the rows around it, byte for byte', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), `${fourTables}; DELETE FROM snapshot;
    INSERT INTO audit_log VALUES (5, 'yesterday', 'a', '{'), (6, '0', '', x'00ff'), (7, '', 'b', 'a' || char(0))`);
  const clocks = new Clocks('2026-12-01T08:00:00Z');
  const store = folder.open(clocks.options);
  runFor(store, clocks, 3, 4);
  const kiosk = { store, clocks, archives: folder.file('archives') };
  assert.equal((await archiveAudits(store, { folder: kiosk.archives, upTo: { keepDays: 2 } }))?.to, 12);
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('a folder in which no file can be made leaves the log as it is', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store } = kiosk;
  const give = (path: string): Promise<unknown> => archiveAudits(store, { folder: path, upTo: { id: 10 } });
  writeFileSync(folder.file('file'), '');
  for (const path of [folder.file('file'), folder.file('file/below'), '/proc/self', '/dev/full/archives']) {
    const code = await codeOf(() => give(path));
    assert.match(code ?? 'none', /^ERR_STORE_(IO|PERMISSION|READ_ONLY|CONFLICT|NOT_FOUND|INVALID_ARGUMENT)$/, path);
  }
  await assert.rejects(give(folder.file('a\0b')), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  assert.deepEqual(idsOf(store), range(1, 120));
  assert.deepEqual(namesIn(folder.path), ['file', 'store.db', 'store.db-shm', 'store.db-wal']);
});

test('whatever has the name of the archive is not overwritten, and no link is followed', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const target = join(kiosk.archives, 'store.db.audit-1-10.jsonl');
  mkdirSync(kiosk.archives);
  const victim = folder.file('victim');
  writeFileSync(victim, 'mine');
  for (const [name, plant] of Object.entries({
    'a file': () => writeFileSync(target, 'another'),
    'an empty file': () => writeFileSync(target, ''),
    'a link': () => symlinkSync(victim, target),
    'a link to nothing': () => symlinkSync(folder.file('nowhere'), target),
    'a folder': () => mkdirSync(target),
    'a pipe': () => execFileSync('mkfifo', [target]),
  })) {
    plant();
    await assert.rejects(archiveUpTo(kiosk, 10), conflict, name);
    assert.deepEqual(namesIn(kiosk.archives), ['store.db.audit-1-10.jsonl'], name);
    rmSync(target, { recursive: true });
  }
  assert.equal(readFileSync(victim, 'utf8'), 'mine');
  assert.deepEqual([existsSync(folder.file('nowhere')), idsOf(kiosk.store)], [false, range(1, 120)]);
});

test('links, folders and pipes in the folder are no archives, and are neither read nor waited for', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { path } = await archiveUpTo(kiosk, 10);
  symlinkSync(path, join(kiosk.archives, 'store.db.audit-1-9.jsonl'));
  symlinkSync('/dev/zero', join(kiosk.archives, 'store.db.audit-11-19.jsonl'));
  mkdirSync(join(kiosk.archives, 'store.db.audit-11-20.jsonl'));
  execFileSync('mkfifo', [join(kiosk.archives, 'store.db.audit-11-21.jsonl.gz')]);
  writeFileSync(join(kiosk.archives, 'notes.txt'), '');
  assert.deepEqual(listArchives(kiosk.archives).map((each) => each.path), [path]);
  assert.equal(await kindsOfAll(kiosk), 'ok');
  assert.equal((await archiveUpTo(kiosk, 15)).to, 15);
  assert.throws(() => [...readArchive(join(kiosk.archives, 'store.db.audit-1-9.jsonl'))], /^StoreError/);
  assert.throws(() => [...readArchive(join(kiosk.archives, 'store.db.audit-11-21.jsonl.gz'))], /^StoreError/);
});

test('a store that is read, in memory, closed or in a transaction is not archived', async (t) => {
  const folder = new TestFolder(t);
  const { store, archives } = kioskIn(folder);
  const options = { folder: archives, upTo: { id: 10 } };
  const memory = folder.closing(SqliteStore.inMemory());
  await assert.rejects(archiveAudits(memory, options), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  let inside: Promise<unknown> | undefined;
  store.transaction(() => {
    inside = archiveAudits(store, options);
    inside.catch(() => {});
  });
  await assert.rejects(inside!, conflict);
  store.close();
  await assert.rejects(archiveAudits(store, options), { code: 'ERR_STORE_CLOSED' });
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  await assert.rejects(archiveAudits(reader, options), { code: 'ERR_STORE_READ_ONLY' });
  assert.throws(() => forgetArchives(reader, folder.path, { before: new Date() }), { code: 'ERR_STORE_READ_ONLY' });
  assert.throws(() => forgetUsage(reader, { before: '2026-01-01' }), { code: 'ERR_STORE_READ_ONLY' });
  assert.equal(existsSync(archives), false);
});

test('a store that is read begins behind its archives, and verifies with them', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  await archiveUpTo(kiosk, 40);
  kiosk.store.close();
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.deepEqual(idsOf(reader), range(41, 121));
  assert.equal(await kindsOfAll({ ...kiosk, store: reader }), 'ok');
});

test('a log with a row that was changed goes into no archive, and stays whole', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const kiosk = kioskIn(folder);
  folder.raw().exec(`DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_type = 'x' WHERE id = 20`);
  kiosk.store.close();
  kiosk.store = folder.open({ ...kiosk.clocks.options, recover: true });
  await assert.rejects(archiveUpTo(kiosk, 30), { code: 'ERR_STORE_CORRUPT' });
  assert.deepEqual(namesIn(kiosk.archives), []);
  assert.equal(idsOf(kiosk.store)[0], 1);
});

test('aborting gives the reason, leaves no temporary file, and deletes no row that is in no file', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { perDay: 300 });
  const { store, archives } = kiosk;
  const reason = new Error('enough');
  const already = AbortSignal.abort(reason);
  const options = { folder: archives, upTo: { id: 3_000 } };
  await assert.rejects(archiveAudits(store, { ...options, signal: already }), reason);
  await assert.rejects(verifyArchives(store, archives, { signal: already }), reason);
  for (let calls = 1; calls < 3; calls++) {
    const controller = new AbortController();
    let left = calls;
    const onProgress = (): void => void (--left === 0 && controller.abort(reason));
    await assert.rejects(archiveAudits(store, { ...options, signal: controller.signal, onProgress }), reason);
    assert.ok(namesIn(archives).every((name) => !name.startsWith('.')), String(namesIn(archives)));
    const inFiles = listArchives(archives).at(-1)?.to ?? 0;
    assert.ok(idsOf(store)[0]! <= inFiles + 1);
    assert.equal(await kindsOfAll(kiosk), 'ok');
  }
  await archiveAudits(store, { ...options, upTo: { keepDays: 30 } });
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('progress counts each row twice, written and deleted, and never goes back', async (t) => {
  const folder = new TestFolder(t);
  const { store, archives } = kioskIn(folder, { perDay: 300 });
  const seen: number[] = [];
  const totals = new Set<number>();
  const onProgress = ({ done, total }: { done: number; total: number }): void => {
    seen.push(done);
    totals.add(total);
  };
  await archiveAudits(store, { folder: archives, upTo: { id: 3_000 }, onProgress });
  assert.deepEqual([...totals], [6_000]);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  assert.equal(seen.at(-1), 6_000);
  const verified: number[] = [];
  let all = 0;
  await verifyArchives(store, archives, { onProgress: ({ done, total }) => (verified.push(done), all = total) });
  assert.deepEqual([verified.at(-1), all], [3_601, 3_601]);
});

test('limits that archived events have made stay, and are known as of an event that the log has', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 1 });
  const { store, clocks } = kiosk;
  store.grantTime({ subject: 'minecraft', day: '2026-01-02', durationMs: 60_000 });
  store.setAvailability({ subject: 'group:games', day: '2026-01-02', availability: 'denied' });
  store.adjustBalance({ subject: 'minecraft', durationMs: 5_000 });
  const before = { overrides: store.listOverrides(), balances: store.listBalances() };
  runFor(store, clocks, 3, 5);
  const { to } = await archiveUpTo(kiosk, 15);
  const limitsId = (): unknown => folder.raw().prepare('SELECT limits_id FROM store_meta').get()?.['limits_id'];
  assert.ok(Number(limitsId()) > to);
  assert.deepEqual({ overrides: store.listOverrides(), balances: store.listBalances() }, before);
  store.saveSnapshot({ timestamp: new Date(clocks.wall) });
  store.close();
  const again = folder.open(clocks.options);
  assert.equal(again.recovery, undefined);
  assert.deepEqual({ overrides: again.listOverrides(), balances: again.listBalances() }, before);
});

test('verifying while rows are archived finds nothing, and says at most that it is to be repeated', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { perDay: 300 });
  const verifier = folder.open(kiosk.clocks.options);
  let isDone = false;
  const outcomes = new Set<string>();
  const verifying = (async () => {
    while (!isDone) {
      try {
        outcomes.add(await kindsOfLog(verifier));
        outcomes.add(await kindsOfAll({ ...kiosk, store: verifier }));
      } catch (error) {
        outcomes.add((error as StoreError).code);
      }
    }
  })();
  mkdirSync(kiosk.archives);
  try {
    for (const id of [700, 1_900, 1_950, 3_200]) await archiveUpTo(kiosk, id, id < 1_000);
  } finally {
    isDone = true;
    await verifying;
  }
  outcomes.delete('ERR_STORE_BUSY');
  assert.deepEqual([...outcomes], ['ok']);
});
