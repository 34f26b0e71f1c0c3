// Files that this package did not write.
import { writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { schemaVersion } from '../../lib/core/schema.ts';
import { run } from './process.ts';

/** The four tables of version 0, with two rows of each kind that a service would write. */
export const fourTables = `
  CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, event_type TEXT NOT NULL, event_data TEXT NOT NULL);
  CREATE TABLE usage (
    entry_id TEXT NOT NULL, day TEXT NOT NULL, duration_secs INTEGER NOT NULL, PRIMARY KEY (entry_id, day));
  CREATE TABLE cooldowns (entry_id TEXT PRIMARY KEY, until TEXT NOT NULL);
  CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), data TEXT NOT NULL);
  CREATE INDEX idx_audit_timestamp ON audit_log (timestamp);
  INSERT INTO audit_log VALUES
    (1, '2026-11-20T09:00:00+01:00', 'service_started', 'null'),
    (3, '2026-11-20T09:05:00.123456Z', 'session_started', '{"session_id":"s1","entry_id":"minecraft"}');
  INSERT INTO usage VALUES ('minecraft', '2026-11-20', 90), ('tuxpaint', '2026-11-20', 30);
  INSERT INTO cooldowns VALUES ('minecraft', '2026-11-20T10:00:00Z');
  INSERT INTO snapshot VALUES (1, '{"timestamp":"2026-11-20T09:30:00Z",' ||
    '"active_session":{"session_id":"s1","entry_id":"minecraft","started_at":"2026-11-20T09:05:00Z",' ||
    '"deadline":null,"warnings_issued":[300,60]}}');
`;

/** Makes a database with plain SQLite and closes it. */
export function makeDatabase(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

/** What a store of a newer version has, which `readers` and later versions can read and `writers` write. */
export function newerSchema(readers: number, writers = readers, version = schemaVersion + 1): string {
  return `PRAGMA user_version = ${version};
    INSERT INTO schema_version VALUES (${version}, 'from the future', '2030-01-01T00:00:00Z');
    UPDATE store_meta SET readable_from = ${readers}, writable_from = ${writers};`;
}

/** Runs SQL in a process that is killed then: what it leaves beside the database stays. */
export function makeAndDie(path: string, sql: string): void {
  run(path, `const db = new DatabaseSync(path); db.exec(${JSON.stringify(sql)}); die();`);
}

/** A file without any meaning. */
export function makeText(path: string): void {
  writeFileSync(path, 'Shopping list: bread, butter, a database.\n'.repeat(300));
}
