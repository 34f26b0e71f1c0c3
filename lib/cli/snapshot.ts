// The command snapshot: the state to resume from, and what status shows of it as well.
import type { StoreHealth } from '../health.ts';
import type { SnapshotCopy } from '../snapshot.ts';
import type { SessionSnapshot, StateSnapshot } from '../snapshot-file.ts';
import { storeFile } from './args.ts';
import { dbOption, jsonOption, now, print, printJson } from './command.ts';
import type { Command, Io } from './command.ts';
import { attemptRow, errorLines } from './rows.ts';
import type { RowError } from './rows.ts';
import { openStore } from './store-path.ts';
import { ago, count, duration, fit, instantText, lineWidth, nameRoom, painter, plain, span, textWidth, wrap } from './text.ts';

/** `snapshot`: the state that the service would resume from. */
export const snapshot: Command = {
  name: 'snapshot',
  summary: 'Shows the state that a service would resume from',
  takes: [storeFile],
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
    rows.push(['saved', saved], ...sessionRows(io, state.activeSession ?? null, undefined, at));
    if (state.activeSession) rows.push(['', `id ${fit(state.activeSession.sessionId, nameRoom(io.stdout, 13))}`]);
  } else rows.push(['saved', error ? paint('red', 'cannot be read') : 'never']);
  rows.push(['copies', copyText('row', copies.row)], ['', copyText('file', copies.file)]);
  return [...rows.map(([name, text]) => `${name.padEnd(10)}${text}`), ...section(io, 'Findings', findingLines(io, findings, error ? [error] : []))];
}

/** A part of the output below its title; nothing where it has no lines. */
export function section(io: Io, title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', painter(io.stdout)('bold', title), ...lines];
}

/** How a copy of the snapshot is. */
export function copyText(name: string, { state, generation, ageMs }: SnapshotCopy): string {
  const what = [state, ...(generation === undefined ? [] : [`no. ${count(generation)}`]), ...(ageMs === undefined ? [] : [ago(ageMs)])];
  return `${name.padEnd(5)}${what.join(', ')}`;
}

/** The rows of the session that runs, or that none does. */
export function sessionRows(io: Io, session: SessionSnapshot | null, savedAt: Date | undefined, at: Date): [string, string][] {
  if (session === null) return [['session', 'none']];
  const { entryId, startedAt, elapsedMs, deadline, warningsIssued } = session;
  const name = fit(entryId, nameRoom(io.stdout, 10));
  const course = [
    ...(elapsedMs === undefined ? [] : [`${duration(elapsedMs)} counted`]),
    ...(savedAt ? [`saved ${ago(at.getTime() - savedAt.getTime())}`] : []),
  ].join(', ');
  const isOneLine = textWidth(name) + 2 + course.length <= lineWidth(io.stdout) - 10;
  return [
    ['session', isOneLine && course !== '' ? `${name}, ${course}` : name],
    ...(isOneLine || course === '' ? [] : [['', course] as [string, string]]),
    ['', `since ${instantText(startedAt)}`],
    ...(deadline ? [['', `until ${instantText(deadline)} (${deadline > at ? `${span(deadline.getTime() - at.getTime())} left` : `${span(at.getTime() - deadline.getTime())} over`})`] as [string, string]] : []),
    ...(warningsIssued.length > 0 ? [['', `warned ${warningsIssued.map((secs) => duration(secs * 1000)).join(', ')} before the end`] as [string, string]] : []),
  ];
}

/** The findings of the store, and what could not be read. */
export function findingLines(io: Io, findings: StoreHealth['findings'], errors: readonly RowError[]): string[] {
  const paint = painter(io.stdout);
  const width = lineWidth(io.stdout) - 4;
  const found = findings.flatMap(({ kind, message }) => [`  ${paint('yellow', kind)}`, ...wrap(plain(message).split(' '), width).map((line) => `    ${line}`)]);
  return [...found, ...errorLines(io.stdout, errors.map((error) => ({ error }))).map((line) => `  ${line}`)];
}
