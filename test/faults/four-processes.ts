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
  readonly events: string[] = [];
  readonly usage = new Map<string, number>();
  readonly problems: string[] = [];

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

/** One process from its start to its end by a kill. */
async function runOne(folder: string, name: string, random: () => number, account: Account): Promise<void> {
  const file = fileURLToPath(new URL('four-worker.ts', import.meta.url));
  const args = ['--disable-warning=ExperimentalWarning', file, folder, name, String(Math.floor(random() * 2 ** 31))];
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
  await Promise.race([sleep(20 + random() ** 2 * 2_000), closed]);
  child.kill('SIGKILL');
  const [code] = (await closed) as [number | null];
  if (code !== null) account.problems.push(`${name} ended by itself: ${errors}`);
}

/** Runs them for a while, and then looks at what there is. */
export async function runFour(seed: number, seconds: number): Promise<Report> {
  const work = workFolder();
  const folder = join(work, 'folder');
  mkdirSync(folder, { mode: 0o700 });
  SqliteStore.open(join(folder, 'store.db'), { ledger: Ledger.open(join(folder, 'audit.jsonl')) }).close();
  const account = new Account();
  const end = performance.now() + seconds * 1_000;
  let kills = 0;
  const walk = async (slot: number): Promise<void> => {
    const random = seededRandom(seed * 4 + slot);
    for (let count = 1; performance.now() < end; count++, kills++) {
      await runOne(folder, `p${slot}-${count}`, random, account);
    }
  };
  try {
    await Promise.all([0, 1, 2, 3].map(walk));
    account.problems.push(...(await problemsIn(folder, account)));
    const { counts, problems } = account;
    return { kills, counts, acknowledged: account.events.length, problems };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What is missing or broken in the store, as the next service opens it. */
async function problemsIn(folder: string, account: Account): Promise<string[]> {
  const path = join(folder, 'store.db');
  const problems: string[] = [];
  const ledger = Ledger.open(join(folder, 'audit.jsonl'));
  using store = SqliteStore.open(path, { recover: true, ledger });
  if (store.recovery) problems.push(`the next service is told of a loss: ${JSON.stringify(store.recovery)}`);
  problems.push(...lossesIn(store, folder, account));
  const { findings } = await store.verifyAudit();
  for (const { message } of findings) problems.push(`the chain: ${message}`);
  const parity = await verifyParity(store, ledger);
  if (!parity.isConsistent) problems.push(`the ledger: ${JSON.stringify(parity)}`);
  store.close();
  using db = new DatabaseSync(path);
  const answer = db.prepare('PRAGMA integrity_check').get()?.['integrity_check'];
  if (answer !== 'ok') problems.push(`integrity_check: ${answer}`);
  return problems;
}

/**
 * What was acknowledged is in the store, or in a database that a restore has set aside under a name that says so: a
 * restore goes back, and what was written while the ledger was detached is not in that either.
 */
function lossesIn(store: SqliteStore, folder: string, { events, usage }: Account): string[] {
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
