// What a service would write by itself, on node:sqlite or better-sqlite3, with the same promises: a commit is on the
// disk when it returns, written with the same PRAGMAs. No hash chain, no checks, no health. Rows come back as the store
// gives them: events parsed, instants as `Date`s, totals as numbers.
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/** What node:sqlite and better-sqlite3 have in common. */
export interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): Statement;
  close(): void;
}

interface Statement {
  run(...values: (string | number)[]): unknown;
  get(...values: (string | number)[]): unknown;
  all(...values: (string | number)[]): unknown[];
}

/** Opens a database at a path. */
export type Driver = (path: string) => Database;

/**
 * node:sqlite, padding commits in the WAL to whole sectors as the store does. better-sqlite3 takes no `file:` URL, so
 * cannot.
 */
export function nodeSqlite(path: string): Database {
  const url = pathToFileURL(path);
  url.searchParams.set('psow', '0');
  return new DatabaseSync(url, { timeout: 5_000 });
}

const schema = `
  CREATE TABLE IF NOT EXISTS audit_log (
    id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, event_type TEXT NOT NULL, event_data TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS usage (
    entry_id TEXT NOT NULL, day TEXT NOT NULL, duration_ms INTEGER NOT NULL, PRIMARY KEY (entry_id, day));
  CREATE TABLE IF NOT EXISTS cooldowns (entry_id TEXT PRIMARY KEY, until TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), data TEXT NOT NULL);`;

interface EventRow {
  id: number;
  timestamp: string;
  event_type: string;
  event_data: string;
}

export class BareStore {
  readonly #db: Database;
  readonly #insert: Statement;
  readonly #add: Statement;
  readonly #usage: Statement;
  readonly #recent: Statement;
  readonly #setCooldown: Statement;
  readonly #cooldown: Statement;
  readonly #snapshot: Statement;

  constructor(path: string, driver: Driver) {
    this.#db = driver(path);
    this.#db.exec('PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    this.#db.exec(schema);
    this.#insert = this.#db.prepare('INSERT INTO audit_log (timestamp, event_type, event_data) VALUES (?, ?, ?)');
    this.#add = this.#db.prepare(
      `INSERT INTO usage VALUES (?, ?, ?)
      ON CONFLICT DO UPDATE SET duration_ms = duration_ms + excluded.duration_ms RETURNING duration_ms`,
    );
    this.#usage = this.#db.prepare('SELECT duration_ms FROM usage WHERE entry_id = ? AND day = ?');
    this.#recent = this.#db.prepare('SELECT * FROM audit_log ORDER BY id DESC LIMIT ?');
    this.#setCooldown = this.#db.prepare(
      'INSERT INTO cooldowns VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until',
    );
    this.#cooldown = this.#db.prepare('SELECT until FROM cooldowns WHERE entry_id = ?');
    this.#snapshot = this.#db.prepare(
      'INSERT INTO snapshot VALUES (1, ?) ON CONFLICT DO UPDATE SET data = excluded.data',
    );
  }

  append({ type, ...data }: { type: string; [field: string]: unknown }): void {
    this.#insert.run(new Date().toISOString(), type, JSON.stringify(data));
  }

  addUsage(entryId: string, day: string, durationMs: number): number {
    // Not get(): it leaves the statement before its end, and SQLite's auto-checkpoint only comes at the end.
    return (this.#add.all(entryId, day, durationMs)[0] as { duration_ms: number }).duration_ms;
  }

  getUsage(entryId: string, day: string): number {
    return (this.#usage.get(entryId, day) as { duration_ms: number } | undefined)?.duration_ms ?? 0;
  }

  recent(limit: number): unknown[] {
    return (this.#recent.all(limit) as EventRow[]).map(({ id, timestamp, event_type, event_data }) => ({
      id, timestamp: new Date(timestamp), event: { type: event_type, ...(JSON.parse(event_data) as object) },
    }));
  }

  setCooldown(entryId: string, until: Date): void {
    this.#setCooldown.run(entryId, until.toISOString());
  }

  getCooldown(entryId: string): Date | undefined {
    const row = this.#cooldown.get(entryId) as { until: string } | undefined;
    return row && new Date(row.until);
  }

  saveSnapshot(text: string): void {
    this.#snapshot.run(text);
  }

  transaction(fn: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE');
    fn();
    this.#db.exec('COMMIT');
  }

  close(): void {
    this.#db.close();
  }
}
