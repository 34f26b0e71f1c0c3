// The command demo, which plays a kiosk's day on a real file with a service process that is killed in the middle of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, extname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { localDay, SqliteStore } from '../index.ts';
import { attempt } from '../values/errors.ts';
import { makeTemporaryFolder } from '../values/folders.ts';
import { absolutePath } from '../values/paths.ts';
import type { Args } from './args.ts';
import { type Command, type Io, jsonOption, now, print, printJson } from './command.ts';
import { checkAcknowledged, type CheckResult } from './demo-check.ts';
import type { Acknowledged } from './demo-service.ts';
import { Failure, UsageError } from './failures.ts';
import { needed } from './left-out.ts';
import { cooldownLines, readCooldowns, readUsage, usageLines } from './rows.ts';
import { clockTime, count, counted, dayLabel, duration, painter, plain, shellWord } from './text.ts';

/** `demo`: shows that nothing acknowledged is lost when the service is killed. */
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

/** The pause between two steps of the service, with which the day takes about two seconds. */
const paceMs = 45;

async function runDemo(args: Args, io: Io): Promise<number> {
  await needed('the demo', () => import('../modules/sessions/sessions.ts')); // the service imports it
  const asJson = args.flag('json');
  const path = join(prepareFolder(args.positionals[0]), 'kiosk.db');
  const day = demoDay(now(io));
  const acknowledged: Acknowledged[] = [];
  if (!asJson) print(io, ['A kiosk\'s day, by a service process of its own, in', plain(path)]);
  const onStep = (step: Acknowledged): void => {
    if (!asJson) print(io, stepLines(io, step, acknowledged.at(-1)));
    acknowledged.push(step);
  };
  const killedPid = await runService(io, path, day, 'first', onStep);
  if (!asJson) {
    const signal = painter(io.stdout)(['red', 'bold'], 'SIGKILL');
    print(io, ['', `  ${signal} to the service (process ${killedPid}), in the middle of the session`, '']);
  }
  await runService(io, path, day, 'second', onStep);

  const end = acknowledged.at(-1)?.at ?? new Date(`${day}T08:00:00`);
  using store = SqliteStore.openReadOnly(path, { clock: () => end });
  const { lost, doubled } = checkAcknowledged(store, acknowledged);
  const chain = await store.verifyAudit();
  const found = acknowledged.length - lost.length;
  if (asJson) printJson(io, { path, acknowledged: acknowledged.length, found, lost, doubled, chain });
  else {
    const result = { lost, doubled, chainOk: chain.ok, events: chain.checked };
    print(io, resultLines(io, path, store, acknowledged, result));
  }
  return lost.length + doubled.length === 0 && chain.ok ? 0 : 1;
}

function prepareFolder(given: string | undefined): string {
  if (given === undefined) return attempt('make a folder', () => makeTemporaryFolder('shepherd-demo'));
  const folder = absolutePath(given);
  try {
    if (readdirSync(folder).length > 0) throw new UsageError(`${folder} is not empty: give a new or an empty folder`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new UsageError(`${folder} is not a folder that can be used: ${message}`);
  }
  return folder; // the store makes a missing folder, with access for its owner alone
}

/** The last day whose night is over too, so that the other commands find all of the demo in the past. */
function demoDay(at: Date): string {
  const day = new Date(at);
  day.setDate(day.getDate() - (at.getHours() < 1 ? 2 : 1));
  return localDay(day);
}

/** Runs the service until it ends or, in the first run, until it is killed. Gives its process id. */
async function runService(
  io: Io, path: string, day: string, which: 'first' | 'second', onStep: (step: Acknowledged) => void,
): Promise<number> {
  // The service has the extension of this file: .ts in the sources, and .js once both are compiled.
  const program = join(import.meta.dirname, `demo-service${extname(import.meta.filename)}`);
  const argv = [program, path, day, which, String(paceMs)];
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  const endsAsPlanned = new Promise<boolean>((settle, reject) => {
    child.once('error', reject).once('close', (code, signal) => settle(code === 0 || signal === 'SIGKILL'));
  });
  const abort = (): void => void child.kill('SIGKILL');
  io.signal?.addEventListener('abort', abort);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const step = parseStep(line);
      if (step) onStep(step);
      if (which === 'first' && step && isHalfWay(step)) killSoon(child);
    }
    if (!(await endsAsPlanned)) throw new Failure('the service of the demo ended by itself; what it said stands above');
  } finally {
    io.signal?.removeEventListener('abort', abort);
    abort();
  }
  io.signal?.throwIfAborted();
  return child.pid ?? 0;
}

/** The step in a line from the pipe. A line that the kill cut off acknowledges nothing, so it gives `undefined`. */
function parseStep(line: string): Acknowledged | undefined {
  const dateFields = ['at', 'deadline', 'cooldownUntil'];
  try {
    return JSON.parse(line, (key, value: unknown) => {
      return dateFields.includes(key) ? new Date(value as string) : value;
    }) as Acknowledged;
  } catch {
    return undefined;
  }
}

/** Whether a step is the one before the kill: the third session's touch half an hour after its start. */
function isHalfWay(step: Acknowledged): boolean {
  return step.op === 'touch' && clockTime(step.at) === '18:30:00';
}

/** Kills the service between this touch and the next, because a power cut does not wait for a good moment either. */
function killSoon(child: ChildProcess): void {
  setTimeout(() => child.kill('SIGKILL'), paceMs / 2);
}

function stepLines(io: Io, step: Acknowledged, before: Acknowledged | undefined): string[] {
  const paint = painter(io.stdout);
  const day = localDay(step.at);
  const line = `  ${hourAndMinute(step.at)}  ${describe(step)}`;
  const isNewDay = before === undefined || localDay(before.at) !== day;
  const colours: Partial<Record<Acknowledged['op'], 'dim' | 'green'>> = { touch: 'dim', recover: 'green' };
  const colour = colours[step.op];
  return [...(isNewDay ? ['', paint('bold', dayLabel(day))] : []), colour ? paint(colour, line) : line];
}

function describe(step: Acknowledged): string {
  switch (step.op) {
    case 'start': return `${step.entryId} starts, until ${hourAndMinute(step.deadline)}`;
    case 'touch': return `${step.entryId} runs, ${duration(step.elapsedMs)} so far`;
    case 'end': {
      const ending = `${step.entryId} ends (${step.reason.type}) after ${duration(step.durationMs)}`;
      return `${ending}, cooldown until ${hourAndMinute(step.cooldownUntil!)}`;
    }
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

function hourAndMinute(instant: Date): string {
  return clockTime(instant).slice(0, 5);
}

function resultLines(
  io: Io, path: string, store: SqliteStore, acknowledged: readonly Acknowledged[],
  result: CheckResult & { chainOk: boolean; events: number },
): string[] {
  const paint = painter(io.stdout);
  const { lost, doubled, chainOk, events } = result;
  const [total, found] = [acknowledged.length, acknowledged.length - lost.length];
  const chargedText = doubled.length === 0 ? 'each once' : paint('red', `${count(doubled.length)} twice`);
  const chainText = chainOk ? 'every hash fits' : paint('red', 'the chain is broken');
  const verdict = `acknowledged ${count(total)}, found ${count(found)}, lost ${count(lost.length)}`;
  const sessions = acknowledged.filter(({ op }) => op === 'end' || op === 'recover').length;
  const firstAt = acknowledged[0]?.at ?? new Date(0);
  const lastAt = acknowledged.at(-1)?.at ?? new Date(0);
  const rows = readUsage(store, localDay(firstAt), localDay(lastAt));
  const longestMs = Math.max(0, ...rows.map(({ durationMs = 0 }) => durationMs));
  const usageOfDays = [...Map.groupBy(rows, ({ day }) => day)].flatMap(([day, dayRows]) => {
    const lines = usageLines(io.stdout, dayRows, longestMs);
    return ['', paint('bold', `Usage, ${dayLabel(day)}`), ...lines];
  });
  const program = invocation(process.argv[1] ?? '', process.execPath, workingFolder());
  return [
    '', paint('bold', 'What is in the store'), '',
    `  ${paint(lost.length === 0 ? 'green' : 'red', verdict)}`,
    ...lost.map((step) => `    ${paint('red', 'lost')}: ${hourAndMinute(step.at)} ${describe(step)}`),
    `  ${counted(sessions, 'session')} charged, ${chargedText}`,
    `  ${counted(events, 'event')} in the log, ${chainText}`,
    ...usageOfDays,
    '', paint('bold', 'Cooldowns as the day ends'), ...cooldownLines(io.stdout, readCooldowns(store, lastAt), lastAt),
    '', 'The folder is kept. Look into it:',
    ...['status', 'audit', 'usage', 'verify'].map((name) => `  ${program} ${name} --db ${shellWord(path)}`),
  ];
}

/** The folder in which the process works; `undefined` where it has been deleted. */
function workingFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** The command line that starts this program again as it was started: by its name, or as a file by Node or npx. */
export function invocation(program: string, execPath: string, folder: string | undefined): string {
  if (basename(program) === 'shepherd-store') {
    return program.includes('/node_modules/.bin/') ? 'npx shepherd-store' : 'shepherd-store';
  }
  const file = folder === undefined ? program : relative(folder, program);
  const node = execPath.includes('/_npx/') ? `npx -y node@${process.versions.node.split('.')[0]}` : 'node';
  return `${node} ${shellWord(file.startsWith('..') ? program : file)}`;
}
