// Reads overrides and balances and makes lines of them. Each is read by itself, so that one that cannot be read hides
// no other.
import type { Availability } from '../core/events.ts';
import { connect, type SqliteStore } from '../store.ts';
import { attemptRow, keyText, type RowError, unreadable } from './rows.ts';
import { brief, nameColumn, type Output, painter } from './text.ts';

/** What a day permits a subject beyond its rules, or the error of an override that cannot be read. */
export interface OverrideRow {
  subject: string;
  day: string;
  grantedMs?: number;
  availability?: Availability;
  error?: RowError;
}

/** A balance, or the error of one that cannot be read. */
export interface BalanceRow {
  subject: string;
  balanceMs?: number;
  error?: RowError;
}

/** The overrides of a day by subject. */
export function readOverrides(store: SqliteStore, day: string): OverrideRow[] {
  const door = connect(store);
  const sql = `SELECT subject FROM overrides
    WHERE day = ? AND (granted_ms IS NOT 0 OR availability IS NOT NULL) ORDER BY subject`;
  const keys = door.read('list the overrides', () => door.all<[unknown]>(sql, day));
  return keys.map(([subject]) => {
    const { value, error } = attemptRow(() => store.getOverride(subject as string, day));
    return { subject: keyText(subject), day, ...(error ? { error } : value) };
  });
}

/** All balances by subject. */
export function readBalances(store: SqliteStore): BalanceRow[] {
  const door = connect(store);
  const sql = 'SELECT subject FROM balances ORDER BY subject';
  const keys = door.read('list the balances', () => door.all<[unknown]>(sql));
  return keys.map(([subject]) => {
    const { value, error } = attemptRow(() => store.getBalance(subject as string));
    return { subject: keyText(subject), ...(error ? { error } : { balanceMs: value }) };
  });
}

/** A line for each of the overrides and balances, the former being those of today. */
export function limitLines(
  stdout: Output, overrides: readonly OverrideRow[], balances: readonly BalanceRow[],
): string[] {
  const names = nameColumn(stdout, [...overrides, ...balances].map(({ subject }) => subject), 36);
  const bad = painter(stdout)('red', unreadable);
  return [
    ...overrides.map((row) => `  ${names.cell(row.subject)}  ${row.error ? bad : overrideText(row)}`),
    ...balances.map(({ subject, balanceMs, error }) => {
      return `  ${names.cell(subject)}  ${error ? bad : `a balance of ${brief(balanceMs!)}`}`;
    }),
  ];
}

function overrideText({ grantedMs = 0, availability }: OverrideRow): string {
  const granted = grantedMs === 0 ? [] : [grantedText(grantedMs)];
  return [...(availability ? [`${availability} today`] : []), ...granted].join(', ');
}

/** What was granted of a day, or taken away from it. */
export function grantedText(ms: number): string {
  return ms < 0 ? `${brief(-ms)} taken away` : `${brief(ms)} granted`;
}
