// Two versions of the package, packed and installed, take turns on one file and are killed: this one, as the image that
// boots again after an update has it, and the one after it, with one more step of the schema.
//
// SHEPHERD_TURNS: how many turns; 100 by default, and a quarter of them with a ledger. SHEPHERD_TURNS_SEED: repeats the
// operations of another run and the moments, as far as the system keeps time.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { schemaVersion } from '../../lib/core/schema.ts';
import { addSteps, ahead } from '../fixtures/newer/make.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { acknowledgedBy, killSometime } from '../support/killed.ts';
import { checkCopies } from '../support/ledger-model.ts';
import { installed } from '../support/package.ts';
import { checkRemains, Model } from '../support/plan-model.ts';
import { seededRandom } from '../support/random.ts';

const { consumer: older } = installed();
const { consumer: newer } = installed((copy) => addSteps('additive', pathToFileURL(`${copy}/`)));

function versionOf(path: string): unknown {
  using db = new DatabaseSync(path, { readOnly: true });
  return db.prepare('PRAGMA user_version').get()?.['user_version'];
}

/** How many operations the older version does before the first turn. */
const operationsBefore = 20;

/** Looks at what a version that was killed has left; gives how many operations are done. */
type Look = (acknowledged: number) => Promise<number>;

/**
 * The older version makes the store, which the newer one then migrates; each is killed in its turn. Gives what was
 * done.
 */
async function takeTurns(t: TestContext, path: string, ledgerPath: string, plan: Plan, look: Look): Promise<number> {
  const { turns, seed } = plan;
  const random = seededRandom(seed);
  const worker = (consumer: string, from: number, ...count: number[]): Worker => {
    const args = [consumer, path, ledgerPath, ...[seed, from, ...count].map(String)];
    return new Worker(t, 'turns', args, { env: plainEnvironment() });
  };
  let done = operationsBefore;
  await worker(older, 0, done).result();
  assert.equal(versionOf(path), schemaVersion);
  for (let turn = 0; turn < turns; turn++) {
    const each = worker(turn % 2 === 0 ? newer : older, done);
    // At the first turn it has migrated before it tells anything; later some are killed while they open the file.
    await killSometime(each, turn === 0 ? 0 : Math.floor(random() * 6), random);
    done = await look(acknowledgedBy(each, done));
    assert.equal(versionOf(path), schemaVersion + ahead.additive, 'the older version has changed the schema');
  }
  assert.ok(done > 10 * turns, `only ${done} operations were acknowledged`);
  return done;
}

interface Plan {
  turns: number;
  seed: number;
}

function planOf(t: TestContext): Plan {
  const turns = Number(process.env['SHEPHERD_TURNS'] ?? 100);
  const seed = Number(process.env['SHEPHERD_TURNS_SEED'] ?? Date.now() % 1e6);
  t.diagnostic(`SHEPHERD_TURNS_SEED=${seed} SHEPHERD_TURNS=${turns}`);
  return { turns, seed };
}

test('two versions that take turns on one file and are killed lose nothing that either acknowledged', async (t) => {
  const plan = planOf(t);
  const path = new TestFolder(t).file();
  const model = new Model(plan.seed);
  model.acknowledge(operationsBefore);
  const done = await takeTurns(t, path, '', plan, async (acknowledged) => {
    await checkRemains(path, model, acknowledged);
    return model.done;
  });
  t.diagnostic(`${done} operations, ${model.lastId} events, ${model.snapshots.length} snapshots, 0 lost`);
});

test('they lose nothing with a ledger either, and both files agree', async (t) => {
  const { seed, turns } = planOf(t);
  const plan = { seed, turns: Math.ceil(turns / 4) }; // each turn is checked by all that was done, and is slow
  const folder = new TestFolder(t);
  const [path, ledgerPath] = [folder.file(), folder.file('audit.jsonl')];
  const without = new Set<number>();
  const look: Look = (acknowledged) => checkCopies(path, ledgerPath, plan.seed, acknowledged, without);
  const done = await takeTurns(t, path, ledgerPath, plan, look);
  t.diagnostic(`${done} operations, ${without.size} carried forward without their snapshot, 0 lost`);
});
