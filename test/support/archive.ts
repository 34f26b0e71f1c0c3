// Stores whose logs are old enough to be archived, and what is told of them.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { OpenOptions, SqliteStore } from '../../lib/index.ts';
import { type Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { type Archived, archiveAudits, type ArchiveReport, verifyArchives } from '../../lib/modules/archive/archive.ts';
import type { VerifyOptions } from '../../lib/verify/chain-walk.ts';
import { Clocks } from './clocks.ts';
import type { TestFolder } from './folder.ts';

export const dayMs = 86_400_000;

/** A kiosk that has been running for some days: its store, and the clock that both go by. */
export interface Kiosk {
  clocks: Clocks;
  store: SqliteStore;
  /** The folder of its archives. */
  archives: string;
}

/** Events on each of some days, the last of them the day before the clock's: ids 1 to `days * perDay`. */
export function runFor(store: SqliteStore, clocks: Clocks, days: number, perDay: number): void {
  for (let day = 0; day < days; day++) {
    store.transaction(() => {
      for (let entryCount = 0; entryCount < perDay; entryCount++) {
        store.appendAudit({ type: 'policy_loaded', entryCount }, { eventId: `day ${clocks.wall} ${entryCount}` });
      }
    });
    clocks.pass(dayMs);
  }
}

/** A store with ten events on each of twelve days, unless another number is given. */
export function kioskIn(folder: TestFolder, { days = 12, perDay = 10, ...options }: {
  days?: number; perDay?: number;
} & OpenOptions = {}): Kiosk {
  const clocks = new Clocks('2026-01-01T08:00:00Z');
  const store = folder.open({ ...clocks.options, ...options });
  runFor(store, clocks, days, perDay);
  return { clocks, store, archives: folder.file('archives') };
}

/** Archives up to a row, which must be there to archive. */
export async function archiveUpTo({ store, archives }: Kiosk, id: number, gzip = false): Promise<Archived> {
  const archived = await archiveAudits(store, { folder: archives, upTo: { id }, gzip });
  if (!archived) throw new Error(`nothing was archived up to row ${id}`);
  return archived;
}

/** The kinds of the findings of a log, by their ids; `ok` where there is none. */
export async function kindsOfLog(store: SqliteStore, options?: VerifyOptions): Promise<string> {
  const { findings } = await store.verifyAudit(options);
  return findings.map(({ id, kind }) => `${kind} ${id}`).join(', ') || 'ok';
}

/** The kinds of the findings of a whole history, each once; `ok` where there is none. */
export async function kindsOfAll({ store, archives }: Kiosk, options?: VerifyOptions): Promise<string> {
  const report = await verifyArchives(store, archives, options);
  return kindsIn(report);
}

export function kindsIn({ ok, findings }: ArchiveReport): string {
  if (ok !== (findings.length === 0)) throw new Error('ok and findings contradict each other');
  return [...new Set(findings.map(({ kind }) => kind))].sort().join(', ') || 'ok';
}

/** The ids that a log has. */
export function idsOf(store: SqliteStore): number[] {
  return [...store.iterateAudits()].map(({ id }) => id);
}

/** The numbers from one to another. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** The names in a folder. */
export function namesIn(folder: string): string[] {
  return readdirSync(folder).sort();
}

/** Log and ledger say the same, and both verify. */
export async function checkParity(store: SqliteStore, ledger: Ledger): Promise<void> {
  assert.equal(await kindsOfLog(store), 'ok');
  assert.deepEqual((await ledger.verify()).findings, []);
  const parity = await verifyParity(store, ledger);
  assert.deepEqual({ ...parity, ledgerCount: 0, sqliteCount: 0 }, {
    isConsistent: true, ledgerCount: 0, sqliteCount: 0, missingInSqlite: [], missingInLedger: [], mismatched: [],
    unreadable: [], state: [], more: 0,
  });
}
