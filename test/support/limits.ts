// Rows of limits, as a test wants them.
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';

/** A statement of SQL and its values. */
export type Statement = readonly [sql: string, ...values: SQLInputValue[]];

/** Runs statements on a store, as one transaction. */
export function runSql(store: SqliteStore, ...statements: Statement[]): void {
  const door = connect(store);
  door.write('test', 'change rows', () => {
    for (const [sql, ...values] of statements) door.prepare(sql).run(...values);
  });
}

/** Sets what a subject is granted on a day, and whether it is allowed or denied, by a connection of plain SQLite. */
export function override(
  db: DatabaseSync, subject: string, day: string, grantedMs: number, availability?: 'allowed' | 'denied',
): void {
  const sql = 'INSERT INTO overrides (subject, day, granted_ms, availability) VALUES (?, ?, ?, ?)';
  db.prepare(sql).run(subject, day, grantedMs, availability ?? null);
}

/** Sets the balance of a subject in the same way. */
export function balance(db: DatabaseSync, subject: string, balanceMs: number): void {
  db.prepare('INSERT INTO balances (subject, balance_ms) VALUES (?, ?)').run(subject, balanceMs);
}
