// Triggers and indexes that somebody has dropped, made anew.
import { identify } from '../core/schema.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { StoreError } from '../values/errors.ts';

/** Makes the triggers and indexes that a store lacks. Throws `ERR_STORE_CORRUPT` if its rows do not allow them. */
export function mendObjects(db: DatabaseSync): void {
  const file = identify(db);
  for (const sql of file.kind === 'store' ? file.lacking : []) {
    try {
      db.exec(sql);
    } catch (cause) {
      if ((cause as { errcode?: number }).errcode !== 2067) throw cause; // SQLITE_CONSTRAINT_UNIQUE
      const why = `since somebody dropped what keeps them apart: ${sql.split('\n')[0]}`;
      throw new StoreError('ERR_STORE_CORRUPT', `two events have one event id, ${why}`, { cause });
    }
  }
}
