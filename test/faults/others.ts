// The full runs of the tests whose count an environment variable gives; in CI each does less of the same.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { table } from '../bench/measure.ts';
import { plainEnvironment } from '../support/child.ts';

/**
 * Each fault, how it is put in and how often, and the test that does it. Tests end at the first acknowledged write that
 * is lost.
 */
const others: readonly {
  fault: string;
  method: string;
  cases: string;
  test: string;
  counts: Record<string, string>;
}[] = [
  {
    fault: 'kill -9 at random moments',
    method: 'a child process',
    cases: '600',
    test: 'crash',
    counts: { SHEPHERD_CRASH_ROUNDS: '600' },
  },
  {
    fault: 'the same in ledger mode',
    method: 'a child process',
    cases: '400',
    test: 'ledger-crash',
    counts: { SHEPHERD_LEDGER_CRASH_ROUNDS: '400' },
  },
  {
    fault: 'the same by two versions in turn',
    method: 'packed, on one file',
    cases: '600',
    test: 'turns',
    counts: { SHEPHERD_TURNS: '600' },
  },
  {
    fault: 'a system call that fails, once or from then on',
    method: '`strace -e inject`',
    cases: '600',
    test: 'failing-disk',
    counts: { SHEPHERD_FAULTS: '600' },
  },
  {
    fault: 'a full disk',
    method: 'every amount of free space, by 4 KiB',
    cases: '358',
    test: 'full-disk',
    counts: { SHEPHERD_FULL_DISK: '1' },
  },
  {
    fault: 'kill -9 while the log is archived',
    method: 'beside a process that appends',
    cases: '200',
    test: 'archive-crash',
    counts: { SHEPHERD_ARCHIVE_CRASH_ROUNDS: '100' },
  },
  {
    fault: 'a system call of an archiving that fails',
    method: '`strace -e inject`',
    cases: '300',
    test: 'archive-failing',
    counts: { SHEPHERD_ARCHIVE_FAULTS: '300' },
  },
  {
    fault: 'a disk that is full while the log is archived',
    method: 'every amount of free space, by 4 KiB',
    cases: 'all',
    test: 'archive-disk',
    counts: { SHEPHERD_FULL_DISK: '1' },
  },
  {
    fault: 'damaged bytes and pages, older copies',
    method: 'database, `-wal`, snapshot, ledger',
    cases: '2,000',
    test: 'corruption',
    counts: { SHEPHERD_CORRUPTIONS: '2000' },
  },
  {
    fault: 'random programs of all operations',
    method: 'a model in memory',
    cases: '10,000',
    test: 'random-programs',
    counts: { SHEPHERD_STEPS: '10000' },
  },
  {
    fault: 'the same with archiving among them',
    method: 'a model in memory',
    cases: '10,000',
    test: 'archive-programs',
    counts: { SHEPHERD_STEPS: '10000' },
  },
  {
    fault: 'a fleet: sender, psql, server or network fails',
    method: '1,000 stores of 200 events, one server',
    cases: '200,000',
    test: 'fleet',
    counts: { SHEPHERD_FLEET: '1000' },
  },
  {
    fault: 'database or ledger destroyed',
    method: 'after random histories',
    cases: '1,000',
    test: 'ledger-history',
    counts: {},
  },
];

// What CI tries is the same each time; a full run tries something new.
const seeds = ['SHEPHERD_FAULTS_SEED', 'SHEPHERD_FULL_DISK_SEED', 'SHEPHERD_CORRUPTIONS_SEED', 'SHEPHERD_STEPS_SEED'];

/** Runs them one after the other, prints what each tried, and the table of all. Gives whether all of them passed. */
export function runOthers(): boolean {
  const seed = String(Date.now() % 1e6);
  const rows = others.map(({ fault, method, cases, test, counts }) => {
    const began = performance.now();
    const file = fileURLToPath(new URL(`${test}.test.ts`, import.meta.url));
    const env = { ...plainEnvironment(), ...Object.fromEntries(seeds.map((name) => [name, seed])), ...counts };
    const { status, stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', file], {
      env,
      encoding: 'utf8',
      maxBuffer: 1e9,
    });
    const isTold = (line: string): boolean => /^\s*(✖|ℹ (?!suites|cancelled|skipped|todo|duration))/.test(line);
    const told = stdout.split('\n').filter(isTold);
    const how = [
      ...Object.entries(counts).map(([name, value]) => `${name}=${value}`),
      `node --test test/faults/${test}.test.ts`,
    ].join(' ');
    console.log([`\n${fault} (${how}), ${((performance.now() - began) / 1_000).toFixed(0)} s`, ...told].join('\n  '));
    return { fault, method, 'cases tried': cases, 'acknowledged writes lost': status === 0 ? '0' : 'FAILED' };
  });
  console.log(`\n${table(rows, 2)}`);
  return rows.every((row) => row['acknowledged writes lost'] === '0');
}
