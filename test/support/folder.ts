// A fresh folder for one test: everything in it is checked when the test ends, and then removed.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import { type CoreEvent, type EventBase, type OpenOptions, SqliteStore } from '../../lib/index.ts';

export class TestFolder {
  /** The folder itself, mode 0700. */
  readonly path: string;
  readonly #open: { close(): void }[] = [];

  /** `checked: false` is for a test that damages its database on purpose; `inMemory` for one that needs no disk. */
  constructor(t: TestContext, { checked = true, inMemory = false } = {}) {
    const memory = '/dev/shm'; // where the system has it, an fsync costs nothing there
    this.path = mkdtempSync(join(inMemory && existsSync(memory) ? memory : tmpdir(), 'shepherd-store-test-'));
    t.after(async () => {
      try {
        for (const store of this.#open.reverse()) store.close();
        if (checked && existsSync(this.file())) await checkStore(this.file());
      } finally {
        rmSync(this.path, { recursive: true, force: true });
      }
    });
  }

  /** The path of a file in the folder; by default of the store. */
  file(name = 'store.db'): string {
    return join(this.path, name);
  }

  /** Opens the folder's store; it is closed when the test ends. */
  open<E extends EventBase = CoreEvent>(options?: OpenOptions): SqliteStore<E> {
    return this.closing(SqliteStore.open<E>(this.file(), options));
  }

  /** Has something closed when the test ends, before the folder is checked. */
  closing<T extends { close(): void }>(resource: T): T {
    this.#open.push(resource);
    return resource;
  }

  /** A second connection of plain SQLite to the store, for looking or for doing harm; closed when the test ends. */
  raw(): DatabaseSync {
    const db = new DatabaseSync(this.file());
    this.#open.push({ close: () => db.isOpen && db.close() });
    return db;
  }
}

/** What every test ends with: SQLite finds nothing wrong with the file, nor the store with its log. */
export async function checkStore(path: string): Promise<void> {
  using db = new DatabaseSync(path, { timeout: 5_000 }); // a process of the test's may be about to close it
  assert.deepEqual(db.prepare('PRAGMA integrity_check').all().map((row) => row['integrity_check']), ['ok']);
  assert.deepEqual(db.prepare('PRAGMA foreign_key_check').all(), []);
  using store = SqliteStore.openReadOnly(path);
  const report = await store.verifyAudit();
  assert.deepEqual(report.findings, []);
}
