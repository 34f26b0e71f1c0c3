// The walks over a whole log: how fast beside hashing alone, and how much memory they take.
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { makeLong } from './fill.ts';
import { median } from './measure.ts';
import { ask } from './processes.ts';
import { limited, type Row, speed } from './row.ts';
import type { Sizes } from './sizes.ts';

const kept = 10_000;

/** Times over one log of so many events, then memory over the same with its ledger. */
export async function walks(folder: string, built: string, { walked, walks: rounds }: Sizes): Promise<Row[]> {
  const path = join(folder, 'walked.db');
  makeLong(path, walked);
  const times: [ours: number[], hashed: number[], read: number[]] = [[], [], []];
  const store = SqliteStore.open(path);
  const texts = textsOf(store);
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const { ok, checked } = await store.verifyAudit();
    const middle = performance.now();
    for (let number = 0; number < walked; number++) hash('sha256', texts[number % texts.length]!);
    times[0].push((middle - start) * 1000 / walked);
    const hashed = performance.now();
    readAndHash(path);
    times[1].push((hashed - middle) * 1000 / walked);
    times[2].push((performance.now() - hashed) * 1000 / walked);
    if (!ok || checked !== walked) throw new Error('the log is not sound');
  }
  store.close();
  const ledgerPath = join(folder, 'walked.jsonl');
  SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) }).close(); // writes every event into it
  const events = `${walked.toLocaleString('en')} events`;
  const memory = ['verifyAudit', 'Ledger.verify', 'verifyParity', 'replay', 'rebuildDatabase'].map((walk) => {
    const told = JSON.parse(ask(built, 'walk', walk, path, ledgerPath, join(folder, 'rebuilt.db'))) as {
      events: number;
      bytes: number;
    };
    if (told.events < walked) throw new Error(`${walk} went over ${told.events} events`);
    return limited(`memory of ${walk} over ${events}, above idle`, told.bytes / 1e6, 32, 'MB');
  });
  const what = `verifyAudit over ${events}, an event`;
  const [ours, hashed, read] = times.map(median) as [number, number, number];
  return [
    speed(what, 'crypto.hash alone', [ours, hashed], 0.5),
    speed(what, 'its columns read by node:sqlite, and crypto.hash', [ours, read]),
    ...memory,
  ];
}

/**
 * The least that any walk over the log does, with one thread: every column that is hashed, and a hash of as much text.
 */
function readAndHash(path: string): void {
  using db = new DatabaseSync(path, { readOnly: true });
  const page = db.prepare(
    `SELECT id, timestamp, event_type, event_data, event_meta, event_hash
    FROM audit_log WHERE id > ? ORDER BY id LIMIT 500`,
  );
  page.setReturnArrays(true);
  for (let last = 0; ; ) {
    const rows = page.all(last) as unknown as [number, ...string[]][];
    for (const row of rows) hash('sha256', row.join('\n'));
    if (rows.length < 500) return;
    last = rows.at(-1)![0];
  }
}

/** What is hashed of each event (lib/core/chain.ts). */
function textsOf(store: SqliteStore): string[] {
  const texts: string[] = [];
  const previous = '0'.repeat(64);
  for (const { id, timestamp, event: { type, ...fields } } of store.iterateAudits({ toId: kept })) {
    const framed = [timestamp.toISOString(), type, JSON.stringify(fields)].map(
      (text) => `${Buffer.byteLength(text)}:${text}\n`,
    );
    texts.push(`shepherd-store audit v1\n${previous}\n${id}\n${framed.join('')}-\n`);
  }
  return texts;
}
