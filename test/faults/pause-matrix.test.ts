// Two processes on one folder, of which one stands still between two of its system calls: test/faults/pause.ts. A
// sample of the pairs and moments runs here; `npm run faults` tries all of them.
//
// SHEPHERD_PAUSES: about how many; 300 by default. SHEPHERD_PAUSES_SEED: repeats another run's choice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needs } from '../support/tools.ts';
import { count, type Done, pauseJobs, runAll, untilFound } from './main.ts';

const title = 'whatever another process does between two system calls, nothing is lost and all that is told is so';

test(title, needs('strace'), async (t) => {
  const runs = Number(process.env['SHEPHERD_PAUSES'] ?? 300);
  const seed = Number(process.env['SHEPHERD_PAUSES_SEED'] ?? 1);
  t.diagnostic(`SHEPHERD_PAUSES_SEED=${seed} SHEPHERD_PAUSES=${runs}`);
  const done: Done[] = [];
  await runAll(untilFound(pauseJobs(seed, runs)), (each) => {
    done.push(each);
    const tried = `${each.outcome.points} moments, ${count(each, 'states')} tried`;
    const counts = `${tried}, ${count(each, 'lost')} with a fault`;
    t.diagnostic(`${each.kind} ${each.name}: ${counts}, ${each.seconds.toFixed(0)} s`);
  });
  const own = done.filter(({ kind }) => kind === 'pause');
  assert.deepEqual(own.flatMap(({ outcome }) => outcome.examples), []);
  const missed = done.filter((each) => each.kind === 'pause fault' && count(each, 'lost') === 0);
  assert.deepEqual(missed.map(({ name }) => name), [], 'faults that were not found');
  assert.ok(own.reduce((sum, each) => sum + count(each, 'states'), 0) >= runs);
});
