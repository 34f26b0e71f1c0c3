// Rehearses what a service does again and again: each operation is done once and undone, so that damage is met while a
// recovery can still see to it.
import type { Opened } from '../core/open.ts';
import { localDay } from '../values/days.ts';
import { codeOf, StoreError } from '../values/errors.ts';
import { isSchemaDamage } from './damaged.ts';

// This is more entries than a screen shows, and each costs one or two look-ups.
const rehearsedRows = 100;

/**
 * Makes each of a service's usual writes once and undoes them. Otherwise a damaged page that open does not read would
 * stop the service after each start. Throws SQLite's own error for damage. Reads a few pages and writes none.
 */
export function rehearse({ connection, log, usage, pair }: Opened): void {
  try {
    connection.run('BEGIN IMMEDIATE');
    const head = log.head();
    if (head && log.hashAt(head.id) !== head.hash) {
      throw new StoreError('ERR_STORE_CORRUPT', `the last row of audit_log is not found under its id ${head.id}`);
    }
    connection.run(`INSERT INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash)
      SELECT coalesce(max(id), 0) + 1, '', '', '', json_object('eventId', ?), '' FROM audit_log`, log.uuid);
    // Each entry gets a row, so that both indexes are read where its next row goes. There may be any number of entries,
    // so only those that a service uses these days and the cooldowns that end last are tried.
    const days = JSON.stringify([...usage.lastDays(), localDay(connection.now())]);
    connection.run(`INSERT INTO usage (entry_id, day, duration_secs)
      SELECT DISTINCT entry_id, '9999-12-31', 0 FROM usage
      WHERE day IN (SELECT value FROM json_each(?)) LIMIT ${rehearsedRows} ON CONFLICT DO NOTHING`, days);
    connection.run(`INSERT INTO cooldowns (entry_id, until) SELECT entry_id || ' ', until FROM cooldowns
      ORDER BY until DESC LIMIT ${rehearsedRows} ON CONFLICT DO NOTHING`);
    connection.run(`INSERT INTO overrides (subject, day) SELECT DISTINCT subject, '9999-12-31' FROM overrides
      WHERE day >= (SELECT min(value) FROM json_each(?)) LIMIT ${rehearsedRows} ON CONFLICT DO NOTHING`, days);
    connection.run(`INSERT INTO balances (subject, balance_ms) SELECT subject || ' ', balance_ms FROM balances
      LIMIT ${rehearsedRows} ON CONFLICT DO NOTHING`);
    connection.run("UPDATE snapshot SET data = data || ' '");
    connection.run("UPDATE store_meta SET created_at = created_at || ' '");
    pair.rehearse();
  } catch (error) {
    // Any other error, such as a full disk or another writer, is ignored here: the real operation will report it.
    if (codeOf(error) === 'ERR_STORE_CORRUPT' || isSchemaDamage(error)) throw error;
  } finally {
    connection.undo();
  }
}
