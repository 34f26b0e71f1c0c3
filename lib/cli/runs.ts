// The commands for orchestration: runs, run.
import { type PlanUnit, type Run, type RunEvent, type RunStatus, RunStore } from '../modules/runs/runs.ts';
import { connect, type SqliteStore } from '../store.ts';
import { localDay } from '../values/days.ts';
import { hasCode, type StoreError } from '../values/errors.ts';
import type { JsonValue } from '../values/json.ts';
import { storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, print, printJson } from './command.ts';
import { attemptRow, errorLines, keyText, type RowError, unreadable } from './rows.ts';
import { openStore } from './store-path.ts';
import { clockTime, counted, duration, fit, instantText, lineWidth, nameRoom, painter, wrap } from './text.ts';

/** A row, or the error of one that cannot be read. */
type Row<T> = T | { error: RowError };

/** The rows up to a limit, and whether there are others. */
interface Page<T> {
  rows: Row<T>[];
  isMore: boolean;
}

/** Reads a page at once or, where a row of it cannot be read, row by row. */
function readEach<T extends object>(limit: number, page: (limit: number, offset: number) => T[]): Page<T> {
  // One row more than asked for shows whether there are others.
  const wholePage = attemptRow(() => page(limit + 1, 0));
  const rows: Row<T>[] = wholePage.value ?? readSingly(limit + 1, page);
  return { rows: rows.slice(0, limit), isMore: rows.length > limit };
}

function readSingly<T extends object>(limit: number, page: (limit: number, offset: number) => T[]): Row<T>[] {
  const rows: Row<T>[] = [];
  for (let lastMessage = ''; rows.length < limit; ) {
    const { value, error } = attemptRow(() => page(1, rows.length));
    // The same error twice is no error of a single row, so every further read would fail too.
    if (value?.length === 0 || error?.message === lastMessage) break;
    lastMessage = error?.message ?? '';
    rows.push(error ? { error } : value[0]!);
  }
  return rows;
}

const statuses: readonly RunStatus[] = ['pending', 'running', 'completed', 'failed', 'cancelled'];

/** `runs`: shows the newest runs. */
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
  words: { STATUS: statuses },
  notes: ['A run that cannot be read is shown as an error, and the exit code is 1.'],
  examples: ['runs --db store.db --status running'],
  run: async (args, io) => {
    const limit = args.integer('limit', 1, 1_000_000) ?? 20;
    const status = args.word('status', statuses);
    using store = await openStore(args, io);
    const runStore = new RunStore(store);
    const filter = status === undefined ? {} : { status };
    const { rows, isMore } = readEach(limit, (count, offset) => runStore.listRuns({ ...filter, limit: count, offset }));
    if (args.flag('json')) printJson(io, { runs: rows });
    else print(io, runsLines(io, rows, isMore));
    return rows.some(isUnread) ? 1 : 0;
  },
};

/** Whether a row could not be read. A run that was read may have an `error` as well, but that is a text. */
function isUnread<T extends object>(row: T): row is Extract<T, { error: RowError }> {
  return 'error' in row && typeof row.error === 'object';
}

function runsLines(io: Io, rows: readonly Row<Run>[], isMore: boolean): string[] {
  if (rows.length === 0) return ['No runs.'];
  const lines = rows.flatMap((row) => (isUnread(row) ? errorLines(io.stdout, [row]) : runLines(io, row)));
  return [...lines, ...limitLines(io, rows.length, isMore)];
}

/** Says that there are other rows, so that nobody takes the shown ones for all. */
function limitLines(io: Io, shown: number, isMore: boolean): string[] {
  if (!isMore) return [];
  const noneText = 'None of the events; --limit shows them.';
  const text = shown === 0 ? noneText : `No more than the newest ${shown}; --limit shows others.`;
  return ['', painter(io.stdout)('dim', text)];
}

const indent = ' '.repeat(11);

function runLines(io: Io, run: Run): string[] {
  const room = nameRoom(io.stdout, indent.length);
  const words = [fit(run.planPath, room), timeText(run), ...errorWords(run), ...valueWords('metadata', run.metadata)];
  const head = `${inColour(io, run.status, run.status.padEnd(9))}  ${fit(run.id, room)}`;
  return [head, ...wrap(words, lineWidth(io.stdout) - indent.length).map((line) => indent + line)];
}

const colours: Record<string, 'green' | 'red' | 'cyan' | 'yellow'> = {
  completed: 'green', failed: 'red', running: 'cyan', error: 'red', warning: 'yellow', info: 'green',
};

function inColour(io: Io, status: string, text: string): string {
  return painter(io.stdout)(colours[status] ?? 'dim', text);
}

/** When a run or a unit began and how long it took, as far as that is known. */
function timeText({ startedAt, completedAt, createdAt }: Run | PlanUnit): string {
  if (!startedAt) return completedAt ? `ended ${instantText(completedAt)}` : `created ${instantText(createdAt)}`;
  const started = `started ${instantText(startedAt)}`;
  // An end before the start shows that the clock was set back, so the difference would not be how long the run took.
  if (!completedAt || completedAt < startedAt) return started;
  return `${started}, took ${duration(completedAt.getTime() - startedAt.getTime())}`;
}

function errorWords({ error }: { error?: string }): string[] {
  return error === undefined ? [] : [`error: ${fit(error, 200)}`];
}

/** `run`: shows one run with its units and events. */
export const run: Command = {
  name: 'run',
  summary: 'Shows a run with its plan units and events as a tree',
  takes: ['ID'],
  options: {
    ...dbOption, limit: { value: 'N', help: 'how many events at most, the newest; 200 by default' }, ...jsonOption,
  },
  notes: [
    'Long values are cut; --json has them whole.', 'What cannot be read is shown as an error, and the exit code is 1.',
  ],
  examples: ['run deploy-17 --db store.db'],
  run: async (args, io) => {
    const limit = args.integer('limit', 0, 1_000_000) ?? 200;
    using store = await openStore(args, io);
    const runStore = new RunStore(store);
    const runRow = readRun(runStore, args.positionals[0]!);
    const units = readUnits(store, runStore, runRow.id);
    const { rows, isMore } = readEach(limit, (count, offset) => {
      return runStore.getRunEvents({ runId: runRow.id, limit: count, offset });
    });
    rows.reverse();
    const events = rows.filter((row): row is RunEvent => !isUnread(row));
    const unread = [runRow, ...units, ...rows].filter(isUnread);
    const errors = unread.map(({ error }) => error);
    if (args.flag('json')) printJson(io, { run: runRow, units, events, errors });
    else {
      const tree = treeLines(io, runRow, units, events);
      print(io, [...tree, ...errorLines(io.stdout, unread), ...limitLines(io, rows.length, isMore)]);
    }
    return errors.length > 0 ? 1 : 0;
  },
};

/** A run, or the error of one that cannot be read: its units and events are shown all the same. */
type RunRow = Run | { id: string; error: RowError };

/** Reads a run. Throws where there is none with this id, because then the call is wrong and the store is not. */
function readRun(runStore: RunStore, id: string): RunRow {
  try {
    return runStore.getRun(id);
  } catch (error) {
    if (!hasCode(error, 'ERR_STORE_CORRUPT')) throw error;
    const { code, message } = error as StoreError;
    return { id, error: { code, message } };
  }
}

/** A unit, or the error of one that cannot be read: its events are shown all the same. */
type UnitRow = PlanUnit | { id: string; error: RowError };

function readUnits(store: SqliteStore, runStore: RunStore, runId: string): UnitRow[] {
  const door = connect(store);
  const sql = 'SELECT id FROM plan_units WHERE run_id = ? ORDER BY position';
  const keys = door.read('list the plan units', () => door.prepare(sql).all(runId)) as unknown as [unknown][];
  return keys.map(([id]) => {
    const { value, error } = attemptRow(() => runStore.getPlanUnit(id as string));
    return value ?? { id: keyText(id), error };
  });
}

/** A part of the tree: a label in the colour of its status, words on as many lines as they need, and branches below. */
interface Branch {
  label: string;
  status: string;
  words: string[];
  below: Branch[];
}

function treeLines(io: Io, runRow: RunRow, units: readonly UnitRow[], events: readonly RunEvent[]): string[] {
  const day = isUnread(runRow) ? undefined : localDay(runRow.createdAt);
  const eventsByUnit = Map.groupBy(events, ({ planUnitId }) => planUnitId);
  const eventBranches = (planUnitId: string | undefined): Branch[] => {
    return (eventsByUnit.get(planUnitId) ?? []).map((event) => eventBranch(day, event));
  };
  const unitBranches = units.map((unit): Branch => {
    const below = eventBranches(unit.id);
    if (!isUnread(unit)) return { label: unit.status, status: unit.status, words: unitWords(io, unit), below };
    return { label: unreadable, status: 'error', words: [fit(unit.id, nameRoom(io.stdout))], below };
  });
  const head = isUnread(runRow)
    ? [`${inColour(io, 'error', unreadable)}  ${fit(runRow.id, nameRoom(io.stdout, 16))}`]
    : runLines(io, runRow);
  return [...head, ...branchLines(io, [...eventBranches(undefined), ...unitBranches], lineWidth(io.stdout))];
}

function branchLines(io: Io, branches: readonly Branch[], width: number): string[] {
  return branches.flatMap(({ label, status, words, below }, index) => {
    const isLast = index === branches.length - 1;
    const [first = '', ...rest] = wrap([label, ...words], width - 5);
    const wordLines = rest.map((line) => `${below.length > 0 ? '│ ' : '  '}${line}`);
    const linesBelow = [...wordLines, ...branchLines(io, below, width - 3)];
    const head = `${isLast ? '└─ ' : '├─ '}${inColour(io, status, label)}${first.slice(label.length)}`;
    return [head, ...linesBelow.map((line) => `${isLast ? '   ' : '│  '}${line}`)];
  });
}

function unitWords(io: Io, unit: PlanUnit): string[] {
  const name = (text: string): string => fit(text, nameRoom(io.stdout));
  const progress = [
    ...(unit.startedAt ?? unit.completedAt ? [timeText(unit)] : []),
    ...(unit.retries > 0 ? [counted(unit.retries, 'retry', 'retries')] : []),
    ...(unit.dependencies.length > 0 ? [`after ${unit.dependencies.map(name).join(', ')}`] : []),
  ];
  const words = [name(unit.id), unit.action, name(`${unit.resourceType}/${unit.resourceName}`), progress.join(', ')];
  return [...words.filter((word) => word !== ''), ...errorWords(unit), ...valueWords('diff', unit.diff)];
}

/** An event of a run. Its day is shown only where it is not `runDay`, the day of the run. */
function eventBranch(runDay: string | undefined, { timestamp, level, message, details }: RunEvent): Branch {
  const day = localDay(timestamp);
  const when = day === runDay ? clockTime(timestamp) : `${day} ${clockTime(timestamp)}`;
  const words = [fit(message, 400), ...valueWords('details', details)];
  return { label: `${when} ${level}`, status: level, words, below: [] };
}

function valueWords(name: string, value: JsonValue | undefined): string[] {
  if (value === undefined) return [];
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  return isEmpty ? [] : [`${name}=${fit(JSON.stringify(value), 200)}`];
}
