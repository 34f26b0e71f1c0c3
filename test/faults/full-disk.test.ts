// Full run: SHEPHERD_FULL_DISK=1 node --test test/faults/full-disk.test.ts
//
// A file system that is really full, read-only or limited. SHEPHERD_FULL_DISK: the portion of the amounts of free space
// that is tried, in steps of 4 KiB from none to enough; 0.1 by default. SHEPHERD_FULL_DISK_SEED repeats another run. It
// mounts, in a user namespace where that is refused otherwise, and is left out where that is refused too.
import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { run, unsharing } from '../support/process.ts';
import { needs } from '../support/tools.ts';

const portion = process.env['SHEPHERD_FULL_DISK'] ?? '0.1';
const seed = process.env['SHEPHERD_FULL_DISK_SEED'] ?? '1';

test(
  'with every amount of free space each operation is done, or is ERR_STORE_DISK_FULL and done by the same store '
    + 'once there is room, and has no effect until then',
  needs('mount'),
  async (t) => {
    t.diagnostic(`SHEPHERD_FULL_DISK=${portion} SHEPHERD_FULL_DISK_SEED=${seed}`);
    const folder = new TestFolder(t);
    mkdirSync(folder.file('mount'));
    const worker = new Worker(t, 'full-disk', [folder.file('mount'), folder.file('elsewhere'), portion, seed], {
      command: unsharing(),
      env: plainEnvironment(),
    });
    const { code, errors } = await worker.end();
    assert.equal(code, 0, `${worker.lines.at(-1)}: ${errors}`);
    const counts = JSON.parse(worker.lines.at(-1)!) as Record<string, number>;
    t.diagnostic(
      `${Object.values(counts).reduce((sum, count) => sum + count, 0)} amounts of space: ${JSON.stringify(counts)}`,
    );
    assert.equal(Object.keys(counts).length, 15);
  },
);

/** For the code of a process: what a store says of itself. */
const stateOf = 'const stateOf = (store) => [store.isHealthy(), store.health().findings.some(({ kind }) => kind === '
  + '"stopped"), codeOf(() => store.addUsage("a", "2026-11-21", 1))];';
const stopped = [false, true, 'ERR_STORE_IO'];

/** The store opened again, without the limit, has everything that was acknowledged, and works. */
function checkAgain(folder: TestFolder, acknowledged: number): void {
  const store = folder.open();
  assert.equal(store.recovery, undefined);
  const total = store.getUsage('acknowledged', '2026-11-21');
  assert.ok(total === acknowledged || total === acknowledged + 1, `${acknowledged} acknowledged, ${total} found`);
  store.saveSnapshot({ timestamp: new Date(1) });
  assert.deepEqual(store.health().findings.filter(({ kind }) => kind !== 'clock-behind'), []);
}

test(
  'a file system that becomes read-only under a store stops it, and the store works after reopening',
  needs('mount'),
  (t) => {
    const folder = new TestFolder(t);
    const [refused, before, saved, after, again] = run(
      folder.path,
      `
    import { execFileSync, spawnSync } from 'node:child_process';
    ${stateOf}
    const mount = (...args) => spawnSync('mount', args).status;
    mount('-t', 'tmpfs', 'none', path);
    let store = SqliteStore.open(path + '/store.db');
    store.addUsage('a', '2026-11-21', 1);
    // A remount is refused as long as somebody has a file open for writing. What can be done is to cover the folder.
    report(mount('-o', 'remount,ro', path) !== 0);
    report(stateOf(store));
    mount('--bind', path, path);
    mount('-o', 'remount,bind,ro', path);
    report(codeOf(() => store.saveSnapshot({ timestamp: new Date(0) })));
    report(stateOf(store));
    spawnSync('umount', [path]);
    store.close();
    store = SqliteStore.open(path + '/store.db');
    store.saveSnapshot({ timestamp: new Date(0) });
    report([store.recovery ?? 'no recovery', store.getUsage('a', '2026-11-21'), ...stateOf(store)]);
    store.close();`,
      { unshared: true },
    );
    assert.deepEqual(refused, true);
    assert.deepEqual(before, [true, false, 'no error']);
    assert.equal(saved, 'ERR_STORE_IO');
    assert.deepEqual(after, stopped);
    assert.deepEqual(again, ['no recovery', 2, true, false, 'no error']);
  },
);

test(
  'a damaged database that is recovered on a full disk is told as damaged, and where it is, once there is room',
  needs('mount'),
  (t) => {
    const folder = new TestFolder(t);
    const told = run(
      folder.path,
      `
    import { execFileSync } from 'node:child_process';
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', path]);
    for (let pages = 0; pages < 160; pages += 5) {
      for (const name of fs.readdirSync(path)) fs.rmSync(path + '/' + name);
      let store = SqliteStore.open(path + '/store.db');
      store.addUsage('a', '2026-11-21', 1_000);
      store.saveSnapshot({ timestamp: new Date(0) });
      store.close();
      fs.writeFileSync(path + '/store.db', Buffer.alloc(50_000, 'noise'));
      const { bavail, bsize } = fs.statfsSync(path);
      fs.writeFileSync(path + '/filler', Buffer.alloc((bavail - pages) * bsize));
      let message = '';
      const full = codeOf(() => {
        try { store = SqliteStore.open(path + '/store.db', { recover: true });
        } catch (error) { message = error.message; throw error; }
      });
      if (full !== 'no error') {
        fs.rmSync(path + '/filler');
        store = SqliteStore.open(path + '/store.db', { recover: true });
      }
      const { found, moved } = store.recovery;
      report([full, / needs about \\d+ bytes in .* has \\d+/.test(message), found, moved.length,
      moved.every((file) => fs.existsSync(file)), store.getUsage('a', '2026-11-21')]);
      store.close();
    }`,
      { unshared: true },
    ) as [code: string, isNamed: boolean, ...unknown[]][];
    const refused = told.filter(([code]) => code === 'ERR_STORE_DISK_FULL').length;
    assert.ok(refused > 3 && refused < told.length, `${refused} of ${told.length} refused`);
    for (const [code, isNamed, ...rest] of told) {
      assert.equal(isNamed, code !== 'no error');
      assert.deepEqual(rest, ['damaged', 1, true, 1_000], code);
    }
  },
);

/**
 * Limits in kB; the first keep the database from being made, the last are reached by its -wal, at one byte or another
 * of a frame.
 */
for (const limit of [4, 100, 180, 200, 300, 401, 555]) {
  test(`a limit of ${limit} kB on the size of files stops the store, and it works after reopening`, (t) => {
    const folder = new TestFolder(t);
    const [opened, ...rest] = run(folder.file(), `
      ${stateOf}
      let store;
      report(codeOf(() => (store = SqliteStore.open(path))));
      let acknowledged = 0;
      let code = store ? 'no error' : 'not open';
      for (; code === 'no error' && acknowledged < 2_000; acknowledged++) code = codeOf(() => store.transaction(() => {
        store.addUsage('acknowledged', '2026-11-21', 1);
        store.appendAudit({ type: 'service_started' }, { tags: Array(acknowledged % 9 * 40).fill('tag') });
      }));
      if (store) report([Math.max(0, acknowledged - 1), code, stateOf(store)]);
      store?.close();`, { before: ['bash', '-c', `ulimit -f ${limit}; exec "$@"`, '-'] });
    if (rest.length === 0) assert.equal(opened, 'ERR_STORE_IO');
    else assert.deepEqual((rest[0] as unknown[]).slice(1), ['ERR_STORE_IO', stopped]);
    checkAgain(folder, rest.length === 0 ? 0 : (rest[0] as [number])[0]);
    assert.ok(statSync(folder.file()).size > 0);
  });
}

test('a process that may open no more files gets an error from what needs one, and the same store works once it may '
  + 'again', (t) => {
  const folder = new TestFolder(t);
  const results = run(
    folder.file(),
    `
    ${stateOf}
    const day = '2026-11-21';
    let acknowledged = 0;
    const taken = [];
    const leave = (free) => {
      try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {}
      for (let count = 0; count < free; count++) fs.closeSync(taken.pop());
    };
    const release = () => { for (const fd of taken.splice(0)) fs.closeSync(fd); };
    for (let free = 0; free < 12; free++) {
      leave(free);
      let store;
      const opening = codeOf(() => (store = SqliteStore.open(path)));
      release();
      store ??= SqliteStore.open(path);
      leave(free);
      const codes = [
        () => { store.addUsage('acknowledged', day, 1); acknowledged++; },
        () => store.saveSnapshot({ timestamp: new Date(acknowledged) }),
        () => store.loadSnapshot(),
      ].map(codeOf);
      const healthy = store.isHealthy();
      release();
      const isStopped = store.health().findings.some(({ kind }) => kind === 'stopped');
      report([opening, ...codes, healthy, isStopped, store.isHealthy()]);
      store.close();
    }
    report(acknowledged);`,
    { before: ['bash', '-c', 'ulimit -n 60; exec "$@"', '-'] },
  ) as [opening: string, usage: string, save: string, load: string, ...boolean[]][];
  const acknowledged = results.pop() as unknown as number;
  for (const [opening, usage, save, load, , isStopped, healthyAgain] of results) {
    for (const code of [opening, usage, save, load]) assert.match(code, /^(no error|ERR_STORE_IO)$/);
    assert.deepEqual([isStopped, healthyAgain], [false, true]);
  }
  assert.deepEqual(results[0]!.slice(0, 3), ['ERR_STORE_IO', 'no error', 'ERR_STORE_IO']);
  assert.deepEqual(results.at(-1), ['no error', 'no error', 'no error', 'no error', true, false, true]);
  checkAgain(folder, acknowledged);
});
