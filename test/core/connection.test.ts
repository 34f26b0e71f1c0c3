import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { test } from 'node:test';
import { TestFolder } from '../support/folder.ts';

for (const suffix of ['', '-wal', '-shm']) {
  for (const [how, harm] of [
    ['deleted', (path: string) => rmSync(path)],
    ['renamed', (path: string) => renameSync(path, `${path}.old`)],
  ] as const) {
    test(`a store whose database${suffix} is ${how} under it stops writing, says why, and goes on reading`, (t) => {
      const folder = new TestFolder(t, { checked: false });
      const store = folder.open();
      store.addUsage('a', '2026-11-21', 1);
      assert.ok(store.isHealthy());
      harm(folder.file() + suffix);
      assert.throws(() => store.addUsage('a', '2026-11-21', 1), { code: 'ERR_STORE_IO' });
      assert.throws(() => store.clearCooldown('a'), { code: 'ERR_STORE_IO' });
      assert.equal(store.getUsage('a', '2026-11-21'), 1);
      assert.equal(store.isHealthy(), false);
      assert.deepEqual(
        store
          .health()
          .findings.map(({ kind }) => kind)
          .sort(),
        ['replaced', 'stopped'],
      );
    });
  }
}

test('a ROLLBACK that fails behind a COMMIT that failed hides neither its error nor the next one', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const code = { code: 'ERR_SQLITE_ERROR', errcode: 13 };
  const full = (): Error => Object.assign(new Error('database or disk is full'), code);
  const { run } = StatementSync.prototype;
  const { exec } = DatabaseSync.prototype;
  let isFailing = true;
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: Parameters<typeof run>) {
    if (isFailing && this.sourceSQL === 'COMMIT') throw full();
    return run.apply(this, values);
  });
  let rollbacks = 0;
  t.mock.method(DatabaseSync.prototype, 'exec', function (this: DatabaseSync, sql: string) {
    // The first ROLLBACK is that of the transaction, the second that of what is to overwrite it in the WAL.
    if (isFailing && (sql.startsWith('UPDATE') || (sql === 'ROLLBACK' && ++rollbacks === 2))) throw full();
    exec.call(this, sql);
  });
  assert.throws(() => store.addUsage('a', '2026-11-21', 1), { code: 'ERR_STORE_DISK_FULL' });
  assert.equal(rollbacks, 2);
  isFailing = false;
  assert.throws(() => store.addUsage('a', '2026-11-21', 1), { code: 'ERR_STORE_DATABASE' });
  store.addUsage('a', '2026-11-21', 1);
  assert.equal(store.getUsage('a', '2026-11-21'), 1);
});
