// Rows for people to look at: each is read by itself, so that one that cannot be read hides no other.
import { StoreError } from '../errors.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import { show } from '../values.ts';
import { bar, columnWidth, duration, fit, instantText, lineWidth, pad, painter, plain, span, wrap } from './text.ts';
import type { Output } from './text.ts';

/** Why something could not be read, as `--json` shows it. */
export interface RowError {
  code: string;
  message: string;
}

/** An entry's total of a day, or why it cannot be read. */
export interface UsageRow {
  entryId: string;
  day: string;
  durationMs?: number;
  error?: RowError;
}

/** An entry's cooldown, or why it cannot be read. */
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

/** A key that is no text can only come from damage or another program; it is shown, and its row is an error. */
export const keyText = (key: unknown): string => (typeof key === 'string' ? key : show(key));

/** All totals from one day to another, both inclusive, by day and entry. */
export function readUsage(store: SqliteStore, from: string, to: string, entryId?: string): UsageRow[] {
  const sql = 'SELECT entry_id, day FROM usage WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR entry_id = ?3) ORDER BY day, entry_id';
  const door = connect(store);
  const keys = door.read('list the usage', () => door.prepare(sql).all(from, to, entryId ?? null)) as unknown as [unknown, unknown][];
  return keys.map(([entry, day]) => {
    const { value, error } = attemptRow(() => store.getUsage(entry as string, day as string));
    return { entryId: keyText(entry), day: keyText(day), ...(error ? { error } : { durationMs: value }) };
  });
}

/** All cooldowns: those that cannot be read, those that run, the first to end first, and then those that are over. */
export function readCooldowns(store: SqliteStore, now: Date): CooldownRow[] {
  const door = connect(store);
  const keys = door.read('list the cooldowns', () => door.prepare('SELECT entry_id FROM cooldowns ORDER BY entry_id').all()) as unknown as [unknown][];
  const rows = keys.map(([entry]): CooldownRow => {
    const { value, error } = attemptRow(() => store.getCooldownUntil(entry as string));
    if (error) return { entryId: keyText(entry), error };
    return { entryId: keyText(entry), ...(value ? { until: value, running: value > now } : undefined) };
  });
  const rank = ({ error, running }: CooldownRow): number => (error ? 0 : running ? 1 : 2);
  const end = ({ until }: CooldownRow): number => until?.getTime() ?? 0;
  return rows.sort((a, b) => rank(a) - rank(b) || (rank(a) === 2 ? end(b) - end(a) : end(a) - end(b)));
}

/** The widest that an entry id gets in a table. */
export const entryColumns = 28;

/** The lines of a day's totals, a bar each, the longest first. */
export function usageLines(stdout: Output, width: number, rows: readonly UsageRow[], longestMs = longestOf(rows)): string[] {
  const paint = painter(stdout);
  const entryWidth = columnWidth(rows.map(({ entryId }) => entryId), entryColumns);
  const amountWidth = columnWidth(rows.map(({ durationMs = 0 }) => duration(durationMs)), 20);
  const barWidth = Math.max(10, Math.min(40, width - entryWidth - amountWidth - 6));
  const sorted = [...rows].sort((a, b) => (b.durationMs ?? Infinity) - (a.durationMs ?? Infinity));
  return sorted.map(({ entryId, durationMs, error }) => {
    const entry = pad(fit(entryId, entryWidth), entryWidth);
    if (error) return `  ${entry}  ${paint('red', unreadable)}`;
    return `  ${entry}  ${pad(duration(durationMs!), amountWidth, true)}  ${paint('cyan', bar(durationMs!, longestMs, barWidth))}`;
  });
}

function longestOf(rows: readonly UsageRow[]): number {
  return rows.reduce((longest, { durationMs = 0 }) => Math.max(longest, durationMs), 0);
}

/** The lines of cooldowns. */
export function cooldownLines(stdout: Output, rows: readonly CooldownRow[], now: Date): string[] {
  const paint = painter(stdout);
  const entryWidth = columnWidth(rows.map(({ entryId }) => entryId), entryColumns);
  return rows.map(({ entryId, until, running, error }) => {
    const entry = pad(fit(entryId, entryWidth), entryWidth);
    if (error) return `  ${entry}  ${paint('red', unreadable)}`;
    if (!until) return `  ${entry}  ${paint('dim', 'cleared just now')}`;
    const left = until.getTime() - now.getTime();
    return `  ${entry}  ${instantText(until)}  ${running ? paint('yellow', `${span(left)} left`) : paint('dim', `over for ${span(-left)}`)}`;
  });
}

// What stands in a table for a value that cannot be read; errorLines says why.
const unreadable = 'cannot be read';

/** The errors among rows, each in full. */
export function errorLines(stdout: Output, rows: readonly { error?: RowError }[]): string[] {
  const paint = painter(stdout);
  return rows.flatMap(({ error }) => (error ? wrap([`${error.code}:`, ...plain(error.message).split(' ')], lineWidth(stdout) - 2) : []).map((line, index) => paint('red', index === 0 ? line : `  ${line}`)));
}
