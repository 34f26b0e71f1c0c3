// The walks over a whole log: how fast beside hashing alone, and how much memory they take.
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { makeLong } from './fill.ts';
import { median } from './measure.ts';
import { ask } from './processes.ts';
import { limited, speed } from './row.ts';
import type { Row } from './row.ts';
import type { Sizes } from './sizes.ts';

const kept = 10_000;

/** Times over one log of so many events, then memory over the same with its ledger. */
export async function walks(folder: string, built: string, { walked, walks: rounds }: Sizes): Promise<Row[]> {
  const path = join(folder, 'walked.db');
  makeLong(path, walked);
  const times: [ours: number[], theirs: number[]] = [[], []];
  const store = SqliteStore.open(path);
  const texts = textsOf(store);
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const { ok, checked } = await store.verifyAudit();
    const middle = performance.now();
    for (let number = 0; number < walked; number++) hash('sha256', texts[number % texts.length]!);
    times[0].push((middle - start) * 1000 / walked);
    times[1].push((performance.now() - middle) * 1000 / walked);
    if (!ok || checked !== walked) throw new Error('the log is not sound');
  }
  store.close();
  const ledgerPath = join(folder, 'walked.jsonl');
  SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) }).close(); // writes every event into it
  const events = `${walked.toLocaleString('en')} events`;
  const memory = ['verifyAudit', 'Ledger.verify', 'verifyParity', 'replay', 'rebuildDatabase'].map((walk) => {
    const told = JSON.parse(ask(built, 'walk', walk, path, ledgerPath, join(folder, 'rebuilt.db'))) as { events: number; bytes: number };
    if (told.events < walked) throw new Error(`${walk} went over ${told.events} events`);
    return limited(`memory of ${walk} over ${events}, above idle`, told.bytes / 1e6, 32, 'MB');
  });
  return [speed(`verifyAudit over ${events}, an event`, 'crypto.hash alone', [median(times[0]), median(times[1])], 0.5), ...memory];
}

/** What is hashed of each event (lib/chain.ts). */
function textsOf(store: SqliteStore): string[] {
  const texts: string[] = [];
  const previous = '0'.repeat(64);
  for (const { id, timestamp, event: { type, ...fields } } of store.iterateAudits({ toId: kept })) {
    const framed = [timestamp.toISOString(), type, JSON.stringify(fields)].map((text) => `${Buffer.byteLength(text)}:${text}\n`);
    texts.push(`shepherd-store audit v1\n${previous}\n${id}\n${framed.join('')}-\n`);
  }
  return texts;
}
