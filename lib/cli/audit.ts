// The command audit, which shows the newest events or the newest that match a filter.
import type { LogReader, SearchFilter } from '../reading/filter.ts';
import { connect } from '../store.ts';
import { didYouMean } from '../values/near-miss.ts';
import { type Args, storeFile } from './args.ts';
import { followAudit } from './audit-follow.ts';
import { AuditTable } from './audit-lines.ts';
import { type Command, dbOption, type Io, now, print, write } from './command.ts';
import { UsageError } from './failures.ts';
import { preferExactSession, search } from './search.ts';
import { openStore } from './store-path.ts';
import { count, json, type Output, painter, plain } from './text.ts';
import { addDays, midnight } from './times.ts';

/** `audit`: shows the newest events that match a filter. */
export const audit: Command = {
  name: 'audit',
  summary: 'Shows the newest events of the audit log, newest first',
  takes: [storeFile],
  options: {
    ...dbOption,
    follow: { help: 'goes on with what is written later, the newest last' },
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
    'With --follow the newest come last, and then each new one within about a second,',
    'until Ctrl-C, SIGTERM or the end of the pipe, with the exit code 0. It goes on',
    "through a service's restart and a restore, and shows no event twice. It says on",
    'stderr where a log went back, and where the store cannot be read for a while.',
  ],
  examples: [
    'audit --db shepherdd.db --type launch_denied --since yesterday',
    'audit shepherdd.db --entry minecraft --since 2h', 'audit shepherdd.db --follow --limit 5',
  ],
  run: (args, io) => (args.flag('follow') ? follow(args, io) : runAudit(args, io)),
};

async function follow(args: Args, io: Io): Promise<number> {
  const optionFilter = followedFilter(args, now(io));
  const limit = limitOf(args);
  io.endsWell?.();
  try {
    using store = await openStore(args, io);
    const reader = connect(store);
    const filter = await preferExactSession(reader, optionFilter, io.signal);
    const { done } = await search(reader, 1, filter, io.signal).next();
    // On stderr: what is shown later is not to stand below words.
    if (done && !args.flag('json')) io.stderr.write(`${noMatchLines(io.stderr, args, reader).join('\n')}\n`);
    await followAudit(args, io, store, { filter, limit });
  } catch (error) {
    if (!io.signal?.aborted) throw error;
  }
  return 0;
}

/** The filter of events that may still come. */
function followedFilter(args: Args, now: Date): SearchFilter {
  if (args.text('before-id') !== undefined) {
    throw new UsageError('--before-id does not go with --follow, which goes on with what comes later');
  }
  const filter = filterOf(args, now);
  if (filter.until && filter.until <= now) {
    const option = args.text('day') === undefined ? '--until' : '--day';
    throw new UsageError(`${option} ${args.text(option.slice(2))} is over: --follow would wait for ever`);
  }
  return filter;
}

function limitOf(args: Args): number {
  return args.integer('limit', 1, 1_000_000) ?? 20;
}

async function runAudit(args: Args, io: Io): Promise<number> {
  const optionFilter = filterOf(args, now(io));
  const limit = limitOf(args);
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
  if (shown === 0) print(io, noMatchLines(io.stdout, args, reader));
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

/** The lines for a search that matched nothing: what was searched for, and which known words are near to it. */
function noMatchLines(output: Output, args: Args, reader: LogReader): string[] {
  const names = ['type', 'entry', 'session', 'source', 'target', 'day', 'since', 'until', 'before-id'];
  const givenNames = names.filter((name) => args.text(name) !== undefined);
  if (givenNames.length === 0) return ['No events.'];
  const words = givenNames.map((name) => `--${name} ${args.text(name)}`).join(' ');
  const suggestions = [
    suggestionFor(reader, args.text('type'), 'SELECT DISTINCT event_type FROM audit_log'),
    suggestionFor(reader, args.text('entry'), 'SELECT entry_id FROM usage UNION SELECT entry_id FROM cooldowns'),
  ].filter((line) => line !== undefined);
  const paint = painter(output);
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
