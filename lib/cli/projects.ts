// The commands for projects: projects, due.
import { type DueTask, type Project, ProjectStore } from '../modules/projects/projects.ts';
import { projectOf } from '../modules/projects/rows.ts';
import { connect, type SqliteStore } from '../store.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { attemptRow, errorLines, keyText, type RowError, unreadable } from './rows.ts';
import { openStore } from './store-path.ts';
import { ago, columnWidth, counted, fit, nameColumn, nameRoom, pad, painter } from './text.ts';
import { parseSpan } from './times.ts';

/** `projects`: shows what is known of each project. */
export const projects: Command = {
  name: 'projects',
  summary: 'Shows the projects, their last runs and who claims them',
  takes: [storeFile],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'The last run is the last successful one. A claim ends with it, or is given back.',
    'A project that cannot be read is shown as such, and the exit code is 1.',
  ],
  examples: ['projects --db nightly.db'],
  run: async (args, io) => {
    using store = await openStore(args, io);
    const rows = readProjects(store);
    const errors = errorLines(io.stdout, rows.filter((row) => 'error' in row));
    if (args.flag('json')) printJson(io, { now: now(io), projects: rows });
    else if (rows.length === 0) print(io, ['No projects.']);
    else print(io, [...rows.flatMap((row) => projectLines(io, row)), ...(errors.length > 0 ? ['', ...errors] : [])]);
    return errors.length > 0 ? 1 : 0;
  },
};

type ProjectRow = Project | { path: string; error: RowError };

/** Reads each project by itself, so that one that cannot be read hides no other. */
function readProjects(store: SqliteStore): ProjectRow[] {
  const door = connect(store);
  const sql = 'SELECT path FROM projects ORDER BY path';
  const keys: unknown = door.read('list the projects', () => door.prepare(sql).all());
  return (keys as [unknown][]).flatMap(([path]): ProjectRow[] => {
    const { value, error } = attemptRow(() => door.read('read the project', () => projectOf(door, path as string)));
    if (error) return [{ path: keyText(path), error }];
    return value ? [value] : [];
  });
}

function projectLines(io: Io, row: ProjectRow): string[] {
  const paint = painter(io.stdout);
  const title = fit(row.path, nameRoom(io.stdout));
  if ('error' in row) return [title, `    ${paint('red', unreadable)}`];
  const { lastRunAt, runCount, claimedAt } = row;
  const age = (at: Date): string => ago(now(io).getTime() - at.getTime());
  const run = lastRunAt ? `${counted(runCount, 'run')}, the last ${age(lastRunAt)}` : 'never run';
  return [title, `    ${paint('dim', run)}${claimedAt ? ` · ${paint('yellow', `claimed ${age(claimedAt)}`)}` : ''}`];
}

/** `due`: shows which tasks are due in which projects. */
export const due: Command = {
  name: 'due',
  summary: 'Shows which tasks are due where, the most stale first',
  takes: ['TASKTYPE=INTERVAL…'],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'INTERVAL is a whole number and its unit: 90s, 30m, 24h, 7d, 2w. Staleness is the',
    'time since the start of the last run over the interval, of which one of a day or',
    'more is full an hour early: a task is due from 1.00 on, and where it was never',
    'done. In JSON such a task has no staleness.',
  ],
  examples: ['due --db nightly.db lint=24h docs=7d'],
  run: async (args, io) => {
    const intervals = intervalsOf(args);
    using store = await openStore(args, io);
    const tasks = new ProjectStore(store).due({ intervals });
    if (args.flag('json')) printJson(io, { now: now(io), due: tasks.map(withoutInfinity) });
    else print(io, tasks.length === 0 ? ['Nothing is due.'] : dueLines(io, tasks));
    return 0;
  },
};

/** A task that was never done has an infinite staleness, which JSON cannot hold, so the field is left out. */
function withoutInfinity({ staleness, ...task }: DueTask): Omit<DueTask, 'staleness'> & { staleness?: number } {
  return Number.isFinite(staleness) ? { ...task, staleness } : task;
}

function intervalsOf(args: Args): Record<string, number> {
  const pairs = args.positionals.map((text): [string, number] => {
    const [, taskType, span = ''] = /^(.+)=([^=]*)$/s.exec(text) ?? [];
    const ms = parseSpan(span);
    if (taskType !== undefined && ms !== undefined) return [taskType, ms];
    const examples = 'lint=24h, docs=7d or poll=30m';
    throw new UsageError(`"${text}" must be a type of task and an interval, such as ${examples}`);
  });
  const types = pairs.map(([taskType]) => taskType);
  const repeated = pairs.find(([taskType], index) => types.indexOf(taskType) < index);
  if (repeated) throw new UsageError(`${repeated[0]} has two intervals`);
  return Object.fromEntries(pairs);
}

// The longest type of task leaves at least this many columns of the line for the path.
const shortestPath = 20;

function dueLines(io: Io, tasks: readonly DueTask[]): string[] {
  const paint = painter(io.stdout);
  const times = (staleness: number): string => {
    return Number.isFinite(staleness) ? `${staleness.toFixed(2)} ×` : 'never done';
  };
  const timesWidth = columnWidth(tasks.map(({ staleness }) => times(staleness)), 20);
  const types = nameColumn(io.stdout, tasks.map(({ taskType }) => taskType), timesWidth + 4 + shortestPath);
  return tasks.map(({ path, taskType, staleness }) => {
    const left = `${pad(times(staleness), timesWidth, true)}  ${types.cell(taskType)}  `;
    return `${paint('yellow', left)}${fit(path, nameRoom(io.stdout, timesWidth + types.width + 4))}`;
  });
}
