// How much memory a process has after a number of operations.
import { setTimeout } from 'node:timers/promises';

const day = '2026-11-21';

interface Side {
  append(number: number): unknown;
  addUsage(entryId: string): unknown;
  setCooldown(entryId: string): unknown;
  read(entryId: string): unknown;
  close(): void;
}

async function ours(path: string): Promise<Side> {
  const { SqliteStore } = await import('../../lib/index.ts');
  const store = SqliteStore.open(path);
  return {
    append: (number) =>
      store.appendAudit({ type: 'session_started', sessionId: `session-${number}`, entryId: 'minecraft' }),
    addUsage: (entryId) => store.addUsage(entryId, day, 1_500),
    setCooldown: (entryId) => store.setCooldownUntil(entryId, new Date()),
    read: (entryId) => [store.getUsage(entryId, day), store.getCooldownUntil(entryId), store.getRecentAudits(20)],
    close: () => store.close(),
  };
}

async function bare(path: string): Promise<Side> {
  const { BareStore, nodeSqlite } = await import('./bare.ts');
  const store = new BareStore(path, nodeSqlite);
  return {
    append: (number) => store.append({ type: 'session_started', sessionId: `session-${number}`, entryId: 'minecraft' }),
    addUsage: (entryId) => store.addUsage(entryId, day, 1_500),
    setCooldown: (entryId) => store.setCooldown(entryId, new Date()),
    read: (entryId) => [store.getUsage(entryId, day), store.getCooldown(entryId), store.recent(20)],
    close: () => store.close(),
  };
}

/** Does each of the four in turn; gives the resident bytes then. */
async function operate(side: Side, count: number): Promise<number> {
  for (let number = 0; number < count; number++) {
    const entryId = `entry-${number % 20}`;
    if (number % 4 === 0) side.append(number);
    else if (number % 4 === 1) side.addUsage(entryId);
    else if (number % 4 === 2) side.setCooldown(entryId);
    else side.read(entryId);
  }
  await setTimeout(100);
  const bytes = process.memoryUsage.rss();
  side.close();
  return bytes;
}

const [side, path, count] = process.argv.slice(2);
if (side === 'loaded') await Promise.all([import('node:fs'), import('node:crypto')]);
if (side !== undefined) console.log(await operate(await (side === 'ours' ? ours : bare)(path!), Number(count)));
