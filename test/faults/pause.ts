// The pause matrix: each first process stands still after each of its system calls on the folder, each second one does
// its work from beginning to end, the first goes on; then nothing acknowledged is lost and all that was told is so.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '../support/random.ts';
import type { Pair } from './pause-check.ts';
import { firsts, type Moment, type Result, Stage } from './pause-run.ts';
import { secondNames } from './pause-tasks.ts';
import { pauseFaults, weaken } from './pause-weakenings.ts';
import { type Outcome, workFolder } from './run.ts';

const own = new URL('../../', import.meta.url);

/** The names of the first processes and of the faults that are put in, each a job. */
export const pauseNames = Object.keys(firsts);

/**
 * Tries `limit` of the moments of one first process with the second ones, or all of them. The outcome counts by pair.
 * Each example says how it is had again.
 */
export async function runPauses(first: string, seed: number, limit: number): Promise<Outcome> {
  return inStage(own, (stage) => explore(stage, { first, seconds: secondNames }, seed, limit, ''));
}

/** The same with a fault put in, in the pairs that are to find it. */
export async function runPauseFault(name: string, seed: number, limit: number, enough: number): Promise<Outcome> {
  const { first, seconds, replace } = pauseFaults[name]!;
  const root = weaken(replace);
  try {
    return await inStage(root, (stage) => explore(stage, { first, seconds }, seed, limit, ` with "${name}"`, enough));
  } finally {
    rmSync(fileURLToPath(root), { recursive: true, force: true });
  }
}

/** One moment again, by the name that an example has: `first,second,index`. `root`: of another version. */
export async function replayPause(text: string, root = own): Promise<Result[]> {
  const [first = '', second = '', index = ''] = text.split(',');
  return inStage(root, async (stage) => {
    const moments = await stage.momentsOf(first);
    const chosen = moments.filter((moment) => index === '' || moment.index === Number(index));
    const results: Result[] = [];
    for (const moment of chosen) results.push(await stage.run({ first, second }, moment));
    return results;
  });
}

async function inStage<T>(root: URL, fn: (stage: Stage) => Promise<T>): Promise<T> {
  const work = workFolder();
  const stage = await Stage.make(work, root);
  try {
    return await fn(stage);
  } finally {
    await stage.end();
    rmSync(work, { recursive: true, force: true });
  }
}

interface Chosen extends Moment, Pair {}

interface Pairs {
  first: string;
  seconds: readonly string[];
}

/** In an order that is random, and the same with the same seed. */
function choose(moments: readonly Moment[], { first, seconds }: Pairs, seed: number, limit: number): Chosen[] {
  const random = seededRandom(seed);
  const all = moments.flatMap((moment) => seconds.map((second) => ({ ...moment, first, second })));
  const shuffled = all.map((each) => ({ each, order: random() })).sort((a, b) => a.order - b.order);
  return shuffled.slice(0, limit).map(({ each }) => each);
}

async function explore(
  stage: Stage,
  pairs: Pairs,
  seed: number,
  limit: number,
  how: string,
  enough = Infinity,
): Promise<Outcome> {
  const moments = await stage.momentsOf(pairs.first);
  const outcome: Outcome = { points: moments.length, states: {}, lost: {}, examples: [] };
  for (const { first, second, ...moment } of choose(moments, pairs, seed, limit)) {
    if (outcome.examples.length >= enough) break;
    const result = await stage.run({ first, second }, moment);
    const name = `${first}, ${second}`;
    outcome.states[name] = (outcome.states[name] ?? 0) + 1;
    outcome.lost[name] ??= 0;
    if (result.problems.length === 0) continue;
    outcome.lost[name]++;
    const again = `--pause=${first},${second},${result.index}${how}`;
    outcome.examples.push(`${again} after ${result.after}: ${result.problems.join('; ')}`);
  }
  return outcome;
}
