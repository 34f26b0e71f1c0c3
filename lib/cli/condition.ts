// The commands for the store's own condition: status, snapshot.
import type { Anchor } from '../audit.ts';
import { localDay } from '../days.ts';
import type { StoreHealth } from '../health.ts';
import type { SessionSnapshot, StateSnapshot } from '../snapshot-file.ts';
import type { SqliteStore } from '../store.ts';
import type { SnapshotCopy } from '../snapshot.ts';
import { dbOption, jsonOption, now, openStore, print, printJson, storePath } from './command.ts';
import type { Command, Io } from './command.ts';
import { attemptRow, cooldownLines, errorLines, readCooldowns, readUsage, usageLines } from './rows.ts';
import type { CooldownRow, RowError, UsageRow } from './rows.ts';
import { ago, bytes, count, dayLabel, duration, fit, instantText, lineWidth, painter, plain, span, wrap } from './text.ts';

/** `status`: whether the store is well, and what is going on. */
export const status: Command = {
  name: 'status',
  summary: 'Shows whether the store is well, and what is going on today',
  takes: [],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'The exit code is 1 when there is a finding, or something that cannot be read.',
    'The session is the one of the last snapshot: a service that was killed leaves',
    'it there until it is started again.',
  ],
  examples: ['status --db shepherdd.db', 'status --db shepherdd.db --json | jq .ok'],
  run: (args, io) => {
    using store = openStore(args, io);
    const report = inspect(store, now(io));
    const ok = report.errors.length === 0 && report.health?.ok === true;
    if (args.flag('json')) {
      const { health, errors, ...rest } = report;
      printJson(io, { path: storePath(args), ...health, ok, errors, ...rest });
    } else print(io, statusLines(io, storePath(args), report, ok));
    return ok ? 0 : 1;
  },
};

interface Report {
  healthy: boolean;
  health: StoreHealth | undefined;
  head: Anchor | null | undefined;
  newest: Date | undefined;
  session: SessionSnapshot | null | undefined;
  savedAt: Date | undefined;
  day: string;
  usage: UsageRow[];
  cooldowns: CooldownRow[];
  /** Whatever of the above could not be read. */
  errors: RowError[];
}

/** Reads part by part, so that what is damaged hides nothing else. */
function inspect(store: SqliteStore, at: Date): Report {
  const errors: RowError[] = [];
  const part = <T>(fn: () => T): T | undefined => {
    const { value, error } = attemptRow(fn);
    if (error && !errors.some(({ message }) => message === error.message)) errors.push(error);
    return value;
  };
  const day = localDay(at);
  const health = part(() => store.health());
  const head = part(() => store.auditHead() ?? null);
  const newest = part(() => store.getRecentAudits(1)[0]?.timestamp);
  const state = part(() => store.loadSnapshot() ?? null);
  const usage = part(() => readUsage(store, day, day)) ?? [];
  const cooldowns = part(() => readCooldowns(store, at)) ?? [];
  for (const { error } of [...usage, ...cooldowns]) if (error) errors.push(error);
  return { healthy: store.isHealthy(), health, head, newest, session: state && (state.activeSession ?? null), savedAt: state?.timestamp, day, usage, cooldowns, errors };
}

function statusLines(io: Io, path: string, report: Report, ok: boolean): string[] {
  const paint = painter(io.stdout);
  const { healthy, health, usage, day } = report;
  const at = now(io);
  const state = ok ? paint('green', 'healthy') : healthy ? paint('yellow', 'works, with something to look at') : paint('red', 'does not work');
  const rows: [string, string][] = [['store', plain(path)], ['state', state]];
  if (health) rows.push(...healthRows(health));
  if (report.head !== undefined) rows.push(['events', report.head === null ? 'none' : `${count(report.head.id)}${report.newest ? `, the newest ${ago(at.getTime() - report.newest.getTime())}` : ''}`]);
  if (health) rows.push(['snapshot', copyText('row', health.snapshot.row)], ['', copyText('file', health.snapshot.file)]);
  if (report.session !== undefined) rows.push(...sessionRows(report.session, report.savedAt, at));
  const running = report.cooldowns.filter(({ running, error }) => running || error);
  return [
    ...rows.map(([name, text]) => `${name.padEnd(10)}${text}`),
    ...section(io, 'Findings', findingLines(io, health?.findings ?? [], report.errors)),
    ...section(io, `Today, ${dayLabel(day)}`, usage.length > 0 ? usageLines(io.stdout, lineWidth(io.stdout), usage) : ['  nothing was used']),
    ...section(io, 'Cooldowns', running.length > 0 ? cooldownLines(io.stdout, running, at) : ['  none is running']),
  ];
}

function section(io: Io, title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', painter(io.stdout)('bold', title), ...lines];
}

function healthRows(health: StoreHealth): [string, string][] {
  const free = health.freeBytes === undefined ? '' : `, ${bytes(health.freeBytes)} free`;
  return [
    ['schema', `version ${health.schemaVersion}, SQLite ${health.sqliteVersion}`],
    ['size', `${bytes(health.databaseBytes)} and ${bytes(health.walBytes)} WAL${free}`],
  ];
}

function copyText(name: string, { state, generation, ageMs }: SnapshotCopy): string {
  const what = [state, ...(generation === undefined ? [] : [`no. ${count(generation)}`]), ...(ageMs === undefined ? [] : [ago(ageMs)])];
  return `${name.padEnd(5)}${what.join(', ')}`;
}

function sessionRows(session: SessionSnapshot | null, savedAt: Date | undefined, at: Date): [string, string][] {
  if (session === null) return [['session', 'none']];
  const { entryId, startedAt, elapsedMs, deadline, warningsIssued } = session;
  const elapsed = elapsedMs === undefined ? '' : `, ${duration(elapsedMs)} counted`;
  return [
    ['session', `${fit(entryId, 40)}${elapsed}${savedAt ? `, saved ${ago(at.getTime() - savedAt.getTime())}` : ''}`],
    ['', `since ${instantText(startedAt)}`],
    ...(deadline ? [['', `until ${instantText(deadline)} (${deadline > at ? `${span(deadline.getTime() - at.getTime())} left` : `${span(at.getTime() - deadline.getTime())} over`})`] as [string, string]] : []),
    ...(warningsIssued.length > 0 ? [['', `warned ${warningsIssued.map((secs) => duration(secs * 1000)).join(', ')} before the end`] as [string, string]] : []),
  ];
}

function findingLines(io: Io, findings: StoreHealth['findings'], errors: readonly RowError[]): string[] {
  const paint = painter(io.stdout);
  const width = lineWidth(io.stdout) - 4;
  const found = findings.flatMap(({ kind, message }) => [`  ${paint('yellow', kind)}`, ...wrap(plain(message).split(' '), width).map((line) => `    ${line}`)]);
  return [...found, ...errorLines(io.stdout, errors.map((error) => ({ error }))).map((line) => `  ${line}`)];
}

/** `snapshot`: the state that the service would resume from. */
export const snapshot: Command = {
  name: 'snapshot',
  summary: 'Shows the state that a service would resume from',
  takes: [],
  options: { ...dbOption, ...jsonOption },
  notes: ['The exit code is 1 when one of the two copies is damaged or missing.'],
  examples: ['snapshot --db shepherdd.db'],
  run: (args, io) => {
    using store = openStore(args, io);
    const { value: state, error } = attemptRow(() => store.loadSnapshot() ?? null);
    const { snapshot: copies, findings } = store.health();
    const found = findings.filter(({ kind }) => kind.startsWith('snapshot-'));
    const report = { state: state ?? null, copies, findings: found, ...(error ? { error } : undefined) };
    if (args.flag('json')) printJson(io, report);
    else print(io, snapshotLines(io, report));
    return error || found.length > 0 ? 1 : 0;
  },
};

function snapshotLines(io: Io, { state, copies, findings, error }: { state: StateSnapshot | null; copies: StoreHealth['snapshot']; findings: StoreHealth['findings']; error?: RowError }): string[] {
  const at = now(io);
  const paint = painter(io.stdout);
  const rows: [string, string][] = [];
  if (state) {
    const saved = `${instantText(state.timestamp)} (${ago(at.getTime() - state.timestamp.getTime())})`;
    rows.push(['saved', saved], ...sessionRows(state.activeSession ?? null, undefined, at));
    if (state.activeSession) rows.push(['', `id ${fit(state.activeSession.sessionId, 60)}`]);
  } else rows.push(['saved', error ? paint('red', 'cannot be read') : 'never']);
  rows.push(['copies', copyText('row', copies.row)], ['', copyText('file', copies.file)]);
  return [...rows.map(([name, text]) => `${name.padEnd(10)}${text}`), ...section(io, 'Findings', findingLines(io, findings, error ? [error] : []))];
}
