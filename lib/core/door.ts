// The door for modules: what a module of this package may use of a store.
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import type { EventTexts } from './events.ts';
import type { StoreParts } from './parts.ts';

/** What a module works with; `connect` in lib/store.ts gives it. */
export interface ModuleConnection {
  /** The statement for this SQL, prepared once, giving rows as arrays. Ask for it at each use. */
  prepare(sql: string): StatementSync;
  /** The first row that `sql` gives, as an array. */
  get<Row extends readonly unknown[]>(sql: string, ...values: SQLInputValue[]): Row | undefined;
  /** All rows that `sql` gives, as arrays. */
  all<Row extends readonly unknown[]>(sql: string, ...values: SQLInputValue[]): Row[];
  /** The time by the store's clock, which is read once for all of a transaction. */
  now(): Date;
  /** Runs a read. `what` completes "failed to …"; errors get it as their context. */
  read<T>(what: string, fn: () => T): T;
  /**
   * Runs a write of the module's own tables, in a transaction of its own or as a part of the open one. `operation` is
   * the public name of what writes; `EndedWrite` has it.
   */
  write<T>(operation: string, what: string, fn: () => T): T;
  /** Runs several reads that see one state of the database. */
  readTogether<T>(what: string, fn: () => T): T;
  /** Appends an event of any type inside a `write`; `timestamp` is the text of its time where that is not now. */
  appendAudit(event: EventTexts, timestamp?: string): number;
  uuid: string;
  /** The database's file; absent for a store in memory. */
  path: string | undefined;
  /** Whether the store was opened read-only. */
  isReadOnly: boolean;
  /** The subjects of the store, for a ledger, whose replay writes their rows. */
  parts: StoreParts;
}
