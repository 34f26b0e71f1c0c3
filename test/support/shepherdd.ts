// Stores of the first source's service to import from: the file that it wrote itself, and changes of it.
import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { TestFolder } from './folder.ts';

const fixture = fileURLToPath(new URL('../fixtures/shepherdd-utc.db', import.meta.url));

/** What the service itself reads from the fixture. */
interface ServiceReading {
  audits: { id: number; timestamp: string; event: Record<string, unknown> & { type: string } }[];
  cooldowns: { entry_id: string; until: string | null }[];
  snapshot: { timestamp: string; active_session: Record<string, unknown> };
  usage: { entry_id: string; day: string; secs: number }[];
}

export function serviceReading(): ServiceReading {
  return JSON.parse(readFileSync(fixture.replace('.db', '.read.json'), 'utf8')) as ServiceReading;
}

/** A copy of the fixture in the folder, after `sql`. */
export function makeSource(folder: TestFolder, sql = '', name = 'shepherdd.db'): string {
  const path = folder.file(name);
  copyFileSync(fixture, path);
  change(path, sql);
  return path;
}

/** What the service made of its store when it became Lunchbox, with a row in each table that it has since. */
export const toLunchbox = `ALTER TABLE cooldowns RENAME COLUMN entry_id TO subject;
  CREATE TABLE token_balances (
    subject TEXT PRIMARY KEY, balance_secs INTEGER NOT NULL DEFAULT 0, updated_day TEXT NOT NULL
  );
  CREATE TABLE daily_overrides (
    subject TEXT NOT NULL, day TEXT NOT NULL, availability INTEGER, quota_delta_seconds INTEGER,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, PRIMARY KEY (subject, day)
  );
  CREATE TABLE audio_outputs (
    output_key TEXT PRIMARY KEY, description TEXT NOT NULL, kind TEXT NOT NULL,
    max_volume INTEGER, min_volume INTEGER, last_seen TEXT NOT NULL
  );
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
  INSERT INTO token_balances VALUES ('minecraft', 600, '2026-03-14'), ('group:games', 60, '2026-03-14');
  INSERT INTO daily_overrides VALUES
    ('group:games', '2026-03-14', 0, NULL, '2026-03-14T10:00:00+00:00', '2026-03-14T10:00:00+00:00'),
    ('minecraft', '2026-03-14', NULL, 1800, '2026-03-14T10:00:00+00:00', '2026-03-14T10:00:00+00:00');
  INSERT INTO audio_outputs VALUES ('alsa:hdmi-0', 'HDMI', 'hdmi', 80, NULL, '2026-03-14T10:00:00+00:00');
  INSERT INTO settings VALUES ('auto_brightness_enabled', 'true'), ('pin', 'secret-4711');
  INSERT INTO cooldowns VALUES ('group:games', '2026-03-14T18:00:00.5+00:00');`;

/** What the service does to its store while it runs on. */
export function change(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

/** Rows of the source's log with a fraction of a second that tells them apart. */
export function addEvents(count: number): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO audit_log (timestamp, event_json)
      SELECT printf('2026-03-15T10:00:00.%09d+00:00', i), '{"type":"service_started"}' FROM n;`;
}

/** The file and what stands beside it: names, times and bytes. Only for files that this process does not have open. */
export function filesOf(path: string): unknown[] {
  return readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path))).sort().map((name) => {
    const file = join(dirname(path), name);
    return [name, statSync(file).mtimeMs, readFileSync(file, 'latin1')];
  });
}

/** Every row of every table. */
export function dump(path: string): Record<string, unknown[]> {
  using db = new DatabaseSync(path, { readOnly: true });
  const tables = db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map(({ name }) => String(name));
  return Object.fromEntries(tables.map((table) => [table, db.prepare(`SELECT * FROM "${table}" ORDER BY 1, 2`).all()]));
}
