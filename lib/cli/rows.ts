// Reads rows and makes lines of them. Each row is read by itself, so that one that cannot be read hides no other.
import { connect, type SqliteStore } from '../store.ts';
import { show } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import {
  bar, columnWidth, duration, instantText, lineWidth, nameColumn, type Output, pad, painter, plain, span, wrap,
} from './text.ts';

/** The error of something that could not be read, as `--json` shows it. */
export interface RowError {
  code: string;
  message: string;
}

/** An entry's total of a day, or the error of a total that cannot be read. */
export interface UsageRow {
  entryId: string;
  day: string;
  durationMs?: number;
  /** The time that the running session has used of this day so far. It is charged when the session ends. */
  runningMs?: number;
  error?: RowError;
}

/** An entry's cooldown, or the error of one that cannot be read. */
export interface CooldownRow {
  entryId: string;
  until?: Date;
  running?: boolean;
  error?: RowError;
}

/** What `fn` gives, or the store's error as a value. */
export function attemptRow<T>(fn: () => T): { value: T; error?: undefined } | { value?: undefined; error: RowError } {
  try {
    return { value: fn() };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

/** A key as text. One that is no text comes from damage or another program; it is shown, and reading its row fails. */
export const keyText = (key: unknown): string => (typeof key === 'string' ? key : show(key));

/** All totals from one day to another, both inclusive, by day and entry. */
export function readUsage(store: SqliteStore, from: string, to: string, entryId?: string): UsageRow[] {
  const sql = `SELECT entry_id, day FROM usage
    WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR entry_id = ?3) ORDER BY day, entry_id`;
  const door = connect(store);
  const keys: unknown = door.read('list the usage', () => door.prepare(sql).all(from, to, entryId ?? null));
  return (keys as [unknown, unknown][]).map(([entry, day]) => {
    const { value, error } = attemptRow(() => store.getUsage(entry as string, day as string));
    return { entryId: keyText(entry), day: keyText(day), ...(error ? { error } : { durationMs: value }) };
  });
}

/** All cooldowns: those that cannot be read, then the running ones in the order of their ends, then the past ones. */
export function readCooldowns(store: SqliteStore, now: Date): CooldownRow[] {
  const door = connect(store);
  const sql = 'SELECT entry_id FROM cooldowns ORDER BY entry_id';
  const keys: unknown = door.read('list the cooldowns', () => door.prepare(sql).all());
  const rows = (keys as [unknown][]).map(([entry]): CooldownRow => {
    const { value, error } = attemptRow(() => store.getCooldownUntil(entry as string));
    if (error) return { entryId: keyText(entry), error };
    return { entryId: keyText(entry), ...(value ? { until: value, running: value > now } : undefined) };
  });
  const rank = ({ error, running }: CooldownRow): number => (error ? 0 : running ? 1 : 2);
  const end = ({ until }: CooldownRow): number => until?.getTime() ?? 0;
  return rows.sort((a, b) => rank(a) - rank(b) || (rank(a) === 2 ? end(b) - end(a) : end(a) - end(b)));
}

/**
 * The lines of a day's totals, each with a bar, the longest first. The time of a session that was not charged yet is
 * part of the total and is named on a line below it, on which `session` says what session that is.
 */
export function usageLines(
  stdout: Output, rows: readonly UsageRow[], longestMs: number = longestOf(rows), session = 'the session that runs',
): string[] {
  const paint = painter(stdout);
  const amountWidth = columnWidth(rows.map((row) => duration(shownMs(row))), 24);
  const entries = nameColumn(stdout, rows.map(({ entryId }) => entryId), amountWidth + shortestBar + 6);
  const barWidth = Math.max(shortestBar, Math.min(40, lineWidth(stdout) - entries.width - amountWidth - 6));
  const sorted = [...rows].sort((a, b) => (b.error ? Infinity : shownMs(b)) - (a.error ? Infinity : shownMs(a)));
  return sorted.flatMap((row) => {
    const { entryId, runningMs, error } = row;
    const entry = `  ${entries.cell(entryId)}  `;
    if (error) return [entry + paint('red', unreadable)];
    const amount = pad(duration(shownMs(row)), amountWidth, true);
    const line = `${entry}${amount}  ${paint('cyan', bar(shownMs(row), longestMs, barWidth))}`;
    if (runningMs === undefined) return [line];
    return [line, paint('dim', `    ${duration(runningMs)} of it in ${session}`)];
  });
}

const shortestBar = 10;

/** The time that was charged, and the time that a running session has used so far. */
function shownMs({ durationMs = 0, runningMs = 0 }: UsageRow): number {
  return durationMs + runningMs;
}

function longestOf(rows: readonly UsageRow[]): number {
  return rows.reduce((longest, row) => Math.max(longest, shownMs(row)), 0);
}

/** A line for each cooldown. */
export function cooldownLines(stdout: Output, rows: readonly CooldownRow[], now: Date): string[] {
  const paint = painter(stdout);
  const texts = rows.map(({ until, running }) => {
    if (!until) return ['cleared just now', ''] as const;
    const left = until.getTime() - now.getTime();
    return [instantText(until), running ? `${span(left)} left` : `over for ${span(-left)}`] as const;
  });
  const taken = columnWidth(texts.map(([until, left]) => `${until}  ${left}`), 60) + 4;
  const entries = nameColumn(stdout, rows.map(({ entryId }) => entryId), taken);
  return rows.map(({ entryId, until, running, error }, index) => {
    const entry = `  ${entries.cell(entryId)}  `;
    const [when, left] = texts[index]!;
    if (error) return entry + paint('red', unreadable);
    return until ? `${entry}${when}  ${paint(running ? 'yellow' : 'dim', left)}` : entry + paint('dim', when);
  });
}

/** Stands in the place of a value that cannot be read; `errorLines` says why it cannot. */
export const unreadable = 'cannot be read';

/** The errors among rows, each in full. */
export function errorLines(stdout: Output, rows: readonly { error?: RowError }[]): string[] {
  const paint = painter(stdout);
  return rows.flatMap(({ error }) => {
    if (!error) return [];
    const lines = wrap([`${error.code}:`, ...plain(error.message).split(' ')], lineWidth(stdout) - 2);
    return lines.map((line, index) => paint('red', index === 0 ? line : `  ${line}`));
  });
}
