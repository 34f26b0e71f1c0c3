// Full run: SHEPHERD_STEPS=10000 node --test test/faults/random-programs.test.ts
//
// Random programs of all public operations against a model in memory (test/support/random-program.ts).
//
// SHEPHERD_STEPS: how many steps, 1,000 by default. SHEPHERD_STEPS_SEED: repeats another run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { TestFolder } from '../support/folder.ts';
import { seededRandom } from '../support/random.ts';
import { contentOf, type Event, type Store } from '../support/random-model.ts';
import { Program } from '../support/random-program.ts';

const steps = Number(process.env['SHEPHERD_STEPS'] ?? 1_000);
const seed = Number(process.env['SHEPHERD_STEPS_SEED'] ?? 1);

/** Rebuilt from its ledger, the store has the same. */
async function checkRebuilt(folder: TestFolder): Promise<void> {
  await rebuildDatabase(Ledger.open(folder.file('audit.jsonl')), folder.file('rebuilt.db'));
  assert.deepEqual(contentOf(folder.file('rebuilt.db')), contentOf(folder.file()));
  using store = SqliteStore.openReadOnly(folder.file('rebuilt.db'));
  assert.ok((await verifyParity(store, Ledger.open(folder.file('audit.jsonl')))).isConsistent);
}

for (const withLedger of [false, true]) {
  test(`a random program finds in the store${withLedger ? ' with a ledger' : ''} what a model in memory `
    + `has`, async (t) => {
    t.diagnostic(`SHEPHERD_STEPS_SEED=${seed} SHEPHERD_STEPS=${steps}`);
    const folder = new TestFolder(t, { inMemory: true });
    const clock = (): Date => new Date(program?.time ?? 0);
    const open = (): Store =>
      folder.closing(
        SqliteStore.open<Event>(folder.file(), {
          clock,
          busyTimeoutMs: 0,
          ...(withLedger ? { ledger: Ledger.open(folder.file('audit.jsonl')) } : undefined),
        }),
      );
    let program: Program | undefined = undefined as Program | undefined;
    program = new Program(seededRandom(seed), withLedger, open);
    await program.run(steps / 2, (version) => SqliteStore.migrate(folder.file(), version, { force: true }));
    program.close();
    if (withLedger) await checkRebuilt(folder);
    t.diagnostic(
      `${steps / 2} steps, ${program.model.events.length} events, ${program.refused} refusals, ${program.undone} `
        + `transactions undone`,
    );
  });
}
