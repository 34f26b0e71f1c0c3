// Stores of the first source's service to import from: the file that it wrote itself, and changes of it.
import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { TestFolder } from './folder.ts';

const fixture = fileURLToPath(new URL('../fixtures/shepherdd-utc.db', import.meta.url));

/** What the service itself reads from the fixture. */
export interface ServiceReading {
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

/** What the service does to its store while it runs on. */
export function change(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

/** Rows of the source's log with a fraction of a second that tells them apart. */
export function addEvents(count: number): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO audit_log (timestamp, event_json) SELECT printf('2026-03-15T10:00:00.%09d+00:00', i), '{"type":"service_started"}' FROM n;`;
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
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all().map(({ name }) => String(name));
  return Object.fromEntries(tables.map((table) => [table, db.prepare(`SELECT * FROM "${table}" ORDER BY 1, 2`).all()]));
}
