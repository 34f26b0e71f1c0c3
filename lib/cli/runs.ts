// The commands for orchestration: runs, run.
import { localDay } from '../days.ts';
import { hasCode } from '../errors.ts';
import type { StoreError } from '../errors.ts';
import { RunStore } from '../modules/runs.ts';
import type { PlanUnit, Run, RunEvent, RunStatus } from '../modules/runs.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import type { JsonValue } from '../values.ts';
import { storeFile } from './args.ts';
import { dbOption, jsonOption, print, printJson } from './command.ts';
import type { Command, Io } from './command.ts';
import { attemptRow, errorLines, keyText } from './rows.ts';
import type { RowError } from './rows.ts';
import { openStore } from './store-path.ts';
import { clockTime, counted, duration, fit, instantText, lineWidth, nameRoom, painter, wrap } from './text.ts';

/** What was read, or why it cannot be. */
type Row<T> = T | { error: RowError };

/** What was read up to a limit, and whether there is more. */
interface Page<T> {
  rows: Row<T>[];
  isMore: boolean;
}

/** A page, or, where a row of it cannot be read, each row by itself. */
function readEach<T extends object>(limit: number, page: (limit: number, offset: number) => T[]): Page<T> {
  // One more than asked for tells whether there are others.
  const whole = attemptRow(() => page(limit + 1, 0));
  const rows: Row<T>[] = whole.value ?? readSingly(limit + 1, page);
  return { rows: rows.slice(0, limit), isMore: rows.length > limit };
}

function readSingly<T extends object>(limit: number, page: (limit: number, offset: number) => T[]): Row<T>[] {
  const rows: Row<T>[] = [];
  for (let last = ''; rows.length < limit; ) {
    const { value, error } = attemptRow(() => page(1, rows.length));
    // The same error again is not about a row.
    if (value?.length === 0 || error?.message === last) break;
    last = error?.message ?? '';
    rows.push(error ? { error } : value[0]!);
  }
  return rows;
}

const statuses: readonly RunStatus[] = ['pending', 'running', 'completed', 'failed', 'cancelled'];

/** `runs`: the newest runs. */
export const runs: Command = {
  name: 'runs',
  summary: 'Shows the newest runs, newest first',
  takes: [storeFile],
  options: {
    ...dbOption,
    status: { value: 'STATUS', help: `only these: ${statuses.join(', ')}` },
    limit: { value: 'N', help: 'how many at most; 20 by default' },
    ...jsonOption,
  },
  notes: ['A run that cannot be read is shown as an error, and the exit code is 1.'],
  examples: ['runs --db store.db --status running'],
  run: (args, io) => {
    const limit = args.integer('limit', 1, 1_000_000) ?? 20;
    const status = args.word('status', statuses);
    using store = openStore(args, io);
    const found = new RunStore(store);
    const { rows, isMore } = readEach(limit, (count, offset) => found.listRuns({ ...(status === undefined ? undefined : { status }), limit: count, offset }));
    if (args.flag('json')) printJson(io, { runs: rows });
    else print(io, runsLines(io, rows, isMore));
    return rows.some(isUnread) ? 1 : 0;
  },
};

/** A run has an `error` too: its text. */
function isUnread<T extends object>(row: T): row is Extract<T, { error: RowError }> {
  return 'error' in row && typeof row.error === 'object';
}

function runsLines(io: Io, rows: readonly Row<Run>[], isMore: boolean): string[] {
  if (rows.length === 0) return ['No runs.'];
  const lines = rows.flatMap((row) => (isUnread(row) ? errorLines(io.stdout, [row]) : runLines(io, row)));
  return [...lines, ...limitLines(io, rows.length, isMore)];
}

/** Nobody should take a part for the whole. */
function limitLines(io: Io, shown: number, isMore: boolean): string[] {
  if (!isMore) return [];
  return ['', painter(io.stdout)('dim', shown === 0 ? 'None of the events; --limit shows them.' : `No more than the newest ${shown}; --limit shows others.`)];
}

const indent = ' '.repeat(11);

function runLines(io: Io, run: Run): string[] {
  const words = [fit(run.planPath, nameRoom(io.stdout, indent.length)), timeText(run), ...errorWords(run), ...valueWords('metadata', run.metadata)];
  const head = `${inColour(io, run.status, run.status.padEnd(9))}  ${fit(run.id, nameRoom(io.stdout, indent.length))}`;
  return [head, ...wrap(words, lineWidth(io.stdout) - indent.length).map((line) => indent + line)];
}

const colours: Record<string, 'green' | 'red' | 'cyan' | 'yellow'> = {
  completed: 'green', failed: 'red', running: 'cyan', error: 'red', warning: 'yellow', info: 'green',
};

function inColour(io: Io, status: string, text: string): string {
  return painter(io.stdout)(colours[status] ?? 'dim', text);
}

/** When it began and how long it took, as far as that is known. */
function timeText({ startedAt, completedAt, createdAt }: Run | PlanUnit): string {
  if (!startedAt) return completedAt ? `ended ${instantText(completedAt)}` : `created ${instantText(createdAt)}`;
  const started = `started ${instantText(startedAt)}`;
  // A clock that was set back between the two says nothing of how long it took.
  return completedAt && completedAt >= startedAt ? `${started}, took ${duration(completedAt.getTime() - startedAt.getTime())}` : started;
}

function errorWords({ error }: { error?: string }): string[] {
  return error === undefined ? [] : [`error: ${fit(error, 200)}`];
}

/** `run`: one run with its units and events. */
export const run: Command = {
  name: 'run',
  summary: 'Shows a run with its plan units and events as a tree',
  takes: ['ID'],
  options: { ...dbOption, limit: { value: 'N', help: 'how many events at most, the newest; 200 by default' }, ...jsonOption },
  notes: ['Long values are cut; --json has them whole.', 'What cannot be read is shown as an error, and the exit code is 1.'],
  examples: ['run deploy-17 --db store.db'],
  run: (args, io) => {
    const limit = args.integer('limit', 0, 1_000_000) ?? 200;
    using store = openStore(args, io);
    const found = new RunStore(store);
    const itself = readRun(found, args.positionals[0]!);
    const units = readUnits(store, found, itself.id);
    const { rows, isMore } = readEach(limit, (count, offset) => found.getRunEvents({ runId: itself.id, limit: count, offset }));
    rows.reverse();
    const events = rows.filter((row): row is RunEvent => !isUnread(row));
    const errors = [itself, ...units, ...rows].filter(isUnread).map(({ error }) => error);
    if (args.flag('json')) printJson(io, { run: itself, units, events, errors });
    else print(io, [...treeLines(io, itself, units, events), ...errorLines(io.stdout, errors.map((error) => ({ error }))), ...limitLines(io, rows.length, isMore)]);
    return errors.length > 0 ? 1 : 0;
  },
};

/** A run, or the place of one that cannot be read: what hangs below it is shown all the same. */
type RunRow = Run | { id: string; error: RowError };

/** One that is not there is an error of whoever asked. */
function readRun(found: RunStore, id: string): RunRow {
  try {
    return found.getRun(id);
  } catch (error) {
    if (!hasCode(error, 'ERR_STORE_CORRUPT')) throw error;
    const { code, message } = error as StoreError;
    return { id, error: { code, message } };
  }
}

/** A unit, or the place of one that cannot be read: its events hang there all the same. */
type UnitRow = PlanUnit | { id: string; error: RowError };

function readUnits(store: SqliteStore, found: RunStore, runId: string): UnitRow[] {
  const door = connect(store);
  const sql = 'SELECT id FROM plan_units WHERE run_id = ? ORDER BY position';
  const keys = door.read('list the plan units', () => door.prepare(sql).all(runId)) as unknown as [unknown][];
  return keys.map(([id]) => {
    const { value, error } = attemptRow(() => found.getPlanUnit(id as string));
    return value ?? { id: keyText(id), error };
  });
}

/** A part of the tree: a label in colour, words for as many lines as they need, and what hangs below. */
interface Branch {
  label: string;
  status: string;
  words: string[];
  below: Branch[];
}

function treeLines(io: Io, itself: RunRow, units: readonly UnitRow[], events: readonly RunEvent[]): string[] {
  const day = isUnread(itself) ? undefined : localDay(itself.createdAt);
  const of = Map.groupBy(events, ({ planUnitId }) => planUnitId);
  const leaves = (planUnitId: string | undefined): Branch[] => (of.get(planUnitId) ?? []).map((event) => eventBranch(day, event));
  const branches = [...leaves(undefined), ...units.map((unit): Branch => {
    if (isUnread(unit)) return { label: 'cannot be read', status: 'error', words: [fit(unit.id, nameRoom(io.stdout))], below: leaves(unit.id) };
    return { label: unit.status, status: unit.status, words: unitWords(io, unit), below: leaves(unit.id) };
  })];
  const head = isUnread(itself) ? [`${inColour(io, 'error', 'cannot be read')}  ${fit(itself.id, nameRoom(io.stdout, 16))}`] : runLines(io, itself);
  return [...head, ...hang(io, branches, lineWidth(io.stdout))];
}

function hang(io: Io, branches: readonly Branch[], width: number): string[] {
  return branches.flatMap(({ label, status, words, below }, index) => {
    const isLast = index === branches.length - 1;
    const [first = '', ...rest] = wrap([label, ...words], width - 5);
    const under = [...rest.map((line) => `${below.length > 0 ? '│ ' : '  '}${line}`), ...hang(io, below, width - 3)];
    const head = `${isLast ? '└─ ' : '├─ '}${inColour(io, status, label)}${first.slice(label.length)}`;
    return [head, ...under.map((line) => `${isLast ? '   ' : '│  '}${line}`)];
  });
}

function unitWords(io: Io, unit: PlanUnit): string[] {
  const name = (text: string): string => fit(text, nameRoom(io.stdout));
  const course = [
    ...(unit.startedAt ?? unit.completedAt ? [timeText(unit)] : []),
    ...(unit.retries > 0 ? [counted(unit.retries, 'retry', 'retries')] : []),
    ...(unit.dependencies.length > 0 ? [`after ${unit.dependencies.map(name).join(', ')}`] : []),
  ];
  const words = [name(unit.id), unit.action, name(`${unit.resourceType}/${unit.resourceName}`), course.join(', ')];
  return [...words.filter((word) => word !== ''), ...errorWords(unit), ...valueWords('diff', unit.diff)];
}

/** `runDay`: the day of the run, which its events do not repeat. */
function eventBranch(runDay: string | undefined, { timestamp, level, message, details }: RunEvent): Branch {
  const day = localDay(timestamp);
  const when = day === runDay ? clockTime(timestamp) : `${day} ${clockTime(timestamp)}`;
  return { label: `${when} ${level}`, status: level, words: [fit(message, 400), ...valueWords('details', details)], below: [] };
}

function valueWords(name: string, value: JsonValue | undefined): string[] {
  const isEmpty = value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
  return isEmpty ? [] : [`${name}=${fit(JSON.stringify(value), 200)}`];
}
