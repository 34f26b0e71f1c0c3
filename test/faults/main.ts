// npm run faults: every workload of the power cuts, every pair of the pause matrix, every fault that is put in, and
// what other packages lose, in child processes on all cores; then four processes at random, and the full runs of the
// other tests.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { table } from '../bench/measure.ts';
import { plainEnvironment } from '../support/child.ts';
import { runFour } from './four-processes.ts';
import { runOthers } from './others.ts';
import { pauseFaults } from './pause-weakenings.ts';
import { pauseNames, replayPause, runPauseFault, runPauses } from './pause.ts';
import { installPeers, peers, runPeer } from './peers.ts';
import { type Outcome, runWorkload } from './run.ts';
import { faults } from './weakenings.ts';
import { workloads } from './workloads.ts';

/** One piece of work for one process. `kind` says in which table `name` stands. */
export interface Job {
  kind: 'workload' | 'fault' | 'peer' | 'pause' | 'pause fault';
  name: string;
  seed: number;
  /** About how many states, or moments; null for all of these. */
  limit: number | null;
  /** After how many with a loss the rest is left out; all are looked at by default. */
  enough?: number;
  /** Where the other packages are installed. */
  packages?: string;
}

export interface Done extends Job {
  outcome: Outcome;
  seconds: number;
}

/** All workloads and faults, or those of workloads with `only` in their names, with about so many states in all. */
export function jobs(seed: number, states: number, only = ''): Job[] {
  const names = Object.keys(workloads).filter((name) => name.includes(only));
  // To look at a log of a thousand rows and to archive it takes three times as long.
  const shares = names.map((name) => (workloads[name]!.archives ? 1 / 3 : 1));
  // Some of those that are made are the same as another.
  const limit = Math.ceil((1.3 * states) / shares.reduce((sum, share) => sum + share, 0));
  return [
    ...names.map((name, index): Job => ({ kind: 'workload', name, seed, limit: Math.ceil(limit * shares[index]!) })),
    ...Object.keys(faults).filter((name) => faults[name]!.workload.includes(only)).map((name): Job => ({
      kind: 'fault',
      name,
      seed,
      limit: Math.min(Math.max(limit, 300), 2_000),
    })),
  ];
}

/** The pause matrix, with so many runs of the store's own in all; `Infinity`: every pair at every moment. */
export function pauseJobs(seed: number, runs: number): Job[] {
  const limit = runs === Infinity ? null : Math.ceil(runs / pauseNames.length);
  return [
    ...pauseNames.map((name): Job => ({ kind: 'pause', name, seed, limit })),
    ...Object.keys(pauseFaults).map((name): Job => ({
      kind: 'pause fault',
      name,
      seed,
      limit: Math.min(limit ?? 60, 60),
    })),
  ];
}

async function work({ kind, name, seed, limit: given, enough = Infinity, packages }: Job): Promise<Outcome> {
  const limit = given ?? Infinity;
  if (kind === 'pause') return runPauses(name, seed, limit);
  if (kind === 'pause fault') return runPauseFault(name, seed, limit, enough);
  if (kind === 'workload') return runWorkload(name, seed, limit);
  if (kind === 'peer') return runPeer(name, seed, limit, packages!);
  return runWorkload(faults[name]!.workload, seed, limit, faults[name], enough);
}

/** Faults that are put in need only be found: the rest of their states says nothing more. */
export function untilFound(all: readonly Job[]): Job[] {
  return all.map((job) => (job.kind.endsWith('fault') ? { ...job, enough: 1 } : job));
}

/** Runs the jobs, as many at once as there are cores, and tells each when it is done. */
export async function runAll(all: readonly Job[], onDone: (done: Done) => void): Promise<void> {
  const waiting = [...all];
  const walk = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const began = performance.now();
      const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--job', JSON.stringify(job)], {
        env: plainEnvironment(),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      let errors = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
      const [code] = (await once(child, 'close')) as [number | null];
      if (code !== 0) throw new Error(`${job.name}: ${errors}`);
      onDone({ ...job, outcome: JSON.parse(output) as Outcome, seconds: (performance.now() - began) / 1_000 });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, walk));
}

/** How many states were looked at, or how many of them had lost something. */
export function count({ outcome }: Done, what: 'states' | 'lost'): number {
  return Object.values(outcome[what]).reduce((sum, each) => sum + each, 0);
}

const options = {
  job: { type: 'string' },
  seed: { type: 'string' },
  states: { type: 'string' },
  only: { type: 'string' },
  weakened: { type: 'boolean', default: true },
  peers: { type: 'boolean', default: true },
  others: { type: 'boolean', default: true },
  cuts: { type: 'boolean', default: true },
  pauses: { type: 'boolean', default: true },
  processes: { type: 'boolean', default: true },
  pause: { type: 'string' },
  library: { type: 'string' },
} as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options, allowNegative: true });
  if (values.job !== undefined) {
    console.log(JSON.stringify(await work(JSON.parse(values.job) as Job)));
    return;
  }
  if (values.pause !== undefined) return replay(values.pause, values.library);
  const seed = Number(values.seed ?? Date.now() % 1e6);
  const all = [
    ...(values.cuts ? jobs(seed, Number(values.states ?? 180_000), values.only) : []),
    ...(values.pauses ? pauseJobs(seed, Infinity) : []),
  ];
  if (!values.weakened) all.splice(0, Infinity, ...all.filter(({ kind }) => !kind.endsWith('fault')));
  const packages = values.peers ? installPeers() : undefined;
  if (packages !== undefined)
    all.push(...Object.keys(peers).map((name): Job => ({ kind: 'peer', name, seed, limit: 2_000, packages })));
  console.log(`seed ${seed}; again: npm run faults -- --seed=${seed}\n`);
  const done: Done[] = [];
  await runAll(all, (each) => {
    done.push(each);
    const counts = `${count(each, 'states')} states, ${count(each, 'lost')} lost, ${each.seconds.toFixed(0)} s`;
    console.log(`${each.kind} ${each.name}: ${each.outcome.points} points, ${counts}`);
    if (!each.kind.endsWith('fault')) for (const example of each.outcome.examples) console.log(`  ${example}`);
  });
  if (packages !== undefined) rmSync(packages, { recursive: true });
  const isSound = [
    done.length === 0 || report(done),
    !values.processes || (await reportFour(seed)),
    !values.others || runOthers(),
  ];
  process.exitCode = isSound.every(Boolean) ? 0 : 1;
}

/** Five minutes of it. Gives whether all was well. */
async function reportFour(seed: number): Promise<boolean> {
  const { kills, acknowledged, counts, problems } = await runFour(seed, 300);
  console.log(`\nfour processes: ${kills} killed, ${acknowledged} events acknowledged, ${problems.length} problems`);
  console.log([...Object.entries(counts).map(([what, times]) => `${what}: ${times}`), ...problems].join('\n'));
  return problems.length === 0;
}

/**
 * `--pause=first,second,index`: one moment of the pause matrix again, or all of a pair. `--library`: of another
 * version.
 */
async function replay(text: string, library: string | undefined): Promise<void> {
  const results = await replayPause(text, library === undefined ? undefined : pathToFileURL(`${resolve(library)}/`));
  for (const { pair, index, after, problems } of results) {
    console.log(
      [
        `${pair.first},${pair.second},${index} after ${after}`,
        ...(problems.length > 0 ? problems : ['nothing wrong']),
      ].join('\n  '),
    );
  }
  process.exitCode = results.length > 0 && results.every(({ problems }) => problems.length === 0) ? 0 : 1;
}

/** Prints the tables. Gives whether nothing was lost by the store, and something by each fault. */
function report(done: readonly Done[]): boolean {
  const of = (kind: Job['kind']): Done[] => done.filter((each) => each.kind === kind);
  const row = (each: Done, fault: string, method: string): Record<string, string> => ({
    fault,
    method,
    'cases tried': count(each, 'states').toLocaleString('en'),
    'acknowledged writes lost': count(each, 'lost').toLocaleString('en'),
  });
  console.log(`\n${table([
    ...of('workload').map((each) => row(each, 'power cut', each.name)),
    ...of('fault').map((each) => row(each, each.name, faults[each.name]!.method)),
    ...of('pause').map((each) => row(each, 'a second process between two system calls of a first', each.name)),
    ...of('pause fault').map((each) => row(each, each.name, 'the repair taken out of a copy')),
  ])}`);
  const byModel = (each: Done): Record<string, string> =>
    Object.fromEntries(
      Object.entries(each.outcome.states).map(([model, states]) => [model, `${each.outcome.lost[model]} of ${states}`]),
    );
  const others = of('peer');
  if (others.length > 0)
    console.log(`\n${table(others.map((each) => ({ 'states with a loss': each.name, ...byModel(each) })))}`);
  const own = of('workload');
  const total = own.reduce((sum, each) => sum + count(each, 'states'), 0);
  const moments = own.reduce((sum, { outcome }) => sum + outcome.points, 0).toLocaleString('en');
  if (own.length > 0) console.log(`\n${total.toLocaleString('en')} distinct states at ${moments} moments.`);
  const hasLost = (each: Done): boolean => count(each, 'lost') > 0;
  return ![...own, ...of('pause')].some(hasLost) && [...of('fault'), ...of('pause fault')].every(hasLost);
}

// A bare `node --test` runs this file too, and must not do anything.
if (import.meta.main && process.env['NODE_TEST_CONTEXT'] === undefined) await main();
