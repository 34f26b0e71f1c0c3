// What the log says of its archives, found by the index of event ids, and the lock of whoever changes them.
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { namedSql } from '../../core/log.ts';
import { type ArchivedRange, decodeArchived, decodeForgotten } from '../../core/retention-events.ts';
import { FileLock } from '../../recovery/lock.ts';
import { pathBeside } from '../../values/stem.ts';

type Row = [id: number, data: string];

const rowsSql = `SELECT id, event_data ${namedSql} ORDER BY id`;

/** Every archive that the log still tells of, oldest first. */
export function recorded(connection: Pick<ModuleConnection, 'all'>): ArchivedRange[] {
  return connection.all<Row>(rowsSql, 'log_archived').flatMap(([id, data]) => decodeArchived(id, data) ?? []);
}

/** The archive that was recorded last. */
export function lastRecorded(connection: Pick<ModuleConnection, 'all'>): ArchivedRange | undefined {
  return recorded(connection).at(-1);
}

/** The rows that the log still tells to be the last ones of archives that were deleted. */
export function forgotten(connection: Pick<ModuleConnection, 'all'>): Anchor[] {
  return connection.all<Row>(rowsSql, 'archives_forgotten').flatMap(([id, data]) => decodeForgotten(id, data) ?? []);
}

/** Keeps every other process from archiving a store. Throws `ERR_STORE_BUSY` where one does. */
export function lockArchives(path: string): FileLock {
  return FileLock.acquire(pathBeside(path, '-archive-lock'), 0, `archives the log of ${path}`, [path]);
}
