// What a service would write on node:sqlite by itself, with the same promises: a commit is on the disk when it returns, written with
// the same PRAGMAs, and the snapshot is kept twice. No hash chain, no checks, no health.
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

const schema = `
  CREATE TABLE IF NOT EXISTS audit_log (id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, event_type TEXT NOT NULL, event_data TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS usage (entry_id TEXT NOT NULL, day TEXT NOT NULL, duration_ms INTEGER NOT NULL, PRIMARY KEY (entry_id, day));
  CREATE TABLE IF NOT EXISTS cooldowns (entry_id TEXT PRIMARY KEY, until TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), data TEXT NOT NULL);`;

export class PlainStore {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #insert: StatementSync;
  readonly #add: StatementSync;
  readonly #usage: StatementSync;
  readonly #recent: StatementSync;
  readonly #cooldown: StatementSync;
  readonly #snapshot: StatementSync;

  constructor(path: string) {
    const url = pathToFileURL(path);
    url.searchParams.set('psow', '0');
    this.#path = path;
    this.#db = new DatabaseSync(url, { timeout: 5_000 });
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    this.#db.exec(schema);
    this.#insert = this.#db.prepare('INSERT INTO audit_log (timestamp, event_type, event_data) VALUES (?, ?, ?)');
    this.#add = this.#db.prepare('INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET duration_ms = duration_ms + excluded.duration_ms RETURNING duration_ms');
    this.#usage = this.#db.prepare('SELECT duration_ms FROM usage WHERE entry_id = ? AND day = ?');
    this.#recent = this.#db.prepare('SELECT * FROM audit_log ORDER BY id DESC LIMIT ?');
    this.#cooldown = this.#db.prepare('INSERT INTO cooldowns VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until');
    this.#snapshot = this.#db.prepare('INSERT INTO snapshot VALUES (1, ?) ON CONFLICT DO UPDATE SET data = excluded.data');
  }

  append({ type, ...data }: { type: string; [field: string]: unknown }): void {
    this.#insert.run(new Date().toISOString(), type, JSON.stringify(data));
  }

  addUsage(entryId: string, day: string, durationMs: number): unknown {
    // Not get(): it leaves the statement before its end, and SQLite's auto-checkpoint only comes at the end.
    return this.#add.all(entryId, day, durationMs)[0]!['duration_ms'];
  }

  getUsage(entryId: string, day: string): unknown {
    return this.#usage.get(entryId, day)?.['duration_ms'] ?? 0;
  }

  recent(limit: number): unknown[] {
    return this.#recent.all(limit).map(({ id, timestamp, event_type, event_data }) => ({
      id, timestamp: new Date(String(timestamp)), event: { type: event_type, ...(JSON.parse(String(event_data)) as object) },
    }));
  }

  setCooldown(entryId: string, until: Date): void {
    this.#cooldown.run(entryId, until.toISOString());
  }

  /** The row; `placeSnapshot` puts the file beside it when the transaction has committed. */
  saveSnapshot(text: string): void {
    this.#snapshot.run(text);
    writeFileSync(`${this.#path}.tmp`, text, { flush: true });
  }

  placeSnapshot(): void {
    renameSync(`${this.#path}.tmp`, `${this.#path}.json`);
    const folder = openSync(dirname(this.#path), 'r');
    fsyncSync(folder);
    closeSync(folder);
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
