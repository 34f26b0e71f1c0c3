// Rows of limits, as a test wants them, whatever the methods of a store would refuse.
import type { SQLInputValue } from 'node:sqlite';
import type { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';

/** A statement of SQL and its values. */
export type Statement = readonly [sql: string, ...values: SQLInputValue[]];

/** Runs statements on a store, as one transaction. */
export function runSql(store: SqliteStore, ...statements: Statement[]): void {
  const door = connect(store);
  door.write('change rows', () => {
    for (const [sql, ...values] of statements) door.prepare(sql).run(...values);
  });
}

/** What a subject is granted on a day, and whether it is allowed or denied. */
export function override(
  store: SqliteStore, subject: string, day: string, grantedMs: number, availability?: 'allowed' | 'denied',
): void {
  runSql(store, ['INSERT INTO overrides VALUES (?, ?, ?, ?)', subject, day, grantedMs, availability ?? null]);
}

/** The balance of a subject. */
export function balance(store: SqliteStore, subject: string, balanceMs: number): void {
  runSql(store, ['INSERT INTO balances VALUES (?, ?)', subject, balanceMs]);
}
