// The command audit: the newest events, or those that are looked for.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { endOf, matchingRows, pageUpTo } from '../audit-filter.ts';
import type { LogReader, Page, SearchFilter } from '../audit-filter.ts';
import { decodeEvent } from '../events.ts';
import type { AuditRow as StoredRow } from '../events.ts';
import { didYouMean } from '../near-miss.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import { storeFile } from './args.ts';
import type { Args } from './args.ts';
import { AuditTable } from './audit-lines.ts';
import type { AuditRow } from './audit-lines.ts';
import { dbOption, now, print, write } from './command.ts';
import type { Command, Io } from './command.ts';
import { UsageError } from './failures.ts';
import { attemptRow } from './rows.ts';
import { openStore } from './store-path.ts';
import { json, painter, plain } from './text.ts';
import { addDays, midnight } from './times.ts';

/** `audit`: the newest events. */
export const audit: Command = {
  name: 'audit',
  summary: 'Shows the newest events of the audit log, newest first',
  takes: [storeFile],
  options: {
    ...dbOption,
    limit: { value: 'N', help: 'how many at most; 20 by default' },
    type: { value: 'TYPE', help: 'only events of this type, such as session_ended' },
    entry: { value: 'ID', help: 'only events that name this entry in any field' },
    session: { value: 'ID', help: 'only events of this session; how it begins will do' },
    source: { value: 'TEXT', help: 'only events that this one caused' },
    target: { value: 'TEXT', help: 'only events that concern this one' },
    day: { value: 'DAY', help: 'only events of this day' },
    since: { value: 'WHEN', help: 'only events from this time on' },
    until: { value: 'WHEN', help: 'only events before this time' },
    'before-id': { value: 'ID', help: 'only events before this one: the next page' },
    json: { help: 'JSON lines, for machines: an event a line' },
  },
  notes: [
    'DAY is YYYY-MM-DD, today or yesterday. WHEN is a day, which begins at midnight,',
    'a local time or an instant: 2026-11-21, 2026-11-21T18:30,',
    '2026-11-21T18:30:00+01:00; or how long ago: 90s, 30m, 2h, 7d, 2w. Times are',
    'shown in the local time zone (TZ).',
    'Long values are cut; --json has them whole, and the event ids.',
    'An event that cannot be read is shown as an error, and the exit code is 1.',
  ],
  examples: ['audit --db shepherdd.db --type launch_denied --since yesterday', 'audit shepherdd.db --entry minecraft --since 2h'],
  run: runAudit,
};

async function runAudit(args: Args, io: Io): Promise<number> {
  const given = filterOf(args, now(io));
  const limit = args.integer('limit', 1, 1_000_000) ?? 20;
  using store = openStore(args, io);
  const reader = readerOf(store);
  const filter = await sessionIn(reader, given, io.signal);
  const table = new AuditTable(io);
  let [shown, unread] = [0, 0];
  for await (const rows of search(reader, limit, filter, io.signal)) {
    await write(io, args.flag('json') ? rows.map((row) => `${json(row)}\n`).join('') : table.add(rows));
    shown += rows.length;
    unread += rows.filter((row) => 'error' in row).length;
  }
  if (args.flag('json')) return unread > 0 ? 1 : 0;
  if (shown === 0) print(io, nothingLines(io, args, reader));
  else if (shown === limit && table.lastId > 1) print(io, ['', painter(io.stdout)('dim', `Older events: --before-id ${table.lastId}`)]);
  return unread > 0 ? 1 : 0;
}

/** Throws `UsageError` for a filter that can match nothing. */
function filterOf(args: Args, now: Date): SearchFilter {
  const day = args.day('day', now);
  const [since, until] = [args.instant('since', now), args.instant('until', now)];
  if (day !== undefined && (since ?? until)) throw new UsageError('--day does not go with --since and --until: give one of them');
  if (since && until && since >= until) throw new UsageError(`no event is from ${args.text('since')} on and before ${args.text('until')}: --since must be before --until`);
  const given = {
    type: args.text('type'), source: args.text('source'), target: args.text('target'),
    entryId: args.text('entry'), sessionPrefix: args.text('session'),
    since: day === undefined ? since : midnight(day), until: day === undefined ? until : midnight(addDays(day, 1)),
    beforeId: args.integer('before-id', 1, Number.MAX_SAFE_INTEGER),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function readerOf(store: SqliteStore): LogReader {
  const door = connect(store);
  return {
    read: door.read,
    all: <Row extends readonly unknown[]>(sql: string, ...values: (string | number | bigint | null)[]): Row[] => {
      return door.prepare(sql).all(...values) as unknown as Row[];
    },
  };
}

/** A session that has exactly the id that was given is meant, and not those whose ids are longer. */
async function sessionIn(reader: LogReader, filter: SearchFilter, signal: AbortSignal | undefined): Promise<SearchFilter> {
  const { sessionPrefix, ...others } = filter;
  if (sessionPrefix === undefined) return filter;
  for await (const rows of search(reader, 1, { sessionId: sessionPrefix }, signal)) {
    if (rows.some((row) => !('error' in row))) return { ...others, sessionId: sessionPrefix };
  }
  return filter;
}

/**
 * The events that match, newest first, a page at a time as `findAudits` goes; but one that cannot be read is there as an
 * error, and hides no other.
 */
async function* search(reader: LogReader, limit: number, filter: SearchFilter, signal: AbortSignal | undefined): AsyncGenerator<AuditRow[]> {
  let left = limit;
  let page = readPage(reader, endOf(filter));
  while (page && left > 0) {
    signal?.throwIfAborted();
    const rows = rowsOf(reader, filter, page, left);
    if (rows.length > 0) yield rows;
    left -= rows.length;
    await nextTurn();
    page = readPage(reader, page.from - 1);
  }
}

function readPage(reader: LogReader, to: Page['to'], rows?: number): Page | undefined {
  return reader.read('find events', () => pageUpTo(reader, to, rows));
}

function rowsOf(reader: LogReader, filter: SearchFilter, page: Page, limit: number): AuditRow[] {
  const read = attemptRow(() => reader.read('read events', () => matchingRows(reader, filter, page, limit)));
  if (read.value) return read.value.map(eventIn);
  const rows: AuditRow[] = [];
  for (let to = page.to; rows.length < limit; ) {
    const one = readPage(reader, to, 1);
    if (!one || one.from < page.from) break;
    const { value, error } = attemptRow(() => reader.read('read events', () => matchingRows(reader, filter, one)));
    // Nobody can say whether what cannot be read would match the filter.
    rows.push(...(error ? [{ id: one.from, error }] : value.map(eventIn)));
    to = one.from - 1;
  }
  return rows;
}

function eventIn(row: StoredRow): AuditRow {
  const { value, error } = attemptRow(() => decodeEvent(row));
  return value ?? { id: row[0], error: error! };
}

/** What is said where nothing was found: what was looked for, and the word that was meant. */
function nothingLines(io: Io, args: Args, reader: LogReader): string[] {
  const names = ['type', 'entry', 'session', 'source', 'target', 'day', 'since', 'until', 'before-id'];
  const given = names.filter((name) => args.text(name) !== undefined);
  if (given.length === 0) return ['No events.'];
  const words = given.map((name) => `--${name} ${args.text(name)}`).join(' ');
  const meant = [
    wordMeant(reader, args.text('type'), 'SELECT DISTINCT event_type FROM audit_log'),
    wordMeant(reader, args.text('entry'), 'SELECT entry_id FROM usage UNION SELECT entry_id FROM cooldowns'),
  ].filter((line) => line !== undefined);
  return [`No event matches ${plain(words)}.`, ...meant.map((line) => painter(io.stdout)('yellow', plain(line)))];
}

/** The known word that is near to one that no row has. */
function wordMeant(reader: LogReader, given: string | undefined, sql: string): string | undefined {
  if (given === undefined) return undefined;
  const known = reader.read('look for what was meant', () => reader.all<[unknown]>(sql)).map(([word]) => String(word));
  const meant = known.includes(given) ? undefined : didYouMean(given, known);
  return meant && `Nothing has "${given}"; ${meant}`;
}
