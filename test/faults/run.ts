// One workload: recorded, and then its folder as a power cut would leave it at every point, opened and checked.
import assert from 'node:assert/strict';
import {
  cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '../support/random.ts';
import { checkStore } from './check.ts';
import type { Settings } from './child.ts';
import { Disk, type NameModel } from './disk.ts';
import { type Damage, type State, States } from './states.ts';
import { type Operation, record } from './trace.ts';
import type { View } from './view.ts';
import { type Phase, prepared, type Workload, workloads } from './workloads.ts';

/** What makes a child write worse than the store does; it must be found out. */
export interface Weakening {
  env?: Record<string, string>;
  change?(operations: Operation[]): Operation[];
}

/** A recorded step, and after it what is acknowledged (first) and what may be there beyond that. */
interface Step {
  operation: Operation;
  views: readonly View[];
}

interface Recorded {
  /** What the folder was before, for each model of names. */
  disks: Record<NameModel, () => Disk>;
  first: readonly View[];
  steps: Step[];
}

export interface Outcome {
  /** Moments. */
  points: number;
  /** Distinct folders that were opened, and those in which something was lost, by model. */
  states: Record<string, number>;
  lost: Record<string, number>;
  /** Of the first that were lost. */
  examples: string[];
}

const childFile = fileURLToPath(new URL('child.ts', import.meta.url));

/** A place in memory, where an fsync costs nothing. */
export function workFolder(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'shepherd-store-faults-'));
}

function settingsIn(folder: string, { ledger, recover, archives, isSigned }: Workload): Settings {
  const name = ledger === true ? 'kiosk/audit.jsonl' : ledger;
  return {
    path: join(folder, 'kiosk/store.db'),
    ledger: name ? join(folder, name) : undefined,
    recover,
    archives: archives ? join(folder, 'archives') : undefined,
    key: isSigned ? join(folder, 'ledger.key') : undefined,
  };
}

/** Keeps the folder as it is now, as what everything begins with. */
function disksOf(work: string, folder: string): Recorded['disks'] {
  const base = join(work, 'base');
  rmSync(base, { recursive: true, force: true });
  cpSync(folder, base, { recursive: true });
  return { strict: () => new Disk(base, 'strict', folder), kind: () => new Disk(base, 'kind', folder) };
}

/** Runs one command in the folder. */
export async function recordCommand(
  work: string,
  folder: string,
  command: readonly string[],
  first: View,
): Promise<Recorded> {
  const disks = disksOf(work, folder);
  const operations = await record({ folder, command, output: join(work, 'trace') });
  const disk = disks.strict();
  for (const operation of operations) disk.apply(operation);
  assertSame(disk, folder);
  return { disks, first: [first], steps: expectNext(toSteps(operations, [first])) };
}

/** Runs the phases in the folder as it is, and holds the model against the real folder after each. */
async function recordPhases(
  work: string,
  folder: string,
  workload: Workload,
  first: readonly View[],
  weakening: Weakening = {},
): Promise<Recorded> {
  const disks = disksOf(work, folder);
  const checked = disks.strict();
  const parts: Step[][] = [];
  let before = first;
  for (const phase of workload.phases) {
    const attempts = phase.failSync === undefined ? undefined : await rehearse(work, folder, workload, phase);
    const operations = await recordPhase(work, folder, workload, phase, weakening, attempts?.inject);
    for (const operation of operations) checked.apply(operation);
    assertSame(checked, folder);
    const steps = toSteps(weakening.change?.(operations) ?? operations, before, attempts?.views);
    parts.push(steps);
    before = steps.at(-1)?.views ?? before;
  }
  return { disks, first, steps: expectNext(parts.flat()) };
}

async function recordPhase(
  work: string,
  folder: string,
  workload: Workload,
  phase: Phase,
  { env = {} }: Weakening,
  inject?: string,
): Promise<Operation[]> {
  const command = [
    process.execPath,
    childFile,
    phase.task,
    JSON.stringify(settingsIn(folder, workload)),
    ...phase.args,
  ];
  return record({ folder, command, output: join(work, 'trace'), killed: phase.killed ?? false, inject, env });
}

/**
 * Runs a phase on a copy of the folder, to know which call is to fail and what the operation would have done that it
 * cuts short.
 */
async function rehearse(
  work: string,
  folder: string,
  workload: Workload,
  phase: Phase,
): Promise<{ inject: string; views: View[] }> {
  const copy = join(work, 'rehearsal');
  cpSync(folder, copy, { recursive: true });
  const operations = await recordPhase(work, copy, workload, phase, {});
  rmSync(copy, { recursive: true });
  const open = operations.findIndex(({ type }) => type === 'acknowledge');
  const nth = operations.slice(0, open).filter(({ type }) => type === 'sync').length + phase.failSync!;
  return { inject: `fsync,fdatasync:error=EIO:when=${nth}`, views: acknowledged(operations) };
}

function acknowledged(operations: readonly Operation[]): View[] {
  return operations.filter((operation) => operation.type === 'acknowledge').map(({ text }) => JSON.parse(text) as View);
}

/** With each step what had been acknowledged; `attempts`: what would have been in a phase that is cut short. */
function toSteps(operations: readonly Operation[], before: readonly View[], attempts: readonly View[] = []): Step[] {
  let views = before;
  let count = 0;
  return operations.map((operation) => {
    if (operation.type === 'acknowledge') {
      count++;
      views = [JSON.parse(operation.text) as View, ...attempts.slice(count, count + 1)];
    }
    return { operation, views };
  });
}

/** What is acknowledged next is under way until then. */
function expectNext(steps: Step[]): Step[] {
  let next: View | undefined;
  return steps.reverse().map((step) => {
    const views = next ? [...step.views, next] : step.views;
    if (step.operation.type === 'acknowledge') next = step.views[0];
    return { ...step, views };
  }).reverse();
}

/** With nothing lost the model must be the real folder, byte for byte; but for the -shm, which is memory. */
function assertSame(disk: Disk, folder: string): void {
  const ours = [...disk.names].map(
    ([path, entry]) => [path.slice(folder.length + 1), entry === 'folder' ? entry : entry.cache] as const,
  );
  const real = (readdirSync(folder, { recursive: true }) as string[]).map(
    (name) => [name, statSync(join(folder, name)).isDirectory() ? 'folder' : readFileSync(join(folder, name))] as const,
  );
  const texts = ([...entries]: typeof ours): string[] =>
    entries
      .map(([name, content]) =>
        name.endsWith('-shm') || content === 'folder' ? name : `${name} ${content.toString('base64')}`,
      )
      .sort();
  assert.ok(
    JSON.stringify(texts(ours)) === JSON.stringify(texts(real)),
    `the model differs from the real folder: ${ours
      .map(([name]) => name)
      .sort()
      .join()} and ${real
      .map(([name]) => name)
      .sort()
      .join()}`,
  );
}

/** Writes a state into an empty folder. */
function materialize(state: State, from: string, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  for (const [path, content] of state.files) {
    const target = folder + path.slice(from.length);
    if (content === 'folder') mkdirSync(target, { mode: 0o700 });
    else writeFileSync(target, content, { mode: 0o600 });
  }
}

export type Check = (folder: string, views: readonly View[], damage: Damage) => Promise<void>;

/** How the states are divided among the models. */
const passes: readonly { names: NameModel; damage: Damage; share: number }[] = [
  { names: 'strict', damage: 'sectors', share: 0.6 },
  { names: 'kind', damage: 'sectors', share: 0.15 },
  { names: 'strict', damage: 'pages', share: 0.25 },
];

/** Checks about `limit` of the states of a recording, until `enough` have lost something. */
export async function explore(
  work: string,
  folder: string,
  recorded: Recorded,
  limit: number,
  random: () => number,
  check: Check,
  enough = Infinity,
): Promise<Outcome> {
  const outcome: Outcome = { points: recorded.steps.length + 1, states: {}, lost: {}, examples: [] };
  const place = join(work, 'cut');
  for (const { names, damage, share } of passes) {
    const seen = new Set<string>();
    const model = `${names} names, ${damage}`;
    outcome.lost[model] = 0;
    for (const { state, views, at } of chosen(recorded, names, damage, limit * share, random)) {
      if (Object.values(outcome.lost).reduce((sum, lost) => sum + lost, 0) >= enough) break;
      const key = `${state.key} ${JSON.stringify(views[0])}`;
      if (seen.has(key)) continue;
      seen.add(key);
      materialize(state, folder, place);
      try {
        await check(place, views, damage);
      } catch (error) {
        outcome.lost[model]!++;
        if (outcome.examples.length < 3)
          outcome.examples.push(
            `${model}, ${at}: ${(error as Error).message}\n    ${state.fates.replaceAll(`${folder}/`, '')}`,
          );
      }
    }
    outcome.states[model] = seen.size;
  }
  rmSync(place, { recursive: true, force: true });
  return outcome;
}

/** The states to look at: at each point all that there are, up to as many as make the limit in all. */
function* chosen(
  recorded: Recorded,
  names: NameModel,
  damage: Damage,
  limit: number,
  random: () => number,
): Generator<{ state: State; views: readonly View[]; at: string }> {
  const all = Array.from(points(recorded, names), ({ disk }) => new States(disk, damage, random));
  const counts = all.map((states) => states.count);
  const whole = all.map((states) => states.isFewNames);
  // All of these where that leaves half of the limit to the others, or else a share.
  const nameStates = counts.reduce((sum, count, index) => sum + (whole[index] ? count : 0), 0);
  const nameShare = Math.min(1, limit / 2 / nameStates);
  const within = (most: number): number => counts.reduce((sum, count) => sum + Math.min(most, count), 0);
  let most = 8;
  while (within(most) < limit && most < 1e6) most *= 1.2;
  const total = within(most);
  for (const { disk, views, at, index } of points(recorded, names)) {
    const due = whole[index] ? counts[index]! * nameShare : (limit * Math.min(most, counts[index]!)) / total;
    const count = Math.floor(due) + (random() < due % 1 ? 1 : 0);
    if (count === 0) continue;
    for (const state of new States(disk, damage, random).some(count)) yield { state, views, at };
  }
}

function* points(
  { disks, first, steps }: Recorded,
  names: NameModel,
): Generator<{ disk: Disk; views: readonly View[]; at: string; index: number }> {
  const disk = disks[names]();
  const next = steps.find(({ operation }) => operation.type === 'acknowledge');
  yield { disk, views: next ? [...first, next.views[0]!] : first, at: 'before anything', index: 0 };
  for (const [index, { operation, views }] of steps.entries()) {
    disk.apply(operation);
    yield { disk, views, at: `after step ${index + 1} of ${steps.length}, ${describe(operation)}`, index: index + 1 };
  }
}

function describe(operation: Operation): string {
  return operation.type === 'acknowledge' ? 'an acknowledgement' : `${operation.type} `
    + `${operation.path.replace(/^.*\//, '')}${'offset' in operation ? ` at ${operation.offset}` : ''}`;
}

/** Everything about one workload of the table. */
export async function runWorkload(
  name: string,
  seed: number,
  limit: number,
  weakening: Weakening = {},
  enough = Infinity,
): Promise<Outcome> {
  const workload = workloads[name];
  if (!workload) throw new Error(`there is no workload "${name}"`);
  const work = workFolder();
  const folder = join(work, 'folder');
  const random = seededRandom(seed);
  const settings = settingsIn(folder, workload);
  const mayRecover = workload.mayRecover ?? workload.recover ?? false;
  const isEven = workload.mayRecover === undefined && workload.phases.every(({ failSync }) => failSync === undefined);
  const check: Check = async (place, views, damage) => {
    workload.check?.(settingsIn(place, workload), views);
    const rules = { mayRecover, eachFile: damage === 'sectors' && isEven, isNewer: workload.isNewer ?? false };
    await checkStore(settingsIn(place, workload), views, rules);
  };
  try {
    mkdirSync(folder, { mode: 0o700 });
    if (workload.after === undefined) {
      const recorded = await recordPhases(work, folder, workload, [prepared(workload, settings)], weakening);
      return await explore(work, folder, recorded, limit, random, check, enough);
    }
    const base = await recordPhases(work, folder, workloads[workload.after]!, [prepared(workload, settings)]);
    const cuts = Math.max(3, Math.round(limit / 200));
    const outcomes: Outcome[] = [];
    for (const { state, views } of spread([...chosen(base, 'strict', 'sectors', 10 * cuts, random)], cuts, random)) {
      materialize(state, folder, folder);
      outcomes.push(
        await explore(work, folder, await recordPhases(work, folder, workload, views), limit / cuts, random, check),
      );
    }
    return sum(outcomes);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function spread<T>(all: T[], count: number, random: () => number): T[] {
  return Array.from({ length: count }, () => all[Math.floor(random() * all.length)]!);
}

function sum(outcomes: readonly Outcome[]): Outcome {
  const total: Outcome = { points: 0, states: {}, lost: {}, examples: [] };
  for (const { points: moments, states, lost, examples } of outcomes) {
    total.points += moments;
    total.examples = [...total.examples, ...examples].slice(0, 3);
    for (const [into, from] of [[total.states, states], [total.lost, lost]] as const) {
      for (const [model, count] of Object.entries(from)) into[model] = (into[model] ?? 0) + count;
    }
  }
  return total;
}
