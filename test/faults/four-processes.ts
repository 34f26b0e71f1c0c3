// Four processes on one folder that do everything that there is, and are killed at random; and then nothing is lost.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { plainEnvironment } from '../support/child.ts';
import { seededRandom } from '../support/random.ts';
import type { Word } from './four-worker.ts';
import { replacedIn } from './pause-check.ts';
import { day } from './pause-tasks.ts';
import { workFolder } from './run.ts';

export interface Report {
  kills: number;
  /** How often each task was done, and refused with which code. */
  counts: Record<string, number>;
  acknowledged: number;
  problems: string[];
}

/** Beside ERR_STORE_BUSY: what another process may have done meanwhile, and what is said of it. */
const truthful: Record<string, RegExp> = {
  // The ledger was detached or attached again, or a name is taken.
  ERR_STORE_CONFLICT: /./,
  // The schema is an older one by now.
  ERR_STORE_MIGRATION: /./,
  ERR_STORE_SCHEMA_TOO_OLD: /^(read|restore)$/,
};

/** What all of them have told. */
class Account {
  readonly counts: Record<string, number> = {};
  readonly problems: string[] = [];
  readonly usage = new Map<string, number>();
  events: string[] = [];
  /** How many events were acknowledged in all. */
  total = 0;

  /** What has been looked for. */
  forget(): void {
    this.total += this.events.length;
    this.events = [];
    this.usage.clear();
  }

  hear(name: string, word: Word): void {
    if (word.is === 'event') this.events.push(word.token);
    if (word.is === 'usage') this.usage.set(word.entryId, word.totalMs);
    if (word.is === 'did') this.#count(word.what);
    if (word.is === 'wrong') this.problems.push(`${name}, ${word.what}: ${word.message}`);
    if (word.is !== 'refused') return;
    this.#count(`${word.what}: ${word.code}`);
    const isTrue = word.code === 'ERR_STORE_BUSY' || truthful[word.code]?.test(word.what);
    if (!isTrue) this.problems.push(`${name}, ${word.what}: ${word.code}: ${word.message}`);
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }
}

interface Stage {
  folder: string;
  kind: 'ledger' | 'plain';
  account: Account;
}

/** One process from its start to its end by a kill. */
async function runOne({ folder, kind, account }: Stage, name: string, random: () => number): Promise<void> {
  const file = fileURLToPath(new URL('four-worker.ts', import.meta.url));
  const args = [file, folder, name, kind, String(Math.floor(random() * 2 ** 31))];
  const child = spawn(process.execPath, args, { env: plainEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const word = JSON.parse(line) as Word;
    if (word.is === 'ready') ready.resolve();
    account.hear(name, word);
  });
  const closed = once(child, 'close');
  await Promise.race([ready.promise, closed]);
  await Promise.race([sleep(20 + random() ** 2 * 4_000), closed]);
  child.kill('SIGKILL');
  const [code] = (await closed) as [number | null];
  if (code !== null) account.problems.push(`${name} ended by itself: ${errors}`);
}

/** Runs them on a store with a ledger for a half of the time and on one without for the other, and looks at the end. */
export async function runFour(seed: number, seconds: number): Promise<Report> {
  const account = new Account();
  const work = workFolder();
  let kills = 0;
  try {
    for (const kind of ['ledger', 'plain'] as const) {
      const stage = { folder: join(work, kind), kind, account };
      mkdirSync(stage.folder, { mode: 0o700 });
      openLast(stage).store.close();
      const end = performance.now() + seconds * 500;
      const walk = async (slot: number): Promise<void> => {
        const random = seededRandom(seed * 4 + slot);
        for (let count = 1; performance.now() < end; count++, kills++) {
          await runOne(stage, `${kind}-${slot}-${count}`, random);
        }
      };
      await Promise.all([0, 1, 2, 3].map(walk));
      account.problems.push(...(await problemsIn(stage)));
      account.forget();
    }
    return { kills, counts: account.counts, acknowledged: account.total, problems: account.problems };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function openLast({ folder, kind }: Stage): { store: SqliteStore; ledger?: Ledger } {
  const path = join(folder, 'store.db');
  if (kind === 'plain') return { store: SqliteStore.open(path, { recover: true }) };
  const ledger = Ledger.open(join(folder, 'audit.jsonl'));
  return { store: SqliteStore.open(path, { recover: true, ledger }), ledger };
}

/** What is missing or broken in the store, as the next service opens it. */
async function problemsIn(stage: Stage): Promise<string[]> {
  const problems: string[] = [];
  const { store, ledger } = openLast(stage);
  using _closing = store;
  if (store.recovery) problems.push(`the next service is told of a loss: ${JSON.stringify(store.recovery)}`);
  problems.push(...lossesIn(store, stage));
  const { findings } = await store.verifyAudit();
  for (const { message } of findings) problems.push(`the chain: ${message}`);
  const parity = ledger && (await verifyParity(store, ledger));
  if (parity && !parity.isConsistent) problems.push(`the ledger: ${JSON.stringify(parity)}`);
  store.close();
  using db = new DatabaseSync(join(stage.folder, 'store.db'));
  const answer = db.prepare('PRAGMA integrity_check').get()?.['integrity_check'];
  if (answer !== 'ok') problems.push(`integrity_check: ${answer}`);
  return problems;
}

/**
 * What was acknowledged is in the store, or in a database that a restore has set aside under a name that says so: a
 * restore goes back, and what was written while the ledger was detached is not in that either.
 */
function lossesIn(store: SqliteStore, { folder, account: { events, usage } }: Stage): string[] {
  const tokens = new Set([...store.iterateAudits()].map(({ source }) => source));
  const totals = new Map([...usage.keys()].map((entryId) => [entryId, store.getUsage(entryId, day)]));
  for (const aside of replacedIn(folder)) {
    for (const token of aside.tokens) tokens.add(token);
    for (const [entryId, totalMs] of aside.usage) totals.set(entryId, Math.max(totals.get(entryId) ?? 0, totalMs));
  }
  const lost = events.filter((token) => !tokens.has(token));
  const short = [...usage].filter(([entryId, totalMs]) => totals.get(entryId)! < totalMs);
  return [
    ...lost.map((token) => `the event ${token} is lost`),
    ...short.map(([entryId, totalMs]) => `the usage of ${entryId} is ${totals.get(entryId)} and not ${totalMs}`),
  ];
}
