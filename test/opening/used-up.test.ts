// What happens where every descriptor is in use for a moment: an operation fails, or works, and the next one works.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { TestFolder } from '../support/folder.ts';
import { run } from '../support/process.ts';

/** Runs code in a process that may have 200 files open; `short(count, fn)` runs `fn` with that many left. */
function runShort(t: TestContext, code: string, withLedger: boolean): { folder: TestFolder; said: unknown[] } {
  const folder = new TestFolder(t, { inMemory: true });
  const said = run(folder.file(), `
    const { Ledger } = await import(${JSON.stringify(new URL('../../lib/ledger/index.ts', import.meta.url).href)});
    const { backup, restore } = await import(${JSON.stringify(new URL('../../lib/modules/backup/backup.ts',
      import.meta.url).href)});
    const options = () => (${withLedger} ? { ledger: Ledger.open(path.replace('store.db', 'audit.jsonl')) } : {});
    const short = (count, fn) => {
      const used = [];
      try {
        for (;;) used.push(fs.openSync('/dev/null'));
      } catch (error) {
        if (error.code !== 'EMFILE') throw error;
      }
      for (const fd of used.splice(0, count)) fs.closeSync(fd);
      try {
        return fn();
      } finally {
        for (const fd of used) fs.closeSync(fd);
      }
    };
    ${code}`, { before: ['sh', '-c', 'ulimit -n 200 && exec "$0" "$@"'] });
  return { folder, said };
}

for (const withLedger of [false, true]) {
  const how = withLedger ? 'with a ledger' : 'without a ledger';

  test(`no operation stops a store for want of descriptors, and each works again with them, ${how}`, (t) => {
    const { folder, said } = runShort(t, `
      const store = SqliteStore.open(path, options());
      const state = { timestamp: new Date() };
      const writes = {
        appendAudit: () => store.appendAudit({ type: 'service_started' }), addUsage: () => store.addUsage('a',
        '2026-11-21', 1),
        setCooldownUntil: () => store.setCooldownUntil('a', new Date(5)), saveSnapshot: () => store.saveSnapshot(state),
        transaction: () => store.transaction(() => [store.addUsage('a', '2026-11-21', 1), store.saveSnapshot(state)]),
        loadSnapshot: () => store.loadSnapshot(), health: () => store.health(), isHealthy: () => store.isHealthy(),
      };
      const failed = [];
      for (let left = 0; left < 6; left++) {
        for (const [name, write] of Object.entries(writes)) {
          const code = short(left, () => codeOf(write));
          if (code !== 'no error') failed.push([name, left, code]);
          const then = codeOf(write);
          if (then !== 'no error' || !store.isHealthy() || !store.health().ok) report([name, left, code, then,
          store.health().findings]);
        }
      }
      report(failed.every(([, , code]) => code === 'ERR_STORE_IO'));
      report(failed.some(([name]) => name === 'saveSnapshot'));
      report([store.getUsage('a', '2026-11-21'), store.getRecentAudits(99, { type: 'service_started' }).length >= 6]);
      store.close();`, withLedger);
    assert.deepEqual(said.slice(0, 2), [true, true]);
    assert.deepEqual(readdirSync(folder.path).filter((name) => name.endsWith('.tmp')), []);
  });

  test(`an open that finds no descriptors fails, whatever it is doing then, and the next one works, ${how}`, (t) => {
    const { said } = runShort(t, `
      SqliteStore.open(path, options()).close();
      let works = 0;
      for (let left = 0; left < 24; left++) {
        for (const open of [() => SqliteStore.open(path, options()), () => SqliteStore.open(path, { ...options(),
        recover: true }), () => SqliteStore.openReadOnly(path)]) {
          let code = 'no error';
          short(left, () => {
            try {
              open().close();
              works++;
            } catch (error) {
              code = error.code;
            }
          });
          const store = SqliteStore.open(path, options());
          store.appendAudit({ type: 'service_started' });
          if (!['no error', 'ERR_STORE_IO'].includes(code) || store.recovery || !store.isHealthy()) report([left,
          code, store.recovery, store.health().findings]);
          store.close();
        }
      }
      report(works > 20);`, withLedger);
    assert.deepEqual(said, [true]);
  });
}

// What the system says of the snapshot's temporary file, by which call, and whether the store goes on.
const answers: [
  code: string,
  call: 'openSync' | 'fsyncSync' | 'writeFileSync',
  syscall: string,
  expected: string,
  goesOn: boolean,
][] = [
  ['EMFILE', 'openSync', 'open', 'ERR_STORE_IO', true],
  ['ENFILE', 'openSync', 'open', 'ERR_STORE_IO', true],
  ['ENOMEM', 'openSync', 'open', 'ERR_STORE_IO', true],
  ['ENAMETOOLONG', 'openSync', 'open', 'ERR_STORE_INVALID_ARGUMENT', true],
  ['EIO', 'openSync', 'open', 'ERR_STORE_IO', false],
  ['EIO', 'writeFileSync', 'fsync', 'ERR_STORE_IO', false],
  ['ENOMEM', 'writeFileSync', 'fsync', 'ERR_STORE_IO', false],
  ['ENOMEM', 'writeFileSync', 'write', 'ERR_STORE_IO', false],
];

for (const [code, call, syscall, expected, goesOn] of answers) {
  test(`a snapshot of which ${syscall} says ${code} ${goesOn ? 'fails, and the next one works' : 'stops the '
    + 'store'}`, (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const said = run(folder.file(), `
      const { syncBuiltinESMExports } = await import('node:module');
      const store = SqliteStore.open(path);
      const { ${call}: real } = fs;
      let isFailing = true;
      fs.${call} = (...args) => {
        const isOfFile = typeof args[0] === 'number' || String(args[0]).endsWith('.tmp');
        const error = Object.assign(new Error('${code}'), { code: '${code}', syscall: '${syscall}' });
        if (isFailing && isOfFile) throw error;
        return real(...args);
      };
      syncBuiltinESMExports();
      report(codeOf(() => store.transaction(() => [store.addUsage('a', '2026-11-21', 1),
      store.saveSnapshot({ timestamp: new Date() })])));
      isFailing = false;
      report(codeOf(() => store.saveSnapshot({ timestamp: new Date() })));
      report([store.isHealthy(), store.getUsage('a', '2026-11-21')]);
      store.close();`);
    assert.deepEqual(said, [expected, goesOn ? 'no error' : 'ERR_STORE_IO', [goesOn, 0]]);
    assert.deepEqual(readdirSync(folder.path).filter((name) => name.endsWith('.tmp')), []);
  });
}
