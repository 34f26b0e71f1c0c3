// Archiving beside a service that appends without a pause: how long that waits, and what archiving takes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { makeLong } from './fill.ts';
import { limited, type Row } from './row.ts';
import type { Sizes } from './sizes.ts';

/** The service alone, before archiving begins. */
const aloneMs = 1_000;

/** Both modes, over so many events. */
export async function archiving(folder: string, built: string, { walked }: Sizes): Promise<Row[]> {
  return [...await archivingOf(folder, built, walked, false), ...await archivingOf(folder, built, walked, true)];
}

async function archivingOf(folder: string, built: string, walked: number, withLedger: boolean): Promise<Row[]> {
  const path = join(folder, 'archived.db');
  const ledgerPath = join(folder, 'archived.jsonl');
  const ledger = withLedger ? [ledgerPath] : [];
  makeLong(path, walked);
  if (withLedger) SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) }).close(); // writes every event into it
  const service = await start(built, 'append', path, ...ledger);
  let told: { events: number; bytes: number; seconds: number };
  let walBytes = 0;
  try {
    await sleep(aloneMs);
    service.input.write('archiving begins\n');
    const archiver = await start(built, 'archive', path, join(folder, 'archives'), String(walked), ...ledger);
    for (let isDone = false; !isDone; ) {
      walBytes = Math.max(walBytes, statSync(`${path}-wal`).size);
      isDone = await Promise.race([archiver.answer.then(() => true), sleep(20, false)]);
    }
    told = JSON.parse(await archiver.answer) as typeof told;
  } finally {
    service.input.end();
    await service.answer;
  }
  const { events, bytes, seconds } = told;
  const { longestMs } = JSON.parse(await service.answer) as { longestMs: { before: number; meanwhile: number } };
  if (events !== walked) throw new Error(`${events} events were archived`);
  for (const name of ['archived.db', 'archived.db-wal', 'archived.jsonl', 'archives']) {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
  const what = `${walked.toLocaleString('en')} events archived${withLedger ? ' with a ledger' : ''}`;
  return [
    limited(`longest wait of a service, ${what}`, longestMs.meanwhile, 500, 'ms'),
    limited(`memory above idle, ${what}`, bytes / 1e6, 32, 'MB'),
    limited(`largest -wal, ${what}`, walBytes / 1e6, 16, 'MB'),
    limited(`longest wait of this service before, ${what}`, longestMs.before, undefined, 'ms'),
    limited(`time, ${what}`, seconds, undefined, 's'),
  ];
}

/** A worker of the built package that is ready, and what it prints at the end. */
async function start(
  built: string, worker: string, ...args: string[]
): Promise<{ input: Writable; answer: Promise<string> }> {
  const child = spawn(process.execPath, [`${worker}-worker.js`, ...args], {
    cwd: built, stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close') as Promise<[number | null]>;
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const isReady = (await lines.next()).done !== true;
  const answer = Promise.all([lines.next(), ended]).then(([{ value }, [status]]) => {
    if (status !== 0) throw new Error(`the ${worker} worker failed`);
    return value as string;
  });
  if (!isReady) await answer;
  return { input: child.stdin, answer };
}
