// The commands for what the store has recorded: audit, usage, cooldowns.
import { types } from 'node:util';
import type { AuditFilter } from '../audit-filter.ts';
import { localDay } from '../days.ts';
import type { AuditEvent } from '../events.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import { parseInstant } from '../values.ts';
import { dbOption, jsonOption, now, openStore, print, printJson, UsageError } from './command.ts';
import type { Args, Command, Io } from './command.ts';
import { attemptRow, cooldownLines, errorLines, readCooldowns, readUsage, usageLines } from './rows.ts';
import type { RowError, UsageRow } from './rows.ts';
import { bar, clockTime, columnWidth, counted, dayLabel, duration, fit, instantText, json, lineWidth, offset, pad, painter, wrap } from './text.ts';

/** `audit`: the newest events. */
export const audit: Command = {
  name: 'audit',
  summary: 'Shows the newest events of the audit log, newest first',
  takes: [],
  options: {
    ...dbOption,
    limit: { value: 'N', help: 'how many at most; 20 by default' },
    type: { value: 'TYPE', help: 'only events of this type, such as session_ended' },
    source: { value: 'TEXT', help: 'only events that this one caused' },
    target: { value: 'TEXT', help: 'only events that concern this one' },
    session: { value: 'ID', help: 'only events of this session' },
    since: { value: 'WHEN', help: 'only events from this time on' },
    until: { value: 'WHEN', help: 'only events before this time' },
    'before-id': { value: 'ID', help: 'only events before this one: the next page' },
    json: { help: 'JSON lines, for machines: an event a line' },
  },
  notes: [
    'WHEN is a day, a local time or an instant: 2026-11-21, 2026-11-21T18:30 or',
    '2026-11-21T18:30:00+01:00. Times are shown in the local time zone (TZ).',
    'Long values are cut; --json has them whole, and the event ids.',
    'An event that cannot be read is shown as an error, and the exit code is 1.',
  ],
  examples: ['audit --db shepherdd.db --type launch_denied --since 2026-11-21'],
  run: runAudit,
};

/** An event, or the place of one that cannot be read. */
type AuditRow = AuditEvent | { id: number; error: RowError };

function runAudit(args: Args, io: Io): number {
  const filter = filterOf(args);
  const limit = args.integer('limit', 1, 1_000_000) ?? 20;
  using store = openStore(args, io);
  const rows = readAudits(store, limit, filter);
  if (args.flag('json')) io.stdout.write(rows.map((row) => `${json(row)}\n`).join(''));
  else print(io, auditLines(io, rows, limit));
  return rows.some((row) => 'error' in row) ? 1 : 0;
}

function filterOf(args: Args): AuditFilter {
  const given = {
    type: args.text('type'), source: args.text('source'), target: args.text('target'), sessionId: args.text('session'),
    since: args.instant('since'), until: args.instant('until'), beforeId: args.integer('before-id', 1, Number.MAX_SAFE_INTEGER),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** The store gives all or, where one event among them cannot be read, none; then they are read one by one. */
function readAudits(store: SqliteStore, limit: number, filter: AuditFilter): AuditRow[] {
  const all = attemptRow(() => store.getRecentAudits(limit, filter));
  if (all.value) return all.value;
  const rows: AuditRow[] = [];
  for (let id = idBelow(store, filter.beforeId); id !== undefined && rows.length < limit; id = idBelow(store, id)) {
    const at = id;
    const itself = attemptRow(() => [...store.iterateAudits({ fromId: at, toId: at })]);
    // Nobody can say whether what cannot be read would match the filter.
    if (itself.error) rows.push({ id, error: itself.error });
    else rows.push(...(attemptRow(() => store.getRecentAudits(1, { ...filter, beforeId: at + 1 })).value ?? []).filter((event) => event.id === at));
  }
  return rows;
}

function idBelow(store: SqliteStore, id = Number.MAX_SAFE_INTEGER): number | undefined {
  const door = connect(store);
  const row = door.read('find an event', () => door.prepare('SELECT max(id) FROM audit_log WHERE id < ?').get(id)) as unknown as [number | null];
  return row[0] ?? undefined;
}

function auditLines(io: Io, rows: readonly AuditRow[], limit: number): string[] {
  const paint = painter(io.stdout);
  if (rows.length === 0) return ['No events.'];
  const idWidth = columnWidth(rows.map(({ id }) => String(id)), 16);
  const typeWidth = columnWidth(rows.map((row) => ('error' in row ? '' : row.event.type)), 22);
  const indent = idWidth + 10 + typeWidth + 4;
  const lines: string[] = [];
  let heading = '';
  for (const row of rows) {
    const id = pad(String(row.id), idWidth, true);
    if ('error' in row) {
      lines.push(...errorLines(io.stdout, [row]));
      continue;
    }
    const day = `${dayLabel(localDay(row.timestamp))} ${offset(row.timestamp)}`;
    if (day !== heading) lines.push(...(heading === '' ? [] : ['']), paint('bold', (heading = day)));
    const [first = '', ...rest] = wrap(detailsOf(row), lineWidth(io.stdout) - indent);
    lines.push(`${paint('dim', id)}  ${clockTime(row.timestamp)}  ${paint(colourOf(row.event.type), pad(fit(row.event.type, typeWidth), typeWidth))}  ${first}`.trimEnd());
    lines.push(...rest.map((line) => ' '.repeat(indent) + line));
  }
  const last = rows.at(-1)!;
  if (rows.length === limit && last.id > 1) lines.push('', paint('dim', `Older events: --before-id ${last.id}`));
  return lines;
}

function colourOf(type: string): 'green' | 'yellow' | 'magenta' | 'cyan' {
  if (type === 'launch_denied' || type === 'warning_issued') return 'yellow';
  if (type.startsWith('store_')) return 'magenta';
  return type.startsWith('session_') ? 'green' : 'cyan';
}

/**
 * What an event says, whatever its type: the entry first, the session's id, which is long, last. The event id, which
 * keeps an event from being recorded twice, says nothing to people.
 */
function detailsOf({ id: _id, timestamp, event, eventId: _eventId, ...attributes }: AuditEvent): string[] {
  const { type: _type, entryId, sessionId, ...fields } = event as { type: string; [field: string]: unknown };
  const words = entryId === undefined ? [] : [valueText(entryId, timestamp)];
  for (const [name, value] of Object.entries({ ...fields, ...attributes })) words.push(fieldText(name, value, timestamp));
  if (sessionId !== undefined) words.push(fieldText('session', sessionId, timestamp));
  return words;
}

// An event may hold what somebody sent; it must not push the others off the screen.
const longestValue = 200;

function fieldText(name: string, value: unknown, timestamp: Date): string {
  const [, stem, unit] = /^(.+)(Ms|Secs)$/.exec(name) ?? [];
  if (stem !== undefined && typeof value === 'number' && value >= 0) return `${fit(stem, 30)}=${duration(unit === 'Ms' ? value : value * 1000)}`;
  return `${fit(name, 30)}=${valueText(value, timestamp)}`;
}

function valueText(value: unknown, timestamp: Date): string {
  const instant = types.isDate(value) ? value : parseInstant(value);
  if (instant) return localDay(instant) === localDay(timestamp) ? clockTime(instant) : instantText(instant);
  if (typeof value === 'string') return fit(value, longestValue);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return fit(value.join(', '), longestValue);
  if (typeof value === 'object' && value !== null && 'type' in value) return kindText(value as { type: unknown }, timestamp);
  return fit(JSON.stringify(value), longestValue);
}

/** What is of one kind among several, such as the reason of an end: `process_exited, exitCode=3`. */
function kindText({ type, ...rest }: { type: unknown }, timestamp: Date): string {
  return [valueText(type, timestamp), ...Object.entries(rest).map(([name, value]) => fieldText(name, value, timestamp))].join(', ');
}

/** `usage`: a bar per day. */
export const usage: Command = {
  name: 'usage',
  summary: 'Shows how long entries were used, a bar per day',
  takes: ['[ENTRY]'],
  options: {
    ...dbOption,
    days: { value: 'N', help: 'the last N days; 7 by default' },
    day: { value: 'DAY', help: 'one day' },
    from: { value: 'DAY', help: 'from this day on' },
    to: { value: 'DAY', help: 'up to this day; today by default' },
    ...jsonOption,
  },
  notes: [
    'DAY is YYYY-MM-DD. Without ENTRY each day is followed by its entries.',
    'Today is what it is in the local time zone (TZ).',
    'A total that cannot be read is shown as such, and the exit code is 1.',
  ],
  examples: ['usage --db shepherdd.db', 'usage minecraft --db shepherdd.db --from 2026-11-01'],
  run: runUsage,
};

function runUsage(args: Args, io: Io): number {
  const { from, to } = rangeOf(args, localDay(now(io)));
  const entryId = args.positionals[0];
  using store = openStore(args, io);
  const rows = readUsage(store, from, to, entryId);
  if (args.flag('json')) printJson(io, { from, to, ...(entryId === undefined ? undefined : { entryId }), usage: rows });
  else print(io, chart(io, rows, from, to, entryId));
  return rows.some(({ error }) => error) ? 1 : 0;
}

function rangeOf(args: Args, today: string): { from: string; to: string } {
  const [day, from, to, days] = [args.day('day'), args.day('from'), args.day('to'), args.integer('days', 1, 36_600)];
  const ways = [day !== undefined && '--day', (from ?? to) !== undefined && '--from and --to', days !== undefined && '--days'].filter((way) => way !== false);
  if (ways.length > 1) throw new UsageError(`${ways.join(' do not go with ')}: give one of them`);
  if (day !== undefined) return { from: day, to: day };
  if (to !== undefined && from === undefined) throw new UsageError('--to needs --from');
  if (from !== undefined && from > (to ?? today)) throw new UsageError(`--from ${from} is after ${to === undefined ? 'today, ' : '--to '}${to ?? today}`);
  if (from !== undefined) return { from, to: to ?? today };
  return { from: addDays(today, 1 - (days ?? 7)), to: today };
}

function addDays(day: string, days: number): string {
  const moved = new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000);
  // Days before the year 0 are none that a store has.
  return moved.getUTCFullYear() < 0 ? '0000-01-01' : moved.toISOString().slice(0, 10);
}

// Beyond two months, days on which nothing was used would push everything else off the screen.
const mostEmptyDays = 62;

function chart(io: Io, rows: readonly UsageRow[], from: string, to: string, entryId: string | undefined): string[] {
  const width = lineWidth(io.stdout);
  const paint = painter(io.stdout);
  const title = `${entryId === undefined ? 'Usage' : `Usage of ${fit(entryId, 40)}`}, ${from === to ? dayLabel(from) : `${from} to ${to}`}`;
  const lines = [paint('bold', title), ''];
  if (rows.length === 0) return [...lines, 'Nothing was used.'];
  const byDay = Map.groupBy(rows, ({ day }) => day);
  if (from === to) lines.push(...usageLines(io.stdout, width, rows));
  else lines.push(...dayBars(io, width, byDay, shownDays(byDay, from, to), entryId === undefined));
  const total = rows.reduce((sum, { durationMs = 0 }) => sum + durationMs, 0);
  const errors = errorLines(io.stdout, rows);
  // What cannot be read is not nothing: no sum claims to be one without it.
  const unreadable = rows.filter(({ error }) => error).length;
  const sum = `${duration(total)} in all on ${counted(byDay.size, 'day')}`;
  return [...lines, '', unreadable === 0 ? sum : `at least ${sum}: ${counted(unreadable, 'total')} cannot be read`, ...(errors.length > 0 ? ['', ...errors] : [])];
}

function shownDays(byDay: Map<string, UsageRow[]>, from: string, to: string): string[] {
  if (addDays(from, mostEmptyDays) <= to) return [...byDay.keys()];
  const days = new Set(byDay.keys());
  for (let day = from; day <= to; day = addDays(day, 1)) days.add(day);
  return [...days].sort();
}

/** A bar per day for the day's total and, where `withEntries`, what it is made of. */
function dayBars(io: Io, width: number, byDay: Map<string, UsageRow[]>, days: readonly string[], withEntries: boolean): string[] {
  const paint = painter(io.stdout);
  const sums = new Map(days.map((day) => [day, (byDay.get(day) ?? []).reduce((sum, { durationMs = 0 }) => sum + durationMs, 0)]));
  const longest = Math.max(...sums.values());
  const amounts = new Map(days.map((day) => [day, amountText(byDay.get(day) ?? [], sums.get(day)!)]));
  const amountWidth = columnWidth([...amounts.values()], 24);
  const barWidth = Math.min(60, width - 14 - amountWidth - 4);
  return days.flatMap((day) => {
    const rows = byDay.get(day) ?? [];
    const colour = rows.length === 0 ? 'dim' : rows.some(({ error }) => error) ? 'red' : 'reset';
    const line = `${pad(dayLabel(day), 14)}  ${paint(colour, pad(amounts.get(day)!, amountWidth, true))}  ${paint('green', bar(sums.get(day)!, longest, barWidth))}`.trimEnd();
    return withEntries ? [line, ...entryParts(io, rows, width)] : [line];
  });
}

function amountText(rows: readonly UsageRow[], sum: number): string {
  if (rows.length === 0) return '-';
  if (!rows.some(({ error }) => error)) return duration(sum);
  return sum === 0 ? 'cannot be read' : `${duration(sum)} + ?`;
}

/** The entries of a day in one paragraph below its bar, the longest first. */
function entryParts(io: Io, rows: readonly UsageRow[], width: number): string[] {
  const paint = painter(io.stdout);
  const sorted = [...rows].sort((a, b) => (b.durationMs ?? Infinity) - (a.durationMs ?? Infinity));
  const parts = sorted.map(({ entryId, durationMs }, index) => `${fit(entryId, 28)} ${durationMs === undefined ? '?' : duration(durationMs)}${index < sorted.length - 1 ? ' ·' : ''}`);
  return wrap(parts, width - 4).map((line) => `    ${paint('dim', line)}`);
}

/** `cooldowns`: which entries are blocked, and until when. */
export const cooldowns: Command = {
  name: 'cooldowns',
  summary: 'Shows which entries are in cooldown and until when',
  takes: [],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'Those that run come first, then those that are over.',
    'A cooldown that cannot be read is shown as such, and the exit code is 1.',
  ],
  examples: ['cooldowns --db shepherdd.db'],
  run: (args, io) => {
    using store = openStore(args, io);
    const rows = readCooldowns(store, now(io));
    const errors = errorLines(io.stdout, rows);
    if (args.flag('json')) printJson(io, { now: now(io), cooldowns: rows });
    else if (rows.length === 0) print(io, ['No cooldowns.']);
    else print(io, [...cooldownLines(io.stdout, rows, now(io)), ...(errors.length > 0 ? ['', ...errors] : [])]);
    return errors.length > 0 ? 1 : 0;
  },
};
