// Stores whose log is archived: small ones to begin with, and that each row is in the log or in a file.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { listArchives, readArchive, verifyArchives } from '../../lib/modules/archive/archive.ts';

// One transaction deletes a thousand rows, so that these take two.
const oldRows = 1_100;
const day = '2026-11-21';

/** Where the files of a store are. */
export interface Places {
  path: string;
  ledger: string | undefined;
  archives: string;
}

/** The files of a store in a folder, in ledger mode or not. */
export function placesIn(folder: string, withLedger: boolean): Places {
  const ledger = withLedger ? join(folder, 'audit.jsonl') : undefined;
  return { path: join(folder, 'store.db'), ledger, archives: join(folder, 'archives') };
}

/** Opens a store; `date` is what its clock says. */
export function openAt({ path, ledger }: Places, date: string, options: OpenOptions = {}): SqliteStore {
  const withLedger = ledger === undefined ? undefined : { ledger: Ledger.open(ledger) };
  return SqliteStore.open(path, { clock: () => new Date(`${date}T10:00:00Z`), ...withLedger, ...options });
}

/** The days on which rows were appended that are to go, on which those were that stay, and on which they go. */
export const dates = { old: '2026-11-01', young: '2026-11-20', now: '2026-11-21', later: '2026-12-31' };
export const upTo = { keepDays: 10 };

/** A closed store with rows that are to be archived, and a few that are not; something of everything is in it. */
export function makeOld(places: Places, rows: number = oldRows): void {
  for (const date of [dates.old, dates.young]) {
    using store = openAt(places, date);
    const count = date === dates.old ? rows : 5;
    store.appendAudits(Array.from({ length: count }, () => ({ event: { type: 'service_started' } })));
    store.addUsage('a', day, 1_500);
    store.setCooldownUntil('a', new Date(5));
    store.grantTime({ subject: 'a', day, durationMs: 60_000 });
    store.adjustBalance({ subject: 'a', durationMs: 1_000 });
    store.saveSnapshot({ timestamp: new Date(7) });
  }
}

/** What a store holds, its log with what is in the archives. Whatever is in both must be the same. */
export interface Held {
  events: unknown[];
  others: unknown;
}

const ownEvents = ['log_archived', 'balances_carried', 'limits_carried', 'ledger_set_aside'];

/** Gives what a store holds. Each named file must verify; no row may be missing between two others. */
export async function held(store: SqliteStore, archives: string): Promise<Held> {
  const rows = new Map<number, string>();
  const note = ({ id, ...row }: { id: number }): void => {
    const text = JSON.stringify(row);
    assert.equal(rows.get(id) ?? text, text, `row ${id} is another one in an archive`);
    rows.set(id, text);
  };
  for (const { path } of existsSync(archives) ? listArchives(archives) : []) {
    assert.deepEqual((await Ledger.open(path).verify()).findings, [], path);
    for (const row of readArchive(path)) note(row);
  }
  for (const row of store.iterateAudits()) note(row);
  const ids = [...rows.keys()].sort((a, b) => a - b);
  assert.deepEqual(ids, ids.map((_, index) => index + 1), 'a row is in neither');
  const events = ids.map((id) => JSON.parse(rows.get(id)!) as { event: { type: string } });
  return {
    events: events.filter(({ event }) => !ownEvents.includes(event.type)),
    others: {
      usage: store.getUsageForDay(day),
      cooldowns: store.listCooldowns(),
      overrides: store.listOverrides(),
      balances: store.listBalances(),
      snapshot: store.loadSnapshot(),
    },
  };
}

/** Everything that verifies a store finds nothing wrong. */
export async function checkSound(store: SqliteStore, { ledger, archives }: Places): Promise<void> {
  assert.deepEqual((await store.verifyAudit()).findings, []);
  if (existsSync(archives)) assert.deepEqual((await verifyArchives(store, archives)).findings, []);
  if (ledger !== undefined) assert.ok((await verifyParity(store, Ledger.open(ledger))).isConsistent);
  const findings = store.health().findings.filter(({ kind }) => kind !== 'clock-behind');
  assert.deepEqual(findings, []);
}

/** Files that only an archiving has while it runs, or a process that was killed. */
export function leftIn({ path, ledger, archives }: Places): string[] {
  const folders = new Set([dirname(path), ...(ledger === undefined ? [] : [dirname(ledger)])]);
  if (existsSync(archives)) folders.add(archives);
  const names = [...folders].flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return names.filter((name) => /shepherd-store-[0-9a-f-]{36}\.|-archive-lock$/.test(name));
}
