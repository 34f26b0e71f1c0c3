// Two versions of the package, packed and installed, take turns on one file and are killed: this one, and it without
// the last step of the schema, as the image that boots again after an update has it.
//
// SHEPHERD_TURNS: how many turns; 100 by default. SHEPHERD_TURNS_SEED: repeats the operations of another run and the
// moments, as far as the system keeps time.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { schemaVersion } from '../../lib/core/schema.ts';
import { takeLastStep } from '../fixtures/newer/make.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { acknowledgedBy, killSometime } from '../support/killed.ts';
import { installed } from '../support/package.ts';
import { checkRemains, Model } from '../support/plan-model.ts';
import { seededRandom } from '../support/random.ts';

const { consumer: current } = installed();
const { consumer: older } = installed((copy) => takeLastStep(pathToFileURL(`${copy}/`)));

function versionOf(path: string): unknown {
  using db = new DatabaseSync(path, { readOnly: true });
  return db.prepare('PRAGMA user_version').get()?.['user_version'];
}

test('two versions that take turns on one file and are killed lose nothing that either acknowledged', async (t) => {
  const turns = Number(process.env['SHEPHERD_TURNS'] ?? 100);
  const seed = Number(process.env['SHEPHERD_TURNS_SEED'] ?? Date.now() % 1e6);
  t.diagnostic(`SHEPHERD_TURNS_SEED=${seed} SHEPHERD_TURNS=${turns}`);
  const random = seededRandom(seed);
  const path = new TestFolder(t).file();
  const model = new Model(seed);
  const worker = (consumer: string, ...count: number[]): Worker => {
    const args = [consumer, path, ...[seed, model.done, ...count].map(String)];
    return new Worker(t, 'turns', args, { env: plainEnvironment() });
  };
  // The older version makes the store, which this one then migrates.
  await worker(older, 20).result();
  model.acknowledge(20);
  assert.equal(versionOf(path), schemaVersion - 1);
  for (let turn = 0; turn < turns; turn++) {
    const from = model.done;
    const each = worker(turn % 2 === 0 ? current : older);
    // At the first turn it has migrated before it tells anything; later some are killed while they open the file.
    await killSometime(each, turn === 0 ? 0 : Math.floor(random() * 6), random);
    await checkRemains(path, model, acknowledgedBy(each, from));
    assert.equal(versionOf(path), schemaVersion, 'the older version has changed the schema');
  }
  t.diagnostic(`${model.done} operations, ${model.lastId} events, ${model.snapshots.length} snapshots, 0 lost`);
  assert.ok(model.done > 10 * turns, `only ${model.done} operations were acknowledged`);
});
