// Writing the snapshot once more as it is, after something has changed that its file has as well.
import type { SqliteStore } from '../store.ts';
import { hasCode } from '../values/errors.ts';

/** Saves the state again, inside the open transaction, where there is one that can be read. */
export function saveAgain(store: SqliteStore): void {
  try {
    const state = store.loadSnapshot();
    if (state) store.saveSnapshot(state);
  } catch (error) {
    if (!hasCode(error, 'ERR_STORE_CORRUPT')) throw error; // a damaged snapshot must not keep the rest from happening
  }
}
