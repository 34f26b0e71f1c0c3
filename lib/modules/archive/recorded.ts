// What the log says of its archives, found by the index of event ids, and the lock of whoever changes them.
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { type ArchivedRange, decodeArchived, decodeForgotten } from '../../core/retention-events.ts';
import { FileLock } from '../../recovery/lock.ts';
import { pathBeside } from '../../values/stem.ts';

/** The beginning of the ids of the events that record an archive, or that archives were deleted. */
export const archivedPrefix = 'log_archived:';
export const forgottenPrefix = 'archives_forgotten:';

type Row = [id: number, data: string];

function rowsOf({ all }: Pick<ModuleConnection, 'all'>, type: string): Row[] {
  const eventId = "json_extract(event_meta, '$.eventId')";
  const sql = `SELECT id, event_data FROM audit_log
    WHERE ${eventId} >= ? AND ${eventId} < ? AND ${eventId} IS NOT NULL AND event_type = ? ORDER BY id`;
  return all<Row>(sql, `${type}:`, `${type};`, type);
}

/** Every archive that the log still tells of, oldest first. */
export function recorded(connection: Pick<ModuleConnection, 'all'>): ArchivedRange[] {
  return rowsOf(connection, 'log_archived').flatMap(([id, data]) => decodeArchived(id, data) ?? []);
}

/** The archive that was recorded last. */
export function lastRecorded(connection: Pick<ModuleConnection, 'all'>): ArchivedRange | undefined {
  return recorded(connection).at(-1);
}

/** The rows that the log still tells to be the last ones of archives that were deleted. */
export function forgotten(connection: Pick<ModuleConnection, 'all'>): Anchor[] {
  return rowsOf(connection, 'archives_forgotten').flatMap(([id, data]) => decodeForgotten(id, data) ?? []);
}

/** Keeps every other process from archiving a store. Throws `ERR_STORE_BUSY` where one does. */
export function lockArchives(path: string): FileLock {
  return FileLock.acquire(pathBeside(path, '-archive-lock'), 0, `archives the log of ${path}`, [path]);
}
