// The reports of checks as lines for people: the findings of a walk, and the differences between log and ledger.
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Anchor } from '../core/chain.ts';
import type { LinesAhead, ParityReport, StateDifference } from '../ledger/index.ts';
import type { PageReport } from '../modules/backup/page-check.ts';
import type { Io } from './command.ts';
import { count, counted, duration, fit, lineWidth, nameRoom, painter, plain, wrap } from './text.ts';

/** The result of a walk over the log or the ledger. */
export interface WalkReport {
  ok: boolean;
  checked: number;
  head?: Anchor;
  findings: { kind: string; message: string; file?: string; line?: number }[];
  more: number;
  /** The archives that were walked as well. */
  archives?: number;
}

/**
 * The lines for a walk, after `label`: `ok: 13 events checked, every hash fits`, where `unit` is counted and `fits`
 * ends the line, or the number of findings with each of them below. `begun` is the archived row behind which it begins.
 */
export function walkLines(
  io: Io, label: string, report: WalkReport,
  { unit, begun, fits }: { unit: string; begun?: number | undefined; fits: string },
): string[] {
  const paint = painter(io.stdout);
  const { ok, checked, findings, more, archives } = report;
  const where = archives !== undefined ? ` in ${counted(archives, 'archive')} and the log`
    : begun !== undefined ? ` behind archived row ${count(begun)}` : '';
  if (ok) return [`${label}${paint('green', 'ok')}: ${counted(checked, unit)} checked${where}, ${fits}`];
  const width = Math.max(9, ...findings.map(({ kind }) => kind.length));
  const found = paint('red', counted(findings.length + more, 'finding'));
  const lines = [`${label}${found} in ${counted(checked, unit)}${where}`];
  for (const { kind, message, file, line } of findings) {
    const places = [...(file === undefined ? [] : [basename(file)]), ...(line === undefined ? [] : [`line ${line}`])];
    const text = places.length === 0 ? message : `${places.join(', ')}: ${message}`;
    lines.push(...hanging(io, `  ${paint('red', kind.padEnd(width))}  `, width + 4, text));
  }
  lines.push(...moreLines(more));
  const isOnlyTorn = findings.every(({ kind }) => kind === 'torn-line' || kind === 'torn-group');
  if (archives === undefined && findings.some(({ kind }) => kind === 'archived')) {
    lines.push('  verify --archives DIR, with the folder of the archives, proves such a row.');
  }
  if (isOnlyTorn) lines.push('  Opening the store with its ledger mends a torn end; replay does.');
  return lines;
}

/** The lines for the check of the pages. */
export function pageLines(io: Io, { ok, checked, findings }: PageReport): string[] {
  const paint = painter(io.stdout);
  if (ok) return [`pages     ${paint('green', 'ok')}: ${counted(checked, 'page')} checked`];
  return [
    `pages     ${paint('red', counted(findings.length, 'finding'))} in ${counted(checked, 'page')}`,
    ...findings.flatMap((finding) => hanging(io, `  ${paint('red', 'damaged')}    `, 13, finding)),
  ];
}

/**
 * A text behind a heading of `indent` columns, with the further lines below its first word. Words given as an array are
 * not broken at their spaces.
 */
function hanging(io: Io, heading: string, indent: number, text: string | readonly string[]): string[] {
  const words = typeof text === 'string' ? text.split(' ') : text;
  const lines = wrap(words.map(plain), lineWidth(io.stdout) - indent);
  return lines.map((line, index) => (index === 0 ? heading : ' '.repeat(indent)) + line);
}

function moreLines(more: number): string[] {
  return more > 0 ? [`  and ${count(more)} more`] : [];
}

// A commit is done within this time, even on a slow memory card.
const settlingMs = 500;

/**
 * Compares twice where rows are missing, and reports the differences that both comparisons found. A running service
 * writes to the ledger before it commits, and goes on while both files are read, so what only one of them has may still
 * be on its way to the other. `earlier` is a comparison that has been made already.
 */
export async function settled(
  io: Io, compare: () => Promise<ParityReport>, earlier?: ParityReport,
): Promise<ParityReport> {
  const first = earlier ?? (await compare());
  if (first.missingInSqlite.length + first.missingInLedger.length === 0 && !first.ahead) return first;
  await sleep(settlingMs, undefined, io.signal ? { signal: io.signal } : {});
  const { ahead: secondAhead, ...second } = await compare();
  const inBoth = (before: readonly number[], after: readonly number[], range?: LinesAhead): number[] => {
    const known = new Set(before);
    return after.filter((id) => known.has(id) || (range && id >= range.from && id <= range.to));
  };
  const moreInFirst = first.more - unlistedAhead(first);
  const moreInSecond = second.more - unlistedAhead({ ...second, ahead: secondAhead });
  const report: ParityReport = {
    ...second,
    missingInSqlite: inBoth(first.missingInSqlite, second.missingInSqlite, first.ahead),
    missingInLedger: inBoth(first.missingInLedger, second.missingInLedger),
    more: Math.min(moreInFirst, moreInSecond),
  };
  const ahead = first.ahead && secondAhead && stillAhead(first.ahead, secondAhead);
  if (ahead) report.ahead = ahead;
  report.more += unlistedAhead(report);
  const { missingInSqlite, missingInLedger, mismatched, unreadable, state, more } = report;
  const lists = [missingInSqlite, missingInLedger, mismatched, unreadable, state];
  return { ...report, isConsistent: more === 0 && lists.every(({ length }) => length === 0) };
}

/** The lines that were ahead in both comparisons. Lines after these have been written since the first one. */
function stillAhead(before: LinesAhead, { from, to: last, count }: LinesAhead): LinesAhead | undefined {
  const to = Math.min(before.to, last);
  return to < from ? undefined : { from, to, count: Math.min(count, to - from + 1) };
}

/** How many of the lines ahead did not fit into the list, and are counted in `more` instead. */
function unlistedAhead(
  { ahead, missingInSqlite }: { ahead?: LinesAhead | undefined; missingInSqlite: readonly number[] },
): number {
  return ahead ? ahead.count - missingInSqlite.filter((id) => id >= ahead.from).length : 0;
}

/**
 * The lines for a comparison of log and ledger, and of the balances with the events. Without `hasLedger` the balances
 * are not judged, because events account for them only while the store has a ledger. `isWhole` says whether every line
 * of the ledger can be read.
 */
export function parityLines(
  io: Io, report: ParityReport, { hasLedger, isWhole }: { hasLedger: boolean; isWhole: boolean },
): string[] {
  return [...eventParityLines(io, report, isWhole), ...balanceLines(io, report, hasLedger)];
}

function eventParityLines(io: Io, report: ParityReport, isWhole: boolean): string[] {
  const paint = painter(io.stdout);
  const { ledgerCount, sqliteCount, missingInSqlite, missingInLedger, mismatched, unreadable, more, ahead } = report;
  // `more` does not say of which kind the unlisted differences are, so they are all counted as differences of events.
  const listed = missingInSqlite.length + missingInLedger.length + mismatched.length + unreadable.length;
  const differences = listed + more;
  const events = counted(sqliteCount, 'event');
  if (differences === 0) {
    // One of them may begin behind more archived rows than the other.
    const inBoth = counted(Math.min(sqliteCount, ledgerCount), 'event');
    return [`parity    ${paint('green', 'ok')}: ${inBoth}, the same in both files`];
  }
  // Lines ahead without a gap between them are shown as one range, which covers those that are not listed too.
  const range = ahead && ahead.count === ahead.to - ahead.from + 1 ? ahead : undefined;
  const onlyInLedger = rangesOf(missingInSqlite.filter((id) => !range || id < range.from));
  if (range) onlyInLedger.push([range.from, range.to]);
  const heading = `parity    ${paint('red', counted(differences, 'difference'))}`;
  return [
    `${heading} between ${events} and ${counted(ledgerCount, 'line')}`,
    ...idLines(io, 'only in the database', rangesOf(missingInLedger)),
    ...idLines(io, 'only in the ledger', onlyInLedger),
    ...idLines(io, 'not the same', rangesOf(mismatched.map(({ id }) => id))),
    ...idLines(io, 'cannot be read', rangesOf(unreadable)),
    ...moreLines(more - (range ? unlistedAhead(report) : 0)),
    ...(isWhole ? [] : ['  Behind the first damaged line of the ledger nothing was compared.']),
  ];
}

function balanceLines(io: Io, { state }: ParityReport, hasLedger: boolean): string[] {
  const paint = painter(io.stdout);
  if (!hasLedger && state.length === 0) {
    return ['balances  not compared: events account for them only while the store has a ledger'];
  }
  if (state.length === 0) {
    return [`balances  ${paint('green', 'ok')}: usage, cooldowns and limits are what the events add up to`];
  }
  return [
    `balances  ${paint('red', counted(state.length, 'difference'))} from what the events add up to`,
    ...state.flatMap((difference) => hanging(io, '  ', 4, differenceWords(io, difference))),
  ];
}

type Range = [from: number, to: number];

function idLines(io: Io, label: string, ranges: readonly Range[]): string[] {
  if (ranges.length === 0) return [];
  const isOne = ranges.length === 1 && ranges[0]![0] === ranges[0]![1];
  const texts = ranges.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`));
  const heading = `  ${painter(io.stdout)('red', label.padEnd(20))}  `;
  return hanging(io, heading, 24, `${isOne ? 'row' : 'rows'} ${texts.join(', ')}`);
}

/** The ranges of ascending ids. Ids that follow each other without a gap make one range. */
function rangesOf(ids: readonly number[]): Range[] {
  const ranges: Range[] = [];
  for (const id of ids) {
    const last = ranges.at(-1);
    if (last && last[1] === id - 1) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}

const differenceNames = {
  setAt: 'cooldown set at', grantedMs: 'time granted', availability: 'availability', balanceMs: 'balance',
};

function differenceWords(io: Io, { entryId, day, of, expected, stored }: StateDifference): string[] {
  const entry = fit(entryId, nameRoom(io.stdout, 4));
  const what = of === undefined ? (day === undefined ? 'cooldown' : 'usage') : differenceNames[of];
  const balance = day === undefined ? what : `${what} of ${fit(day, 14)}`;
  return [`${entry},`, `${balance}:`, `${balanceText(stored)},`, `by the events ${balanceText(expected)}`];
}

function balanceText(value: number | string | undefined): string {
  if (value === undefined) return 'nothing';
  const isTime = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  return isTime ? duration(value) : fit(String(value), 40);
}
