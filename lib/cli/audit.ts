// The command audit, which shows the newest events or the newest that match a filter.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AuditRow as StoredRow, decodeEvent } from '../core/events.ts';
import { endOf, type LogReader, matchingRows, type Page, pageUpTo, type SearchFilter } from '../reading/filter.ts';
import { connect } from '../store.ts';
import { didYouMean } from '../values/near-miss.ts';
import { type Args, storeFile } from './args.ts';
import { type AuditRow, AuditTable } from './audit-lines.ts';
import { type Command, dbOption, type Io, now, print, write } from './command.ts';
import { UsageError } from './failures.ts';
import { attemptRow } from './rows.ts';
import { openStore } from './store-path.ts';
import { count, json, painter, plain } from './text.ts';
import { addDays, midnight } from './times.ts';

/** `audit`: shows the newest events that match a filter. */
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
  examples: [
    'audit --db shepherdd.db --type launch_denied --since yesterday', 'audit shepherdd.db --entry minecraft --since 2h',
  ],
  run: runAudit,
};

async function runAudit(args: Args, io: Io): Promise<number> {
  const optionFilter = filterOf(args, now(io));
  const limit = args.integer('limit', 1, 1_000_000) ?? 20;
  using store = await openStore(args, io);
  const reader = connect(store);
  const filter = await preferExactSession(reader, optionFilter, io.signal);
  const table = new AuditTable(io);
  let [shown, unreadable] = [0, 0];
  for await (const rows of search(reader, limit, filter, io.signal)) {
    await write(io, args.flag('json') ? rows.map((row) => `${json(row)}\n`).join('') : table.add(rows));
    shown += rows.length;
    unreadable += rows.filter((row) => 'error' in row).length;
  }
  if (args.flag('json')) return unreadable > 0 ? 1 : 0;
  const archivedId = reader.read('read where the log begins', () => reader.parts.log.beginning().id);
  if (shown === 0) print(io, noMatchLines(io, args, reader));
  else if (shown === limit && table.lastId > archivedId + 1) {
    print(io, ['', painter(io.stdout)('dim', `Older events: --before-id ${table.lastId}`)]);
  }
  // Who has seen the oldest events, or finds none, has to know that there were others.
  if (shown < limit && archivedId > 0) print(io, ['', painter(io.stdout)('dim', archivedText(archivedId))]);
  return unreadable > 0 ? 1 : 0;
}

function archivedText(id: number): string {
  return `The events up to ${count(id)} are in archives, where this does not look.`;
}

/** The filter that the options give. Throws `UsageError` where it can match nothing. */
function filterOf(args: Args, now: Date): SearchFilter {
  const day = args.day('day', now);
  const [since, until] = [args.instant('since', now), args.instant('until', now)];
  if (day !== undefined && (since ?? until)) {
    throw new UsageError('--day does not go with --since and --until: give one of them');
  }
  if (since && until && since >= until) {
    const range = `from ${args.text('since')} on and before ${args.text('until')}`;
    throw new UsageError(`no event is ${range}: --since must be before --until`);
  }
  const filter = {
    type: args.text('type'), source: args.text('source'), target: args.text('target'),
    entryId: args.text('entry'), sessionPrefix: args.text('session'),
    since: day === undefined ? since : midnight(day), until: day === undefined ? until : midnight(addDays(day, 1)),
    beforeId: args.integer('before-id', 1, Number.MAX_SAFE_INTEGER),
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}

/** Where a session has exactly the given id, the filter matches that session alone and none with a longer id. */
async function preferExactSession(
  reader: LogReader, filter: SearchFilter, signal: AbortSignal | undefined,
): Promise<SearchFilter> {
  const { sessionPrefix, ...otherFilters } = filter;
  if (sessionPrefix === undefined) return filter;
  // A damaged row matches every filter, so the first match is not enough.
  for await (const rows of search(reader, Number.MAX_SAFE_INTEGER, { sessionId: sessionPrefix }, signal)) {
    if (rows.some((row) => !('error' in row))) return { ...otherFilters, sessionId: sessionPrefix };
  }
  return filter;
}

/**
 * The matching events, newest first and a page at a time as in `findAudits`. A row that cannot be read is given as an
 * error, so that it hides no other row.
 */
async function* search(
  reader: LogReader, limit: number, filter: SearchFilter, signal: AbortSignal | undefined,
): AsyncGenerator<AuditRow[]> {
  let remaining = limit;
  let page = readPage(reader, endOf(filter));
  while (page && remaining > 0) {
    signal?.throwIfAborted();
    const rows = rowsOf(reader, filter, page, remaining);
    if (rows.length > 0) yield rows;
    remaining -= rows.length;
    await nextTurn();
    page = readPage(reader, page.from - 1);
  }
}

function readPage(reader: LogReader, to: Page['to'], rows?: number): Page | undefined {
  return reader.read('find events', () => pageUpTo(reader, to, rows));
}

function rowsOf(reader: LogReader, filter: SearchFilter, page: Page, limit: number): AuditRow[] {
  const wholePage = attemptRow(() => reader.read('read events', () => matchingRows(reader, filter, page, limit)));
  if (wholePage.value) return wholePage.value.map(decodeRow);
  const rows: AuditRow[] = [];
  for (let to = page.to; rows.length < limit; ) {
    const oneRow = readPage(reader, to, 1);
    if (!oneRow || oneRow.from < page.from) break;
    const { value, error } = attemptRow(() => reader.read('read events', () => matchingRows(reader, filter, oneRow)));
    // An unreadable row is always shown, because nobody can say whether it would match the filter.
    rows.push(...(error ? [{ id: oneRow.from, error }] : value.map(decodeRow)));
    to = oneRow.from - 1;
  }
  return rows;
}

function decodeRow(row: StoredRow): AuditRow {
  const { value, error } = attemptRow(() => decodeEvent(row));
  return value ?? { id: row[0], error: error! };
}

/** The lines for a search that matched nothing: what was searched for, and which known words are near to it. */
function noMatchLines(io: Io, args: Args, reader: LogReader): string[] {
  const names = ['type', 'entry', 'session', 'source', 'target', 'day', 'since', 'until', 'before-id'];
  const givenNames = names.filter((name) => args.text(name) !== undefined);
  if (givenNames.length === 0) return ['No events.'];
  const words = givenNames.map((name) => `--${name} ${args.text(name)}`).join(' ');
  const suggestions = [
    suggestionFor(reader, args.text('type'), 'SELECT DISTINCT event_type FROM audit_log'),
    suggestionFor(reader, args.text('entry'), 'SELECT entry_id FROM usage UNION SELECT entry_id FROM cooldowns'),
  ].filter((line) => line !== undefined);
  const paint = painter(io.stdout);
  return [`No event matches ${plain(words)}.`, ...suggestions.map((line) => paint('yellow', plain(line)))];
}

/** The known words that are near to a word that no row has. `sql` selects the known words. */
function suggestionFor(reader: LogReader, word: string | undefined, sql: string): string | undefined {
  if (word === undefined) return undefined;
  const rows = reader.read('look for what was meant', () => reader.all<[unknown]>(sql));
  const known = rows.map(([value]) => String(value));
  const suggestion = known.includes(word) ? undefined : didYouMean(word, known);
  return suggestion && `Nothing has "${word}"; ${suggestion}`;
}
