// What of a store can be read: a part that cannot is told in its place, and hides no other part.
import { codeOf, StoreError, type StoreErrorCode, toStoreError } from '../../values/errors.ts';
import type { Part } from './contents.ts';

/** What a report shows in the place of a part. Other errors, such as that of a closed store, leave nothing to show. */
const shown: readonly StoreErrorCode[] = [
  'ERR_STORE_CORRUPT', 'ERR_STORE_DATABASE', 'ERR_STORE_IO', 'ERR_STORE_MIGRATION',
];

/** Whether an error says that something in the store cannot be read. */
export function isUnreadable(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && shown.includes(code);
}

/** What `read` gives, or why it cannot be read. `what` completes "failed to …". */
export function partOf<T>(what: string, read: () => T): Part<T> {
  try {
    return { value: read() };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { unreadable: (toStoreError(error, what) as StoreError).message };
  }
}
