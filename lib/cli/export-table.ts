// What export writes: a table of rows that come a page at a time.
import type { SqliteStore } from '../store.ts';
import { localDay, nameable } from '../values/days.ts';
import type { Cell } from './csv.ts';
import type { RowError } from './rows.ts';

/** A row that cannot be read, by what names it. */
export class Unread {
  readonly key: Record<string, unknown>;
  readonly error: RowError;

  constructor(key: Record<string, unknown>, error: RowError) {
    this.key = key;
    this.error = error;
  }
}

/** Rows with the names of their columns. Pages come when they are asked for, and may be empty. */
export interface Table<T extends object> {
  columns: readonly string[];
  pages: Iterable<readonly (T | Unread)[]>;
  /** The cells of a row, one for each column. */
  cells(row: T): readonly Cell[];
  /** The same row for JSON. */
  document(row: T): object;
}

/** Which rows are asked for: of which days, both inclusive, in local time. */
export interface DayRange {
  from: string | undefined;
  to: string | undefined;
}

/** What a table is made of. */
export interface Asked {
  store: SqliteStore;
  range: DayRange;
  now: Date;
}

/** Whether a day is asked for. */
export function hasDay({ from, to }: DayRange, day: string): boolean {
  return (from === undefined || day >= from) && (to === undefined || day <= to);
}

/** Whether the local day of an instant is asked for. */
export function hasInstant(range: DayRange, instant: Date): boolean {
  const isAll = range.from === undefined && range.to === undefined;
  return isAll || hasDay(range, localDay(nameable(instant)));
}

/** How many rows a page has that are read by their keys. */
export const pageSize = 100;
