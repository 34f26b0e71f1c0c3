// audit --follow: each event once and in order, whatever becomes of the service and of the file.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Changes } from '../../lib/cli/follow.ts';
import { PassedRows, remembered } from '../../lib/cli/passed-rows.ts';
import { schemaVersion } from '../../lib/core/schema.ts';
import { type EventBase, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { connect } from '../../lib/store.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { program, RunningCommand } from '../support/cli-child.ts';
import { shepherd } from '../support/command.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { hostileTexts } from '../support/hostile.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

type Any = EventBase & { [field: string]: unknown };

const daysAgo = (days: number): Date => new Date(Date.now() - days * 86_400_000);

/** Appends events that are numbered on, as a service does that runs for a moment. */
function append(folder: TestFolder, from: number, to: number, at = new Date()): void {
  using store = SqliteStore.open<Any>(folder.file(), { clock: () => at });
  for (let step = from; step <= to; step++) store.appendAudit({ type: 'step', step });
}

function follow(t: TestContext, folder: TestFolder, ...options: readonly string[]): RunningCommand {
  return new RunningCommand(t, ['audit', '--db', folder.file(), '--follow', ...options]);
}

/** The steps that it has shown, in its order; what the store itself has written is left out. */
function steps({ documents }: RunningCommand): unknown[] {
  return documents.flatMap(({ event }) => (event as Any)['step'] ?? []);
}

/** The pages with the rows of a table, in the order of their ids. */
function pagesOf(folder: TestFolder, table: string): number[] {
  const db = folder.raw();
  const sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path";
  const rows = db.prepare(sql).all(table);
  db.close();
  return rows.map(({ pageno }) => pageno as number);
}

const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, at) => first + at);

/** The lines on stderr, which are JSON documents too. */
function told({ err }: RunningCommand): unknown[] {
  return err.split('\n').slice(0, -1).map((line) => JSON.parse(line) as unknown);
}

test('the newest events come oldest first, then each new one, and a signal ends it with 0', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const folder = new TestFolder(t);
    append(folder, 1, 30);
    const machine = follow(t, folder, '--json');
    const person = follow(t, folder, '--limit', '3');
    await machine.until(() => steps(machine).length >= 20);
    await person.until(({ out }) => out.includes('step=30'));
    append(folder, 31, 32);
    await machine.until(() => steps(machine).includes(32));
    await person.until(({ out }) => out.includes('step=32'));
    assert.deepEqual([await machine.stop(signal), await person.stop(signal)], [0, 0]);
    assert.deepEqual(steps(machine), upTo(32, 11));
    assert.deepEqual([...person.out.matchAll(/step=(\d+)/g)].map(([, step]) => Number(step)), upTo(32, 28));
    assert.deepEqual([machine.err, person.err], ['', '']);
  }
});

test('it begins with an empty log too, and with more events than one page', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const running = follow(t, folder);
  await running.until(({ err }) => err === 'No events.\n');
  {
    using store = SqliteStore.open<Any>(folder.file());
    store.transaction(() => {
      for (let step = 1; step <= 1_234; step++) store.appendAudit({ type: 'step', step });
    });
  }
  await running.until(({ out }) => out.includes('step=1234\n'));
  const late = follow(t, folder, '--json', '--limit', '1100');
  await late.until(() => steps(late).includes(1_234));
  assert.deepEqual([await running.stop(), await late.stop()], [0, 0]);
  assert.deepEqual([...running.out.matchAll(/step=(\d+)/g)].map(([, step]) => Number(step)), upTo(1_234));
  assert.deepEqual([steps(late), late.err], [upTo(1_234, 135), '']);
});

test('every filter is one of what comes later as well, and what can match nothing more is refused', async (t) => {
  const folder = new TestFolder(t);
  const appendEach = (from: number): void => {
    using store = SqliteStore.open<Any>(folder.file());
    store.appendAudit({ type: 'wanted', step: from });
    store.appendAudit({ type: 'x', step: from + 1, entryId: 'minecraft' });
    store.appendAudit({ type: 'x', step: from + 2, sessionId: 'abc' });
    store.appendAudit({ type: 'x', step: from + 3 }, { source: 'admin', target: 'minecraft' });
    store.appendAudit({ type: 'x', step: from + 4 });
  };
  append(folder, 1, 3, daysAgo(2));
  appendEach(4);
  const matching: [filter: string[], steps: number[]][] = [
    [['--type', 'wanted'], [4, 9]], [['--entry', 'minecraft'], [5, 7, 10, 12]], [['--session', 'ab'], [6, 11]],
    [['--source', 'admin'], [7, 12]], [['--target', 'minecraft'], [7, 12]], [['--since', '1d'], upTo(13, 4)],
    [['--day', 'today', '--type', 'x', '--source', 'admin'], [7, 12]],
  ];
  const all = matching.map(([filter, expected]) => ({ running: follow(t, folder, '--json', ...filter), expected }));
  for (const { running, expected } of all) await running.until(() => steps(running).length >= expected.length / 2);
  appendEach(9);
  for (const { running, expected } of all) {
    await running.until(() => steps(running).length >= expected.length);
    assert.equal(await running.stop(), 0);
    assert.deepEqual([steps(running), running.err], [expected, '']);
  }
  for (const wrong of [
    ['--before-id', '5'], ['--until', '2h'], ['--day', 'yesterday'], ['--since', '3d', '--until', 'today'],
    ['--limit', '0'],
  ]) {
    const { code, out, err } = await shepherd(['audit', folder.file(), '--follow', ...wrong]);
    assert.deepEqual([code, out], [2, ''], wrong.join(' '));
    assert.match(err, /--follow|--limit/);
  }
});

test('it ends where --until has come, and says what was meant where nothing matches', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 1);
  const at = new Date(Date.now() + 2_000).toISOString();
  const running = follow(t, folder, '--type', 'stpe', '--until', at);
  assert.equal(await running.ended, 0);
  assert.equal(running.out, '');
  assert.equal(running.err.split('\n').at(-2), 'Nothing has "stpe"; did you mean step?');
});

test('it ends quietly with its pipe', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 30);
  const env = { ...plainEnvironment(), NODE: process.execPath, MAIN: program, DB: folder.file() };
  for (const argv of ['--json', '']) {
    // The pipe breaks with the first line that nobody reads: the one that is written later.
    const writing = `sleep 2; "$NODE" "$MAIN" grant minecraft 30m --db "$DB" > "$DB.out"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', `
      (${writing}) & "$NODE" "$MAIN" audit --follow ${argv} --db "$DB" | head -2 | tail -1; echo "\${PIPESTATUS[0]}"
      wait`], { encoding: 'utf8', env, timeout: 60_000 });
    assert.match(stdout, /\n0\n$/);
    assert.equal(stderr, '');
  }
});

test('beside a service that is killed and started again, each event comes once and in order', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 1);
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(1));
  for (let round = 0; round < 3; round++) {
    const service = new Worker(t, 'cli', ['write', folder.file()]);
    await service.told(60);
    service.kill();
    await service.end();
  }
  const all = (): number[] => {
    using store = SqliteStore.openReadOnly(folder.file());
    return [...store.iterateAudits()].map(({ id }) => id);
  };
  folder.open().close();
  const ids = all();
  await running.until(({ documents }) => documents.length >= ids.length);
  assert.equal(await running.stop(), 0);
  assert.deepEqual([running.documents.map(({ id }) => id), running.err], [ids, '']);
});

test('a restored backup takes it back to the last row of both, and no event comes twice', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 10);
  {
    using store = SqliteStore.open(folder.file());
    await backup(store, folder.file('backup.db'));
  }
  append(folder, 11, 20);
  const running = follow(t, folder, '--json', '--limit', '5');
  await running.until(() => steps(running).length === 5);
  await restore(folder.file('backup.db'), folder.file());
  append(folder, 101, 115);
  await running.until(() => steps(running).includes(115));
  append(folder, 116, 117);
  await running.until(() => steps(running).includes(117));
  assert.equal(await running.stop(), 0);
  using store = SqliteStore.openReadOnly<Any>(folder.file());
  const branch = [...store.iterateAudits({ fromId: 11 })].map(({ id, event }) => [id, (event as Any)['step']]);
  const shown = running.documents.map(({ id, event }) => [id, (event as Any)['step']]);
  assert.deepEqual(shown, [...upTo(20, 16).map((step) => [step, step]), ...branch]);
  const [notice, ...others] = told(running);
  assert.partialDeepStrictEqual(notice, { exchanged: { last: { id: 20 }, behind: { id: 10 } } });
  assert.deepEqual(others, []);
});

test('rows that a restore takes away and a ledger brings back are not shown again', async (t) => {
  const folder = new TestFolder(t);
  const ledger = { ledger: Ledger.open(folder.file('audit.jsonl')) };
  const appendBoth = (from: number, to: number): void => {
    using store = SqliteStore.open<Any>(folder.file(), ledger);
    for (let step = from; step <= to; step++) store.appendAudit({ type: 'step', step });
  };
  appendBoth(1, 10);
  {
    using store = SqliteStore.open(folder.file(), ledger);
    await backup(store, folder.file('older.db'));
  }
  appendBoth(11, 20);
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(20));
  for (const suffix of ['-wal', '-shm']) rmSync(folder.file() + suffix, { force: true });
  copyFileSync(folder.file('older.db'), folder.file('copy.db'));
  renameSync(folder.file('copy.db'), folder.file());
  await running.until(({ err }) => err !== '');
  appendBoth(21, 22);
  await running.until(() => steps(running).includes(22));
  assert.equal(await running.stop(), 0);
  assert.deepEqual(steps(running), upTo(22));
  assert.equal(told(running).length, 1);
});

test('another store in its place is begun anew, and the first one is gone on with when it is back', async (t) => {
  const [folder, other] = [new TestFolder(t), new TestFolder(t)];
  append(folder, 1, 10);
  append(other, 1_001, 1_030);
  const running = follow(t, folder, '--json', '--limit', '20');
  await running.until(() => steps(running).includes(10));
  renameSync(folder.file(), folder.file('first.db'));
  copyFileSync(other.file(), folder.file());
  await running.until(() => steps(running).includes(1_030));
  renameSync(folder.file('first.db'), folder.file());
  append(folder, 11, 11);
  await running.until(() => steps(running).includes(11));
  assert.equal(await running.stop(), 0);
  assert.deepEqual(steps(running), [...upTo(10), ...upTo(1_030, 1_011), 11]);
  const [first, second] = told(running);
  assert.partialDeepStrictEqual(first, { exchanged: { last: { id: 10 }, behind: null } });
  assert.partialDeepStrictEqual(second, { exchanged: { last: { id: 30 }, behind: null } });
});

test('another store that cannot be read at first is begun anew as well when it can be', async (t) => {
  const [folder, other] = [new TestFolder(t, { checked: false }), new TestFolder(t)];
  append(folder, 1, 10);
  append(other, 1_001, 1_200);
  const running = follow(t, folder, '--json', '--limit', '20');
  await running.until(() => steps(running).includes(10));
  const whole = readFileSync(other.file());
  const damaged = Buffer.from(whole);
  const [page] = pagesOf(other, 'audit_log').slice(3);
  damaged.fill(0, (page! - 1) * 4_096, page! * 4_096);
  writeFileSync(folder.file('damaged.db'), damaged);
  renameSync(folder.file('damaged.db'), folder.file());
  await running.until(({ err }) => err.includes('ERR_STORE_CORRUPT'));
  writeFileSync(folder.file('whole.db'), whole);
  renameSync(folder.file('whole.db'), folder.file());
  await running.until(() => steps(running).includes(1_200));
  assert.equal(await running.stop(), 0);
  assert.deepEqual(steps(running), [...upTo(10), ...upTo(1_200, 1_181)]);
  const exchanged = told(running).filter((document) => 'exchanged' in (document as object));
  assert.partialDeepStrictEqual(exchanged, [{ exchanged: { last: { id: 10 }, behind: null } }]);
});

test('it goes on through vacuum, archiving and steps of the schema, and says nothing of them', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 10, daysAgo(9));
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(10));
  assert.equal((await shepherd(['vacuum', folder.file()])).code, 0);
  append(folder, 11, 11, daysAgo(9));
  await running.until(() => steps(running).includes(11));
  SqliteStore.migrate(folder.file(), schemaVersion - 3, { force: true });
  await sleep(1_500); // it is too old to be read now
  append(folder, 12, 12, daysAgo(9));
  await running.until(() => steps(running).includes(12));
  {
    using store = SqliteStore.open(folder.file());
    await archiveAudits(store, { folder: folder.file('archives'), upTo: { id: 12 } });
  }
  append(folder, 13, 13);
  await running.until(() => steps(running).includes(13));
  assert.equal(await running.stop(), 0);
  assert.deepEqual([steps(running), running.err], [upTo(13), '']);
});

test('where rows go into an archive while it is held up, it says which it could not show', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 10, daysAgo(9));
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(10));
  running.kill('SIGSTOP');
  append(folder, 11, 20, daysAgo(9));
  {
    using store = SqliteStore.open(folder.file());
    await archiveAudits(store, { folder: folder.file('archives'), upTo: { id: 15 } });
  }
  running.kill('SIGCONT');
  await running.until(() => steps(running).includes(20));
  assert.equal(await running.stop(), 0);
  assert.deepEqual(steps(running), [...upTo(10), ...upTo(20, 16)]);
  assert.deepEqual(told(running), [{ missed: { from: 11, to: 15 } }]);
});

test('where the store is away for some seconds it says so once, and again when it is back', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 3);
  const machine = follow(t, folder, '--json');
  const person = follow(t, folder);
  await machine.until(() => steps(machine).includes(3));
  await person.until(({ out }) => out.includes('step=3'));
  renameSync(folder.file(), folder.file('away.db'));
  for (const running of [machine, person]) await running.until(({ err }) => err !== '');
  await sleep(1_500);
  renameSync(folder.file('away.db'), folder.file());
  append(folder, 4, 4);
  await machine.until(() => steps(machine).includes(4));
  await person.until(({ out }) => out.includes('step=4'));
  assert.deepEqual([await machine.stop(), await person.stop()], [0, 0]);
  const [away, back, ...others] = told(machine) as Record<string, Record<string, unknown>>[];
  assert.ok(['ERR_STORE_NOT_FOUND', 'ERR_STORE_CORRUPT'].includes(String(away!['error']!['code'])));
  assert.deepEqual([Object.keys(back!), others], [['readable'], []]);
  assert.match(person.err, /^shepherd-store: .*store\.db.*\nit is tried again every second\nback: .*, after \d s\n$/);
});

test('a store that only a newer version can read ends it with 1', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  append(folder, 1, 3);
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(3));
  const db = folder.raw();
  db.exec('UPDATE store_meta SET writable_from = 99, readable_from = 99; PRAGMA user_version = 99');
  db.close();
  assert.equal(await running.ended, 1);
  assert.partialDeepStrictEqual(told(running), [{ error: { code: 'ERR_STORE_SCHEMA_TOO_NEW' } }]);
});

test('an event that cannot be read is shown as an error, once, and stops nothing', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  append(folder, 1, 3);
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(3));
  append(folder, 4, 6);
  await running.until(() => steps(running).includes(6));
  running.kill('SIGSTOP');
  append(folder, 7, 8);
  const db = folder.raw();
  db.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '[' WHERE id = 7");
  db.close();
  running.kill('SIGCONT');
  await running.until(({ documents }) => documents.length >= 8);
  await sleep(2_500);
  assert.equal(await running.stop(), 0);
  assert.deepEqual(running.documents.map(({ id }) => id), upTo(8));
  assert.partialDeepStrictEqual(running.documents[6], { error: { code: 'ERR_STORE_CORRUPT' } });
  assert.equal(running.err, '');
});

test('a last event on a page that cannot be read is shown as an error once, and whole when it can be', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 3);
  const running = follow(t, folder, '--json');
  await running.until(() => steps(running).includes(3));
  running.kill('SIGSTOP');
  {
    using store = SqliteStore.open<Any>(folder.file());
    store.appendAudit({ type: 'step', step: 4, text: 'y'.repeat(30_000) });
  }
  const whole = readFileSync(folder.file());
  const page = 4_096 * Math.floor(whole.indexOf('y'.repeat(4_000)) / 4_096);
  const damaged = Buffer.from(whole);
  damaged.fill(0xff, page, page + 4); // which page the text goes on with
  writeFileSync(folder.file(), damaged);
  running.kill('SIGCONT');
  await running.until(({ documents }) => documents.length > 3);
  await sleep(3_000);
  assert.partialDeepStrictEqual(running.documents.slice(3), [{ id: 4, error: { code: 'ERR_STORE_CORRUPT' } }]);
  assert.equal(running.documents.length, 4);
  writeFileSync(folder.file(), whole);
  await running.until(({ documents }) => documents.length > 4);
  assert.equal(await running.stop(), 0);
  assert.deepEqual([running.documents[4]!['id'], running.documents.length, running.err], [4, 5, '']);
});

test('no text that somebody gave has power over the terminal', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const running = follow(t, folder);
  await running.until(({ err }) => err !== '');
  {
    using store = SqliteStore.open<Any>(folder.file());
    for (const text of hostileTexts) {
      store.appendAudit({ type: 'step', entryId: text, text }, { source: text.replaceAll('\0', '') });
    }
    store.appendAudit({ type: 'last' });
  }
  await running.until(({ out }) => / last\n/.test(out));
  assert.equal(await running.stop(), 0);
  assert.doesNotMatch(running.out.replaceAll('\n', ''), /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u);
});

test('the last close of the service empties its -wal and takes it away, as without a follower', async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 3);
  const running = follow(t, folder, '--json');
  {
    using store = SqliteStore.open<Any>(folder.file());
    store.appendAudit({ type: 'step', step: 4 });
    await running.until(() => steps(running).includes(4));
    await sleep(100); // it looks for some milliseconds each second, and has just done so
  }
  assert.deepEqual(namesIn(folder.path).filter((name) => /-(wal|shm)$/.test(name)), []);
  assert.equal(await running.stop(), 0);
});

test('a second without events costs a few stats, and neither a sync nor a write', needs('strace'), async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 3);
  const output = folder.file('trace');
  const calls = ['%file', 'read', 'pread64', 'write', 'pwrite64', 'fsync', 'fdatasync', 'fcntl', 'ftruncate'];
  const until = new Date(Date.now() + 9_000).toISOString();
  const argv = ['audit', '--db', folder.file(), '--follow', '--json', '--until', until];
  const running = new RunningCommand(t, argv, { before: tracing(output, calls) });
  assert.equal(await running.ended, 0);
  assert.deepEqual(steps(running), upTo(3));
  const traced = readTrace(output);
  const ours = traced.filter(({ path }) => path.startsWith(folder.path));
  assert.ok(!traced.some(({ name }) => ['fsync', 'fdatasync', 'pwrite64', 'ftruncate'].includes(name)));
  const idle = ours.slice(-20).map(({ name }) => name);
  assert.deepEqual(idle.filter((name) => !/stat|readlink/.test(name)), []);
});

test("a write within one step of a file system's clock is found, though neither size nor time changes", async (t) => {
  const folder = new TestFolder(t);
  append(folder, 1, 3);
  const changes = new Changes(folder.file());
  for (let count = 0; count < 3; count++) assert.equal(changes.mayHaveCome(), true);
  await sleep(2_100);
  assert.equal(changes.mayHaveCome(), true); // what came within two seconds of the first look is found by this one
  assert.equal(changes.mayHaveCome(), false);
  const { atime, mtime, size } = statSync(folder.file());
  utimesSync(folder.file(), atime, new Date(mtime.getTime() + 2_000));
  assert.equal(statSync(folder.file()).size, size);
  assert.equal(changes.mayHaveCome(), true);
  changes.forget();
  assert.equal(changes.mayHaveCome(), true);
  rmSync(folder.file());
  for (let count = 0; count < 3; count++) assert.equal(changes.mayHaveCome(), true);
});

test('of a long log the last rows are remembered, and that there were others', (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  append(folder, 1, 3);
  using store = SqliteStore.openReadOnly(folder.file());
  const { log } = connect(store).parts;
  const hashes = upTo(3).map((id) => ({ id, hash: log.hashAt(id)! }));
  const passed = new PassedRows();
  passed.begin(hashes);
  assert.deepEqual([passed.isIn(log), passed.sharedWith(log), passed.hasForgotten], [true, 3, false]);
  const others = upTo(2 * remembered, 4).map((id) => ({ id, hash: `of another log ${id}` }));
  passed.add(others.slice(0, 5));
  assert.deepEqual([passed.isIn(log), passed.sharedWith(log)], [false, 3]);
  passed.goBackTo(3);
  assert.deepEqual([passed.last, passed.hasLost(others[0]!), passed.hasLost(others[5]!)], [hashes[2], true, false]);
  passed.add(others);
  assert.deepEqual([passed.sharedWith(log), passed.hasForgotten], [0, true]);
});
