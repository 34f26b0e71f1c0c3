// Reads a store beside its writer, in a process or a thread of its own: test/processes.test.ts.
import assert from 'node:assert/strict';
import { isMainThread, workerData } from 'node:worker_threads';
import { SqliteStore } from '../../lib/index.ts';

/**
 * What every reader must find, whenever it looks. The writer adds 1 ms of usage with each event, in one transaction.
 */
async function read(path: string, until: number): Promise<void> {
  using store = SqliteStore.openReadOnly(path);
  for (let looks = 0, last = 0; last < until; looks++) {
    const before = store.getUsage('shared', '2026-11-21');
    const newest = store.getRecentAudits(20);
    const after = store.getUsage('shared', '2026-11-21');
    const head = newest[0]?.id ?? 0;
    assert.deepEqual(
      newest.map(({ id }) => id),
      Array.from({ length: Math.min(head, 20) }, (_, index) => head - index),
    );
    assert.ok(last <= before && before <= head && head <= after, `${last} ${before} ${head} ${after}`);
    for (const { id, event } of newest) assert.deepEqual(event, { type: 'policy_loaded', entryCount: id });
    last = head;
    if (looks % 50 === 0) {
      assert.deepEqual((await store.verifyAudit()).findings, []);
      assert.ok(store.isHealthy());
    }
  }
}

const [path, until] = isMainThread ? process.argv.slice(2) : (workerData as string[]);
if (path !== undefined) await read(path, Number(until));
