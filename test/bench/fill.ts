// A long log, made as fast as SQLite can: its rows are those that appendAudit would have made.
import { DatabaseSync } from 'node:sqlite';
import { genesisHash, rowHash } from '../../lib/core/chain.ts';
import { SqliteStore } from '../../lib/index.ts';
import { day, entries, entry } from './both.ts';

const timestamp = '2026-11-21T10:00:00.000Z';

/** Makes a store with so many events, all in one chain, and some usage. */
export function makeLong(path: string, rows: number): void {
  const store = SqliteStore.open(path);
  store.transaction(() => entries.forEach((entryId) => store.addUsage(entryId, day, 90_500)));
  store.close();
  using db = new DatabaseSync(path);
  // Nobody else has the file, and a machine that stops now has lost nothing.
  db.exec(
    'PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -64000',
  );
  const triggers = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").all() as {
    name: string;
    sql: string;
  }[];
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`);
  const insert = db.prepare(
    'INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (?, ?, ?, ?, ?)',
  );
  let hash = genesisHash((db.prepare('SELECT uuid FROM store_meta').get() as { uuid: string }).uuid);
  db.exec('BEGIN');
  for (let id = 1; id <= rows; id++) {
    const row = {
      id,
      timestamp,
      type: 'session_started',
      data: `{"sessionId":"session-${id}","entryId":"${entry(id)}","label":"A game"}`,
      meta: null,
    };
    hash = rowHash(hash, row);
    insert.run(id, timestamp, row.type, row.data, hash);
  }
  db.exec('COMMIT');
  for (const { sql } of triggers) db.exec(sql);
  db.exec('PRAGMA journal_mode = WAL');
}
