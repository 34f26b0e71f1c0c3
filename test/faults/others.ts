// The full runs of the tests whose count an environment variable gives; in CI each does less of the same.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { plainEnvironment } from '../support/child.ts';

/** Each fault, the test that puts it in, and how often. */
const others: readonly { fault: string; test: string; counts: Record<string, string> }[] = [
  { fault: 'kill -9', test: 'crash', counts: { SHEPHERD_CRASH_ROUNDS: '600' } },
  { fault: 'kill -9 in ledger mode', test: 'ledger-crash', counts: { SHEPHERD_LEDGER_CRASH_ROUNDS: '400' } },
  { fault: 'a system call that fails, once or from then on', test: 'failing-disk', counts: { SHEPHERD_FAULTS: '600' } },
  { fault: 'a full disk, at every amount of free space', test: 'full-disk', counts: { SHEPHERD_FULL_DISK: '1' } },
  { fault: 'damaged bytes and pages, older copies', test: 'corruption', counts: { SHEPHERD_CORRUPTIONS: '2000' } },
  { fault: 'random programs', test: 'random-programs', counts: { SHEPHERD_STEPS: '10000' } },
  { fault: 'one of the two files destroyed, after random histories', test: 'ledger-history', counts: {} },
  { fault: 'a million events in little memory', test: 'memory', counts: { SHEPHERD_MEMORY_EVENTS: '1000000' } },
];

// What CI tries is the same each time; a full run tries something new.
const seeds = ['SHEPHERD_FAULTS_SEED', 'SHEPHERD_FULL_DISK_SEED', 'SHEPHERD_CORRUPTIONS_SEED', 'SHEPHERD_STEPS_SEED'];

/** Runs them one after the other and prints what each tried. Gives whether all of them passed. */
export function runOthers(): boolean {
  let allPassed = true;
  const seed = String(Date.now() % 1e6);
  for (const { fault, test, counts } of others) {
    const began = performance.now();
    const file = fileURLToPath(new URL(`../${test}.test.ts`, import.meta.url));
    const { status, stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', file], { env: { ...plainEnvironment(), ...Object.fromEntries(seeds.map((name) => [name, seed])), ...counts }, encoding: 'utf8', maxBuffer: 1e9 });
    const told = stdout.split('\n').filter((line) => /^\s*(✖|ℹ (?!suites|cancelled|skipped|todo|duration))/.test(line));
    const how = [...Object.entries(counts).map(([name, value]) => `${name}=${value}`), `node --test test/${test}.test.ts`].join(' ');
    console.log([`\n${fault} (${how}): ${status === 0 ? 'nothing lost' : 'FAILED'}, ${((performance.now() - began) / 1_000).toFixed(0)} s`, ...told].join('\n  '));
    allPassed &&= status === 0;
  }
  return allPassed;
}
