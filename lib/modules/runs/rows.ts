// What the files of this folder share: errors with their context, and checks.
import type { ModuleConnection } from '../../core/door.ts';
import { checkInteger, quote } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
import { checkJson } from '../../values/json.ts';

/** Gives the time of the open transaction, in the form in which it is stored. */
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

/** Lists the first names for a message, and says `others` where `names` has more than `shownNames`. */
export function naming(names: readonly string[]): string {
  return [...names.slice(0, shownNames).map(quote), ...(names.length > shownNames ? ['others'] : [])].join(', ');
}

/** How many names a message shows. A query asks for one more, so that `naming` knows whether there are others. */
export const shownNames = 3;

/** Which rows of a list to give. */
export interface Page {
  /** The most rows to give; all of them where absent. */
  limit?: number | undefined;
  /** How many rows to skip first. Each of them is read, so a large offset takes its time. */
  offset?: number | undefined;
}

/** Gives the values of LIMIT and OFFSET for a page. To SQLite a negative limit means no limit. */
export function checkPage({ limit, offset }: Page): [limit: number, offset: number] {
  return [
    limit === undefined ? -1 : checkInteger('options.limit', limit, 0),
    offset === undefined ? 0 : checkInteger('options.offset', offset, 0),
  ];
}

/** Gives the JSON text of a value. Throws `ERR_STORE_SERIALIZATION` for a value that JSON does not carry unchanged. */
export function encodeJson(name: string, value: unknown): string {
  return JSON.stringify(checkJson(name, value));
}

/** `encodeJson` for what may be absent, which is NULL. */
export function encodeOptionalJson(name: string, value: unknown): string | null {
  return value === undefined ? null : encodeJson(name, value);
}

/**
 * Gives the `started_at` and `completed_at` that follow from a change to `status`: `running` sets the start, unless
 * there is one already; neither `running` nor `pending` has ended; every other status sets the end.
 */
export function timesAfter(
  status: string, startedAt: string | null, now: string,
): [startedAt: string | null, completedAt: string | null] {
  if (status === 'running') return [startedAt ?? now, null];
  return [startedAt, status === 'pending' ? null : now];
}
