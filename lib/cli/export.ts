// The command export: a part of the store as CSV for spreadsheets, or as JSON lines for machines.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ModuleConnection } from '../core/door.ts';
import { connect } from '../store.ts';
import { didYouMean } from '../values/near-miss.ts';
import type { Args } from './args.ts';
import { type Command, dbOption, type Io, now, write } from './command.ts';
import { csvLine } from './csv.ts';
import { auditTable, type LogToRead, type Place } from './export-log.ts';
import { cooldownsTable, limitsTable, usageTable } from './export-rows.ts';
import { sessionsTable } from './export-sessions.ts';
import { type Asked, type Table, Unread } from './export-table.ts';
import { UsageError } from './failures.ts';
import { needed } from './left-out.ts';
import { openStore } from './store-path.ts';
import { count, json, painter, plain } from './text.ts';
import { tidyMemory } from './tidy-memory.ts';

/** What is exported, and which options it takes. */
interface Subject {
  takes: readonly ('days' | 'after' | 'archives')[];
  table(asked: AskedHere): Table<object> | Promise<Table<object>>;
}

interface AskedHere extends Asked {
  args: Args;
  io: Io;
}

const subjects: Record<string, Subject> = {
  audit: {
    takes: ['days', 'after', 'archives'],
    table: async (asked) => auditTable(...(await logOf(asked)), asked.range),
  },
  usage: { takes: ['days'], table: usageTable },
  sessions: {
    takes: ['days', 'archives'],
    table: async (asked) => sessionsTable(...(await logOf(asked)), asked.range),
  },
  cooldowns: { takes: [], table: cooldownsTable },
  limits: { takes: ['days'], table: limitsTable },
  runs: {
    takes: ['days'],
    table: async (asked) => (await needed('export runs', () => import('./export-runs.ts'))).runsTable(asked),
  },
  facts: {
    takes: [],
    table: async (asked) => (await needed('export facts', () => import('./export-facts.ts'))).factsTable(asked),
  },
  projects: {
    takes: [],
    table: async (asked) => {
      return (await needed('export projects', () => import('./export-projects.ts'))).projectsTable(asked);
    },
  },
};

/** `export`: writes a part of the store, oldest first. */
export const exportCommand: Command = {
  name: 'export',
  summary: 'Writes a part of the store as CSV or JSON lines',
  takes: ['SUBJECT'],
  options: {
    ...dbOption,
    format: { value: 'FORMAT', help: 'csv, for spreadsheets, or jsonl; csv by default' },
    from: { value: 'DAY', help: 'from this day on' },
    to: { value: 'DAY', help: 'up to this day' },
    after: { value: 'ID', help: 'only events behind this one (audit)' },
    archives: { value: 'DIR', help: 'the folder of its archives, read first (audit, sessions)' },
    json: { help: 'the same as --format jsonl, and errors as JSON too' },
  },
  words: { SUBJECT: Object.keys(subjects), FORMAT: ['csv', 'jsonl'] },
  notes: [
    `SUBJECT is one of ${Object.keys(subjects).slice(0, 4).join(', ')},`,
    `${Object.keys(subjects).slice(4).join(', ')}. Rows come oldest first, facts and projects by name.`,
    'DAY is YYYY-MM-DD, today or yesterday, in the local time zone (TZ): the day of',
    'an event, of usage or of a limit, or on which a session or a run began.',
    'CSV is UTF-8 with a header row and CRLF. Instants are ISO 8601 in UTC, durations',
    'are in ms and as h:mm:ss. An apostrophe keeps a spreadsheet from taking a text',
    'for a formula: one stands before it, and behind a semicolon, tab or line break',
    'in it. For machines take jsonl, which is exact.',
    'The service may be running. A row that cannot be read is told on stderr, or in',
    'its place in JSON, and the exit code is 1.',
  ],
  examples: [
    'export audit --db shepherdd.db > audit.csv',
    'export sessions --db shepherdd.db --archives archives --from 2026-11-01',
    'export audit --db shepherdd.db --format jsonl --after 5214',
  ],
  run: runExport,
};

async function runExport(args: Args, io: Io): Promise<number> {
  const subject = subjectOf(args);
  const format = formatOf(args);
  const range = { from: args.day('from', now(io)), to: args.day('to', now(io)) };
  if (range.from !== undefined && range.to !== undefined && range.from > range.to) {
    throw new UsageError(`--from ${range.from} is after --to ${range.to}`);
  }
  afterOf(args);
  using store = await openStore(args, io);
  const table = await subject.table({ args, io, store, range, now: now(io) });
  return await writeTable(io, table, format);
}

function subjectOf(args: Args): Subject {
  const [name = ''] = args.positionals;
  const subject = Object.hasOwn(subjects, name) ? subjects[name] : undefined;
  const names = Object.keys(subjects);
  if (!subject) {
    throw new UsageError(`SUBJECT must be one of ${names.join(', ')}, got "${name}"${suggestion(name, names)}`);
  }
  const options = { from: 'days', to: 'days', after: 'after', archives: 'archives' } as const;
  for (const [option, kind] of Object.entries(options)) {
    if (args.text(option) === undefined || subject.takes.includes(kind)) continue;
    const takers = names.filter((each) => subjects[each]!.takes.includes(kind));
    throw new UsageError(`--${option} is for ${takers.join(', ')}, and not for ${name}`);
  }
  return subject;
}

function suggestion(name: string, names: readonly string[]): string {
  const meant = didYouMean(name, names);
  return meant === undefined ? '' : `; ${meant}`;
}

type Format = 'csv' | 'jsonl';

function formatOf(args: Args): Format {
  const format = args.word<Format>('format', ['csv', 'jsonl']);
  if (!args.flag('json')) return format ?? 'csv';
  if (format === 'csv') throw new UsageError('--json is the same as --format jsonl, and does not go with --format csv');
  return 'jsonl';
}

function afterOf(args: Args): number | undefined {
  return args.integer('after', 0, Number.MAX_SAFE_INTEGER);
}

/** The log that a call names, and behind which row to begin. Says on stderr which events are left out. */
async function logOf({ args, io, store }: AskedHere): Promise<[log: LogToRead, after: Place]> {
  const door = connect(store);
  const folder = args.text('archives');
  const archived = folder === undefined ? undefined : await archivesOf(door, folder, args, io);
  const [beginning, lastId] = door.readTogether('read where the log begins and ends', () => {
    return [door.parts.log.beginning(), door.parts.log.head()?.id ?? 0];
  });
  const id = afterOf(args) ?? 0;
  const log: LogToRead = { door, lastId, archived };
  if (id > lastId) {
    tell(args, io, `there is no event ${count(id)}: the newest one is ${count(lastId)}`, { lastId });
  }
  if (archived || id >= beginning.id) return [log, { id, hash: undefined }];
  const told = `the events up to ${count(beginning.id)} are in archives: --archives DIR gives them too`;
  tell(args, io, told, { archivedId: beginning.id });
  return [log, beginning];
}

async function archivesOf(
  door: ModuleConnection, folder: string, args: Args, io: Io,
): Promise<LogToRead['archived']> {
  const { archivesIn } = await needed('--archives', () => import('./export-archives.ts'));
  return archivesIn(door, folder, {
    onForgotten: (id) => {
      tell(args, io, `the archives of the events up to ${count(id)} were deleted`, { forgottenId: id });
    },
    takesAfter: subjectOf(args).takes.includes('after'),
  });
}

/** Says something on stderr that is no error. */
function tell(args: Args, io: Io, text: string, document: object): void {
  io.stderr.write(`${args.flag('json') ? json(document) : painter(io.stderr)('dim', plain(text))}\n`);
}

// A pipe takes about as much at once.
const chunkCharacters = 16 * 1024;

async function writeTable(io: Io, table: Table<object>, format: Format): Promise<number> {
  // A terminal obeys some characters, which a file gets as they are.
  const shown = io.stdout.isTTY ? plain : undefined;
  const tidy = tidyMemory();
  let unread = 0;
  let text = format === 'csv' ? csvLine(table.columns) : '';
  for (const rows of table.pages) {
    io.signal?.throwIfAborted();
    for (const row of rows) {
      if (row instanceof Unread) unread++;
      if (format === 'jsonl') text += `${json(row instanceof Unread ? documentOf(row) : table.document(row))}\n`;
      else if (row instanceof Unread) io.stderr.write(unreadLine(io, row));
      else text += csvLine(table.cells(row), shown);
      if (text.length < chunkCharacters) continue;
      await write(io, text);
      text = '';
    }
    tidy();
    await nextTurn();
  }
  await write(io, text);
  return unread > 0 ? 1 : 0;
}

function documentOf({ key, error }: Unread): object {
  return { ...key, error };
}

function unreadLine(io: Io, { key, error: { code, message } }: Unread): string {
  const name = Object.entries(key).map(([field, value]) => `${field} ${String(value)}`).join(', ');
  return `${painter(io.stderr)('red', 'cannot be read:')} ${plain(`${name}: ${message}`)} (${code})\n`;
}
