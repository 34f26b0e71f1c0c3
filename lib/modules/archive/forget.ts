// Forgetting, as privacy law asks for it: usage of days that are past, and archives. The log says so.
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { encodeChecked, type RetentionEvent } from '../../core/events.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { checkDate, checkOptions, invalid, parseInstant } from '../../values/checks.ts';
import { checkDay, localDay } from '../../values/days.ts';
import { attempt, StoreError } from '../../values/errors.ts';
import { syncFolder } from '../../values/folders.ts';
import { checkPath } from '../../values/paths.ts';
import { saveAgain } from '../save-again.ts';
import { type ArchiveFile, findArchives, openArchive } from './files.ts';
import { lockArchives } from './recorded.ts';

const dayMs = 86_400_000;
// A quota may be one of a week, so what was used in the last seven days still counts.
const countedDays = 7;

/**
 * Deletes the totals of usage of the days before `before` (`YYYY-MM-DD`), and gives how many. Durable on return; the
 * event `usage_forgotten` records it, and the snapshot file is written again without them. What is deleted is still in
 * the free pages of the database until it is vacuumed, and with a ledger in the events from which the totals came.
 * Throws `ERR_STORE_INVALID_ARGUMENT` for a day of the last seven, by the store's clock: a weekly quota would begin
 * anew.
 */
export function forgetUsage(store: SqliteStore, options: { before: string }): number {
  const connection = connect(store);
  const { before } = checkOptions('options', options, ['before']);
  checkDay('options.before', before);
  return connection.write('forgetUsage', `forget the usage before ${before}`, () => {
    const today = Date.parse(`${localDay(connection.now())}T00:00:00Z`);
    const first = new Date(today - (countedDays - 1) * dayMs).toISOString().slice(0, 10);
    if (before > first) throw invalid('options.before', before, `a day up to ${first}, because later ones still count`);
    const rows = connection.parts.usage.forget(before);
    if (rows === 0) return 0;
    const event: RetentionEvent = { type: 'usage_forgotten', before, rows };
    connection.appendAudit(encodeChecked(event));
    saveAgain(store);
    return rows;
  });
}

/**
 * Deletes the oldest archives of a store in a folder: from the first one on, those whose last row is older than
 * `before`, and gives them. The event `archives_forgotten`, which comes first, names them; from then on
 * `verifyArchives` begins behind them. Throws `ERR_STORE_BUSY` while another process archives this store,
 * `ERR_STORE_CORRUPT` for an archive that cannot be read, `ERR_STORE_NOT_FOUND`, `ERR_STORE_PERMISSION`.
 */
export function forgetArchives(store: SqliteStore, folder: string, options: { before: Date }): ArchiveFile[] {
  const connection = connect(store);
  const target = checkPath(folder, 'folder');
  const before = checkDate('options.before', checkOptions('options', options, ['before']).before);
  const { path } = connection;
  if (path === undefined) throw invalid('store', 'a store in memory', 'a store in a file');
  return attempt(`forget archives of ${path}`, () => {
    // Refuses a store that may not be written before anything is read.
    connection.write('forgetArchives', 'forget archives', () => {});
    using _lock = lockArchives(path);
    const { log } = connection.parts;
    const begun = connection.read('read where the log begins', () => log.beginning().id);
    const old: ArchiveFile[] = [];
    let hash = '';
    for (const { after: _after, ...file } of findArchives(target)) {
      if (!log.owns({ store: file.store, lastId: file.to })) continue;
      const last = lastOf(file);
      if (file.to > begun || last.at >= before) break;
      old.push(file);
      hash = last.hash;
    }
    const to = old.at(-1)?.to;
    if (to === undefined) return [];
    connection.write('forgetArchives', 'record which archives are forgotten', () => {
      const eventId = `archives_forgotten:${to}`;
      if (log.hasEvent(eventId)) return; // a call that was cut short has recorded it
      const files = old.map((file) => basename(file.path));
      const event: RetentionEvent = { type: 'archives_forgotten', to, hash, files };
      connection.appendAudit({ ...encodeChecked(event), meta: JSON.stringify({ eventId }) });
    });
    for (const file of old) rmSync(file.path);
    syncFolder(target);
    return old;
  });
}

/** The hash and the time of the last row of an archive. Throws `ERR_STORE_CORRUPT` where it is not there. */
function lastOf({ path, to }: ArchiveFile): { hash: string; at: Date } {
  for (const row of openArchive(path).rows(to)) {
    const at = parseInstant(row.timestamp);
    if (row.id === to && at) return { hash: row.hash, at };
  }
  throw new StoreError('ERR_STORE_CORRUPT', `${path} does not end with row ${to}: it is damaged`);
}
