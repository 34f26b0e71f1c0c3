// The command demo: a kiosk's day on a real file, by a service process that is killed in the middle of it.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, extname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { attempt } from '../errors.ts';
import { makeTemporaryFolder } from '../files.ts';
import { localDay, SqliteStore } from '../index.ts';
import { absolutePath } from '../paths.ts';
import type { Args } from './args.ts';
import { jsonOption, now, print, printJson } from './command.ts';
import type { Command, Io } from './command.ts';
import { Failure, UsageError } from './failures.ts';
import { checkAcknowledged } from './demo-check.ts';
import type { CheckResult } from './demo-check.ts';
import type { Acknowledged } from './demo-service.ts';
import { cooldownLines, readCooldowns, readUsage, usageLines } from './rows.ts';
import { clockTime, count, counted, dayLabel, duration, lineWidth, painter, plain, shellWord } from './text.ts';

/** `demo`: nothing acknowledged is lost. */
export const demo: Command = {
  name: 'demo',
  summary: 'Plays a kiosk\'s day, kills its service, checks what is left',
  takes: ['[FOLDER]'],
  options: { ...jsonOption },
  notes: [
    'A service, a process of its own, keeps a real file and acknowledges each step:',
    'sessions, warnings, a denied launch, cooldowns. It is killed with SIGKILL in the',
    'middle of a session and started again. Then each step it acknowledged is looked',
    'for in the store. The exit code is 1 when one is missing or was counted twice.',
    '',
    'FOLDER must be empty or new; by default it is a new one for temporary files. It',
    'is kept, so that the other commands can look into it.',
  ],
  examples: ['demo', 'demo ./kiosk'],
  run: runDemo,
};

/** Between two steps of the service: the day takes about two seconds. */
const paceMs = 45;

async function runDemo(args: Args, io: Io): Promise<number> {
  const forPeople = args.flag('json') ? undefined : io;
  const path = join(prepareFolder(args.positionals[0]), 'kiosk.db');
  const day = demoDay(now(io));
  const acknowledged: Acknowledged[] = [];
  if (forPeople) print(io, ['A kiosk\'s day, by a service process of its own, in', plain(path)]);
  const onStep = (step: Acknowledged): void => {
    if (forPeople) print(io, stepLines(io, step, acknowledged.at(-1)));
    acknowledged.push(step);
  };
  const killed = await runService(io, path, day, 'first', onStep);
  if (forPeople) print(io, ['', `  ${painter(io.stdout)(['red', 'bold'], 'SIGKILL')} to the service (process ${killed}), in the middle of the session`, '']);
  await runService(io, path, day, 'second', onStep);

  const end = acknowledged.at(-1)?.at ?? new Date(`${day}T08:00:00`);
  using store = SqliteStore.openReadOnly(path, { clock: () => end });
  const result = checkAcknowledged(store, acknowledged);
  const chain = await store.verifyAudit();
  const report = { path, acknowledged: acknowledged.length, found: acknowledged.length - result.lost.length, lost: result.lost, doubled: result.doubled, chain };
  if (!forPeople) printJson(io, report);
  else print(io, resultLines(io, path, store, acknowledged, { ...result, chainOk: chain.ok, events: chain.checked }));
  return result.lost.length + result.doubled.length === 0 && chain.ok ? 0 : 1;
}

function prepareFolder(given: string | undefined): string {
  if (given === undefined) return attempt('make a folder', () => makeTemporaryFolder('shepherd-demo'));
  const folder = absolutePath(given);
  try {
    if (readdirSync(folder).length > 0) throw new UsageError(`${folder} is not empty: give a new or an empty folder`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new UsageError(`${folder} is not a folder that can be used: ${(error as Error).message}`);
  }
  return folder; // the store makes it, private
}

/** A day that is over, with the night after it, so that the other commands find it in the past. */
function demoDay(at: Date): string {
  const day = new Date(at);
  day.setDate(day.getDate() - (at.getHours() < 1 ? 2 : 1));
  return localDay(day);
}

/** Runs the service until it ends or, the first time, until it is killed. Gives its process id. */
async function runService(io: Io, path: string, day: string, which: 'first' | 'second', onStep: (step: Acknowledged) => void): Promise<number> {
  // The name ends in .ts where this file does, and in .js once both are compiled.
  const program = join(import.meta.dirname, `demo-service${extname(import.meta.filename)}`);
  const child = spawn(process.execPath, [program, path, day, which, String(paceMs)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<boolean>((settle, reject) => child.once('error', reject).once('close', (code, signal) => settle(code === 0 || signal === 'SIGKILL')));
  const abort = (): void => void child.kill('SIGKILL');
  io.signal?.addEventListener('abort', abort);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const step = parseStep(line);
      if (step) onStep(step);
      if (which === 'first' && step && isHalfWay(step)) killSoon(child);
    }
    if (!(await ended)) throw new Failure('the service of the demo ended by itself; what it said stands above');
  } finally {
    io.signal?.removeEventListener('abort', abort);
    abort();
  }
  io.signal?.throwIfAborted();
  return child.pid ?? 0;
}

/** A step as it came through the pipe; half a line, which a kill may leave, acknowledges nothing. */
function parseStep(line: string): Acknowledged | undefined {
  try {
    return JSON.parse(line, (key, value: unknown) => (['at', 'deadline', 'cooldownUntil'].includes(key) ? new Date(value as string) : value)) as Acknowledged;
  } catch {
    return undefined;
  }
}

/** The third session, half an hour after it began. */
function isHalfWay(step: Acknowledged): boolean {
  return step.op === 'touch' && clockTime(step.at) === '18:30:00';
}

/** Between this touch and the next: the plug does not wait for a good moment. */
function killSoon(child: ChildProcess): void {
  setTimeout(() => child.kill('SIGKILL'), paceMs / 2);
}

function stepLines(io: Io, step: Acknowledged, before: Acknowledged | undefined): string[] {
  const paint = painter(io.stdout);
  const day = localDay(step.at);
  const line = `  ${clockTime(step.at).slice(0, 5)}  ${describe(step)}`;
  const isNewDay = before === undefined || localDay(before.at) !== day;
  return [...(isNewDay ? ['', paint('bold', dayLabel(day))] : []), step.op === 'touch' ? paint('dim', line) : step.op === 'recover' ? paint('green', line) : line];
}

function describe(step: Acknowledged): string {
  switch (step.op) {
    case 'start': return `${step.entryId} starts, until ${clockTime(step.deadline).slice(0, 5)}`;
    case 'touch': return `${step.entryId} runs, ${duration(step.elapsedMs)} so far`;
    case 'end': return `${step.entryId} ends (${step.reason.type}) after ${duration(step.durationMs)}, cooldown until ${clockTime(step.cooldownUntil!).slice(0, 5)}`;
    case 'recover': return `${step.entryId} is recovered from the snapshot: ${duration(step.durationMs)} charged`;
    case 'event': return describeEvent(step.event);
  }
}

function describeEvent(event: Extract<Acknowledged, { op: 'event' }>['event']): string {
  if (event.type === 'policy_loaded') return `policy loaded: ${counted(event.entryCount, 'entry', 'entries')}`;
  if (event.type === 'launch_denied') return `${event.entryId} is denied: ${event.reasons.join(', ')}`;
  if (event.type === 'warning_issued') return `warning: ${duration(event.thresholdSecs * 1000)} left`;
  return event.type === 'service_started' ? 'the service starts' : 'the service stops';
}

function resultLines(io: Io, path: string, store: SqliteStore, acknowledged: readonly Acknowledged[], result: CheckResult & { chainOk: boolean; events: number }): string[] {
  const paint = painter(io.stdout);
  const { lost, doubled, chainOk, events } = result;
  const [total, found] = [acknowledged.length, acknowledged.length - lost.length];
  const verdict = `acknowledged ${count(total)}, found ${count(found)}, lost ${count(lost.length)}`;
  const sessions = acknowledged.filter(({ op }) => op === 'end' || op === 'recover').length;
  const [first, last] = [localDay(acknowledged[0]?.at ?? new Date(0)), localDay(acknowledged.at(-1)?.at ?? new Date(0))];
  const rows = readUsage(store, first, last);
  const longest = Math.max(0, ...rows.map(({ durationMs = 0 }) => durationMs));
  const at = acknowledged.at(-1)?.at ?? new Date(0);
  return [
    '', paint('bold', 'What is in the store'), '',
    `  ${paint(lost.length === 0 ? 'green' : 'red', verdict)}`,
    ...lost.map((step) => `    ${paint('red', 'lost')}: ${clockTime(step.at).slice(0, 5)} ${describe(step)}`),
    `  ${counted(sessions, 'session')} charged, ${doubled.length === 0 ? 'each once' : paint('red', `${count(doubled.length)} twice`)}`,
    `  ${counted(events, 'event')} in the log, ${chainOk ? 'every hash fits' : paint('red', 'the chain is broken')}`,
    ...[...Map.groupBy(rows, ({ day }) => day)].flatMap(([day, ofDay]) => ['', paint('bold', `Usage, ${dayLabel(day)}`), ...usageLines(io.stdout, lineWidth(io.stdout), ofDay, longest)]),
    '', paint('bold', 'Cooldowns as the day ends'), ...cooldownLines(io.stdout, readCooldowns(store, at), at),
    '', 'The folder is kept. Look into it:',
    ...['status', 'audit', 'usage', 'verify'].map((name) => `  ${invocation(process.argv[1] ?? '', process.execPath, workingFolder())} ${name} --db ${shellWord(path)}`),
  ];
}

/** `undefined` where it has been deleted. */
function workingFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** How the reader started this program, to start it again: by its name, or as a file, with the Node that npx fetched. */
export function invocation(program: string, execPath: string, folder: string | undefined): string {
  if (basename(program) === 'shepherd-store') return program.includes('/node_modules/.bin/') ? 'npx shepherd-store' : 'shepherd-store';
  const file = folder === undefined ? program : relative(folder, program);
  const node = execPath.includes('/_npx/') ? `npx -y node@${process.versions.node.split('.')[0]}` : 'node';
  return `${node} ${shellWord(file.startsWith('..') ? program : file)}`;
}
