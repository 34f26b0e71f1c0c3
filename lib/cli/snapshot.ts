// The command snapshot: shows the state to resume from. The command status shares the functions that show parts of it.
import type { SnapshotCopy } from '../core/snapshot-findings.ts';
import type { SessionSnapshot, StateSnapshot } from '../core/state.ts';
import type { StoreHealth } from '../health.ts';
import { storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { attemptRow, errorLines, type RowError, unreadable } from './rows.ts';
import { openStore } from './store-path.ts';
import {
  ago, count, duration, fit, instantText, lineWidth, nameRoom, painter, plain, span, textWidth, wrap,
} from './text.ts';

/** `snapshot`: shows the state that a service would resume from. */
export const snapshot: Command = {
  name: 'snapshot',
  summary: 'Shows the state that a service would resume from',
  takes: [storeFile],
  options: { ...dbOption, ...jsonOption },
  notes: ['The exit code is 1 when one of the two copies is damaged or missing.'],
  examples: ['snapshot --db shepherdd.db'],
  run: async (args, io) => {
    using store = await openStore(args, io);
    const { value: state, error } = attemptRow(() => store.loadSnapshot() ?? null);
    const { snapshot: copies, findings } = store.health();
    const snapshotFindings = findings.filter(({ kind }) => kind.startsWith('snapshot-'));
    const report = {
      state: state ?? null, copies, findings: snapshotFindings, ...(error ? { error } : undefined),
    };
    if (args.flag('json')) printJson(io, report);
    else print(io, snapshotLines(io, report));
    return error || snapshotFindings.length > 0 ? 1 : 0;
  },
};

interface Report {
  state: StateSnapshot | null;
  copies: StoreHealth['snapshot'];
  findings: StoreHealth['findings'];
  error?: RowError;
}

function snapshotLines(io: Io, { state, copies, findings, error }: Report): string[] {
  const at = now(io);
  const paint = painter(io.stdout);
  const rows: [string, string][] = [];
  if (state) {
    const saved = `${instantText(state.timestamp)} (${ago(at.getTime() - state.timestamp.getTime())})`;
    rows.push(['saved', saved], ...sessionRows(io, state.activeSession ?? null, at));
    if (state.activeSession) rows.push(['', `id ${fit(state.activeSession.sessionId, nameRoom(io.stdout, 13))}`]);
  } else rows.push(['saved', error ? paint('red', unreadable) : 'never']);
  rows.push(['copies', copyText('row', copies.row)], ['', copyText('file', copies.file)]);
  return [
    ...rows.map(([name, text]) => `${name.padEnd(10)}${text}`),
    ...section(io, 'Findings', findingLines(io, findings, error ? [error] : [])),
  ];
}

/** Lines below an empty line and their title; nothing where there are no lines. */
export function section(io: Io, title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', painter(io.stdout)('bold', title), ...lines];
}

/** The state, number and age of a copy of the snapshot. */
export function copyText(name: string, { state, generation, ageMs }: SnapshotCopy): string {
  const numberText = generation === undefined ? [] : [`no. ${count(generation)}`];
  const parts = [state, ...numberText, ...(ageMs === undefined ? [] : [ago(ageMs)])];
  return `${name.padEnd(5)}${parts.join(', ')}`;
}

/**
 * The rows that show the running session, or one that says that there is none: the first two are what runs and how
 * long yet, because a low screen shows no more. `at` is the present time. `isLeft` says that no service runs which
 * could end it.
 */
export function sessionRows(
  io: Io, session: SessionSnapshot | null, at: Date,
  { savedAt, isLeft = false }: { savedAt?: Date | undefined; isLeft?: boolean } = {},
): [string, string][] {
  if (session === null) return [['session', 'none']];
  const { entryId, startedAt, elapsedMs, deadline, warningsIssued } = session;
  const name = fit(entryId, nameRoom(io.stdout, 10));
  const progress = [
    ...(elapsedMs === undefined ? [] : [`${duration(elapsedMs)} counted`]),
    ...(savedAt ? [`saved ${ago(at.getTime() - savedAt.getTime())}`] : []),
  ].join(', ');
  const room = lineWidth(io.stdout) - 10;
  const isOneLine = textWidth(name) + 2 + progress.length <= room;
  const rows: [string, string][] = [['session', isOneLine && progress !== '' ? `${name}, ${progress}` : name]];
  if (isLeft) {
    const words = "left running by a crash; the service's next start charges it".split(' ');
    rows.push(...wrap(words, room).map((line): [string, string] => ['', line]));
  }
  if (deadline) rows.push(['', deadlineText(deadline, at, { isLeft, room })]);
  if (!isOneLine && progress !== '') rows.push(['', progress]);
  rows.push(['', `since ${instantText(startedAt)}`]);
  if (warningsIssued.length > 0) {
    const thresholds = warningsIssued.map((secs) => duration(secs * 1000)).join(', ');
    rows.push(['', `warned ${thresholds} before the end`]);
  }
  return rows;
}

/** Until when a session may go on, and how long yet: what has no room at the end of the line is not that. */
function deadlineText(deadline: Date, at: Date, { isLeft, room }: { isLeft: boolean; room: number }): string {
  const until = `until ${instantText(deadline)}`;
  if (isLeft) return until;
  const leftMs = deadline.getTime() - at.getTime();
  const left = leftMs > 0 ? `${span(leftMs)} left` : `${span(-leftMs)} over`;
  const whole = `${until} (${left})`;
  return whole.length <= room ? whole : `${left}, ${until}`;
}

/** The findings of the store, followed by the errors of what could not be read. */
export function findingLines(io: Io, findings: StoreHealth['findings'], errors: readonly RowError[]): string[] {
  const paint = painter(io.stdout);
  const width = lineWidth(io.stdout) - 4;
  const lines = findings.flatMap(({ kind, message }) => {
    return [`  ${paint('yellow', kind)}`, ...wrap(plain(message).split(' '), width).map((line) => `    ${line}`)];
  });
  return [...lines, ...errorLines(io.stdout, errors.map((error) => ({ error }))).map((line) => `  ${line}`)];
}
