// Four processes that open, recover, migrate, back up, restore, detach, rebuild and read one store, and are killed at
// random: test/faults/four-processes.ts. `npm run faults` does it for five minutes.
//
// SHEPHERD_PROCESSES_SECONDS: for how long; 20 by default. SHEPHERD_PROCESSES_SEED: what they do; the system says when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFour } from './four-processes.ts';

test('four processes that do everything on one store and are killed at random lose nothing acknowledged', async (t) => {
  const seconds = Number(process.env['SHEPHERD_PROCESSES_SECONDS'] ?? 20);
  const seed = Number(process.env['SHEPHERD_PROCESSES_SEED'] ?? Date.now() % 1e6);
  t.diagnostic(`SHEPHERD_PROCESSES_SEED=${seed} SHEPHERD_PROCESSES_SECONDS=${seconds}`);
  const { kills, acknowledged, counts, problems } = await runFour(seed, seconds);
  t.diagnostic(`${kills} killed, ${acknowledged} events acknowledged; ${JSON.stringify(counts)}`);
  assert.deepEqual(problems, []);
  assert.ok(kills > 0 && acknowledged > 0);
});
