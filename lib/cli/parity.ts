// What two files say about each other, for people: findings of a walk, differences between log and ledger.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Anchor } from '../audit.ts';
import type { LinesAhead, ParityReport, StateDifference } from '../ledger/index.ts';
import type { PageReport } from '../page-check.ts';
import type { Io } from './command.ts';
import { count, counted, duration, fit, lineWidth, nameRoom, painter, plain, wrap } from './text.ts';

/** What a walk over the log or the ledger gave. */
export interface WalkReport {
  ok: boolean;
  checked: number;
  head?: Anchor;
  findings: { kind: string; message: string; line?: number }[];
  more: number;
}

/** How a walk went: `ok: 13 events checked, every hash fits`, or its findings below such a line. `label` stands before it. */
export function walkLines(io: Io, label: string, report: WalkReport, { unit, fits }: { unit: string; fits: string }): string[] {
  const paint = painter(io.stdout);
  const { ok, checked, findings, more } = report;
  if (ok) return [`${label}${paint('green', 'ok')}: ${counted(checked, unit)} checked, ${fits}`];
  const width = Math.max(9, ...findings.map(({ kind }) => kind.length));
  return [
    `${label}${paint('red', counted(findings.length + more, 'finding'))} in ${counted(checked, unit)}`,
    ...findings.flatMap(({ kind, message, line }) => hanging(io, `  ${paint('red', kind.padEnd(width))}  `, width + 4, line === undefined ? message : `line ${line}: ${message}`)),
    ...andMore(more),
    ...(findings.every(({ kind }) => kind === 'torn-line' || kind === 'torn-group') ? ['  Opening the store with its ledger mends a torn end; replay does.'] : []),
  ];
}

/** What the check of the pages gave. */
export function pageLines(io: Io, { ok, checked, findings }: PageReport): string[] {
  const paint = painter(io.stdout);
  if (ok) return [`pages     ${paint('green', 'ok')}: ${counted(checked, 'page')} checked`];
  return [`pages     ${paint('red', counted(findings.length, 'finding'))} in ${counted(checked, 'page')}`, ...findings.flatMap((finding) => hanging(io, `  ${paint('red', 'damaged')}    `, 13, finding))];
}

/** A text, or words that stay together, behind a heading of `indent` columns; the further lines below its first word. */
function hanging(io: Io, heading: string, indent: number, text: string | readonly string[]): string[] {
  const words = typeof text === 'string' ? text.split(' ') : text;
  return wrap(words.map(plain), lineWidth(io.stdout) - indent).map((line, index) => (index === 0 ? heading : ' '.repeat(indent)) + line);
}

function andMore(more: number): string[] {
  return more > 0 ? [`  and ${count(more)} more`] : [];
}

// Longer than a commit takes, also on a slow card.
const settlingMs = 500;

/**
 * The differences that are there twice. A running service writes the ledger first and commits then, and goes on while the
 * files are walked: what is in one of them only may be on its way, so where rows are missing it is looked again.
 */
export async function settled(io: Io, compare: () => Promise<ParityReport>, given?: ParityReport): Promise<ParityReport> {
  const first = given ?? (await compare());
  if (first.missingInSqlite.length + first.missingInLedger.length === 0 && !first.ahead) return first;
  await sleep(settlingMs, undefined, io.signal ? { signal: io.signal } : {});
  const { ahead: aheadAgain, ...again } = await compare();
  const both = (before: readonly number[], after: readonly number[], range?: LinesAhead): number[] => {
    const known = new Set(before);
    return after.filter((id) => known.has(id) || (range && id >= range.from && id <= range.to));
  };
  const report: ParityReport = {
    ...again,
    missingInSqlite: both(first.missingInSqlite, again.missingInSqlite, first.ahead),
    missingInLedger: both(first.missingInLedger, again.missingInLedger),
    more: Math.min(first.more - unlistedAhead(first), again.more - unlistedAhead({ ...again, ahead: aheadAgain })),
  };
  const ahead = first.ahead && aheadAgain && stillAhead(first.ahead, aheadAgain);
  if (ahead) report.ahead = ahead;
  report.more += unlistedAhead(report);
  const { missingInSqlite, missingInLedger, mismatched, unreadable, state, more } = report;
  return { ...report, isConsistent: missingInSqlite.length + missingInLedger.length + mismatched.length + unreadable.length + state.length + more === 0 };
}

/** The lines that were ahead before as well: those behind them were written since. */
function stillAhead(before: LinesAhead, { from, to: last, count }: LinesAhead): LinesAhead | undefined {
  const to = Math.min(before.to, last);
  return to < from ? undefined : { from, to, count: Math.min(count, to - from + 1) };
}

/** How many of the lines ahead are beyond the list, and so among `more`. */
function unlistedAhead({ ahead, missingInSqlite }: { ahead?: LinesAhead | undefined; missingInSqlite: readonly number[] }): number {
  return ahead ? ahead.count - missingInSqlite.filter((id) => id >= ahead.from).length : 0;
}

/**
 * How log and ledger compare, and the balances with the events. `hasLedger`: without a ledger in force events do not account
 * for usage and cooldowns. `isWhole`: whether every line of the ledger can be read.
 */
export function parityLines(io: Io, report: ParityReport, { hasLedger, isWhole }: { hasLedger: boolean; isWhole: boolean }): string[] {
  const paint = painter(io.stdout);
  const { ledgerCount, sqliteCount, missingInSqlite, missingInLedger, mismatched, unreadable, state, more, ahead } = report;
  // What is beyond the lists is not known by kind; it is told of with the events.
  const events = missingInSqlite.length + missingInLedger.length + mismatched.length + unreadable.length;
  // Lines that follow each other are told without a list.
  const range = ahead && ahead.count === ahead.to - ahead.from + 1 ? ahead : undefined;
  const onlyInLedger = rangesOf(missingInSqlite.filter((id) => !range || id < range.from));
  if (range) onlyInLedger.push([range.from, range.to]);
  const lines = events + more === 0
    ? [`parity    ${paint('green', 'ok')}: ${counted(sqliteCount, 'event')}, the same in both files`]
    : [
        `parity    ${paint('red', counted(events + more, 'difference'))} between ${counted(sqliteCount, 'event')} and ${counted(ledgerCount, 'line')}`,
        ...idLines(io, 'only in the database', rangesOf(missingInLedger)),
        ...idLines(io, 'only in the ledger', onlyInLedger),
        ...idLines(io, 'not the same', rangesOf(mismatched.map(({ id }) => id))),
        ...idLines(io, 'cannot be read', rangesOf(unreadable)),
        ...andMore(more - (range ? unlistedAhead(report) : 0)),
        ...(isWhole ? [] : ['  Behind the first damaged line of the ledger nothing was compared.']),
      ];
  if (!hasLedger) return [...lines, 'balances  not compared: events account for them only while the store has a ledger'];
  if (state.length === 0) return [...lines, `balances  ${paint('green', 'ok')}: usage and cooldowns are what the events add up to`];
  return [
    ...lines, `balances  ${paint('red', counted(state.length, 'difference'))} from what the events add up to`,
    ...state.flatMap((difference) => hanging(io, '  ', 4, differenceText(io, difference))),
  ];
}

type Range = [from: number, to: number];

function idLines(io: Io, what: string, ranges: readonly Range[]): string[] {
  if (ranges.length === 0) return [];
  const isOne = ranges.length === 1 && ranges[0]![0] === ranges[0]![1];
  const texts = ranges.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`));
  return hanging(io, `  ${painter(io.stdout)('red', what.padEnd(20))}  `, 24, `${isOne ? 'row' : 'rows'} ${texts.join(', ')}`);
}

/** Ids in order, those that follow each other as one range: `7`, `9-12`. */
function rangesOf(ids: readonly number[]): Range[] {
  const ranges: Range[] = [];
  for (const id of ids) {
    const last = ranges.at(-1);
    if (last && last[1] === id - 1) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}

function differenceText(io: Io, { entryId, day, of, expected, stored }: StateDifference): string[] {
  const shown = (value: number | string | undefined): string => {
    if (value === undefined) return 'nothing';
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? duration(value) : fit(String(value), 40);
  };
  const what = day === undefined ? `cooldown${of === 'setAt' ? ' set at' : ''}` : `usage of ${fit(day, 14)}`;
  return [`${fit(entryId, nameRoom(io.stdout, 4))},`, `${what}:`, `${shown(stored)},`, `by the events ${shown(expected)}`];
}
