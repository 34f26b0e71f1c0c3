import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';
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
