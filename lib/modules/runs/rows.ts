// What the files of this folder share: rows as arrays, errors with their context, and checks.
import { StoreError } from '../../errors.ts';
import type { ModuleConnection } from '../../store.ts';
import { checkInteger, checkJson, checkText, invalid, quote } from '../../values.ts';

type Value = string | number | null;

/** The first row that `sql` gives, as an array. */
export function get<Row>(connection: ModuleConnection, sql: string, ...values: Value[]): Row | undefined {
  return connection.prepare(sql).get(...values) as Row | undefined;
}

/** All rows that `sql` gives, as arrays. */
export function all<Row>(connection: ModuleConnection, sql: string, ...values: Value[]): Row[] {
  return connection.prepare(sql).all(...values) as unknown as Row[];
}

/** The time of the open transaction as it is stored. */
export function nowText(connection: ModuleConnection): string {
  return connection.now().toISOString();
}

/** `what` completes "failed to …". */
export function conflict(what: string, why: string): StoreError {
  return new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
}

/** `what` completes "failed to …". */
export function notFound(what: string, missing: string): StoreError {
  return new StoreError('ERR_STORE_NOT_FOUND', `failed to ${what}: there is no ${missing}`);
}

/** A few names for a message; `names` has one more than are shown where there are others. */
export function naming(names: readonly string[]): string {
  return [...names.slice(0, shownNames).map(quote), ...(names.length > shownNames ? ['others'] : [])].join(', ');
}

/** How many names a message shows; one more is asked for. */
export const shownNames = 3;

/** Refuses anything but one of the words. */
export function checkOneOf<T extends string>(name: string, value: unknown, words: readonly T[]): T {
  if (!words.includes(value as T)) throw invalid(name, value, `one of ${words.join(', ')}`);
  return value as T;
}

/** `checkText` for what may be absent. */
export function checkOptionalText(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : checkText(name, value);
}

/** Which rows of a list to give. */
export interface Page {
  /** At most so many; all of them where absent. */
  limit?: number;
  /** Behind so many, which are read past: far into a long list that takes its time. */
  offset?: number;
}

/** What LIMIT and OFFSET get for a page; a negative limit is none to SQLite. */
export function checkPage({ limit, offset }: Page): [limit: number, offset: number] {
  return [
    limit === undefined ? -1 : checkInteger('options.limit', limit, 0),
    offset === undefined ? 0 : checkInteger('options.offset', offset, 0),
  ];
}

/** A value as the JSON text that is stored. Throws `ERR_STORE_SERIALIZATION` for what JSON does not carry unchanged. */
export function encodeJson(name: string, value: unknown): string {
  return JSON.stringify(checkJson(name, value));
}

/** `encodeJson` for what may be absent, which is NULL. */
export function encodeOptionalJson(name: string, value: unknown): string | null {
  return value === undefined ? null : encodeJson(name, value);
}

/**
 * `started_at` and `completed_at` that follow from a change to `status`: running starts, unless it has a start already;
 * pending has not ended; everything else ends.
 */
export function timesAfter(status: string, startedAt: string | null, now: string): [startedAt: string | null, completedAt: string | null] {
  if (status === 'running') return [startedAt ?? now, null];
  return [startedAt, status === 'pending' ? null : now];
}
