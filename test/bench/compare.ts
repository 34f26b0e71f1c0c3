// The store beside plain node:sqlite, operation by operation.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { SessionTracker } from '../../lib/modules/sessions.ts';
import { alternate } from './measure.ts';
import { PlainStore } from './plain.ts';

export interface Comparison {
  operation: string;
  storeUs: number;
  plainUs: number;
  ratio: number;
}

const day = '2026-11-21';
const entry = (number: number): string => `entry-${number % 20}`;
const started = (number: number) => ({ type: 'session_started' as const, sessionId: `session-${number}`, entryId: entry(number), label: 'A game' });

/** Both sides with the same contents to begin with: 2,000 events, 20 entries. */
function fill(folder: string): { store: SqliteStore; plain: PlainStore } {
  mkdirSync(folder);
  const store = SqliteStore.open(join(folder, 'store.db'));
  const plain = new PlainStore(join(folder, 'plain.db'));
  store.transaction(() => {
    for (let number = 0; number < 2_000; number++) store.appendAudit(started(number));
    for (let number = 0; number < 20; number++) store.addUsage(entry(number), day, 90_500);
  });
  plain.transaction(() => {
    for (let number = 0; number < 2_000; number++) plain.append(started(number));
    for (let number = 0; number < 20; number++) plain.addUsage(entry(number), day, 90_500);
  });
  return { store, plain };
}

/** A session's end as one transaction, of the store's module and of plain SQL: event, usage, cooldown, snapshot. */
function endSession(store: SqliteStore, plain: PlainStore, batches: number): [number, number] {
  const tracker = new SessionTracker(store, { timeZone: 'UTC' });
  const ours = (number: number): void => store.transaction(() => {
    tracker.start({ entryId: entry(number) });
    tracker.end({ type: 'user_stop' }, { cooldownMs: 60_000 });
  });
  const theirs = (number: number): void => {
    plain.transaction(() => {
      plain.append(started(number));
      plain.append({ type: 'session_ended', sessionId: `session-${number}`, entryId: entry(number), reason: { type: 'user_stop' }, durationMs: 1_000 });
      plain.addUsage(entry(number), day, 1_000);
      plain.setCooldown(entry(number), new Date(Date.now() + 60_000));
      plain.saveSnapshot(JSON.stringify({ timestamp: new Date() }));
    });
    plain.placeSnapshot();
  };
  return alternate(batches, 30, ours, theirs);
}

/** Everything, in a folder that is there and empty. */
export function compare(folder: string): Comparison[] {
  const { store, plain } = fill(join(folder, 'compared'));
  const batches = 31;
  const pairs: [operation: string, times: [number, number]][] = [
    ['append an event', alternate(batches, 100, (number) => store.appendAudit(started(number)), (number) => plain.append(started(number)))],
    ['add usage', alternate(batches, 100, (number) => store.addUsage(entry(number), day, 1_500), (number) => plain.addUsage(entry(number), day, 1_500))],
    ['get usage', alternate(batches, 5_000, (number) => store.getUsage(entry(number), day), (number) => plain.getUsage(entry(number), day))],
    ['read the 100 newest events', alternate(batches, 100, () => store.getRecentAudits(100), () => plain.recent(100))],
    ['a session, started and ended', endSession(store, plain, batches)],
  ];
  store.close();
  plain.close();
  const paths = [join(folder, 'compared', 'store.db'), join(folder, 'compared', 'plain.db')] as const;
  pairs.push(['open and close', alternate(batches, 5, () => SqliteStore.open(paths[0]).close(), () => new PlainStore(paths[1]).close())]);
  return pairs.map(([operation, [storeUs, plainUs]]) => ({ operation, storeUs, plainUs, ratio: storeUs / plainUs }));
}

/** How many bytes of the database file an event takes, everything included. */
export function bytesPerEvent(folder: string): number {
  const path = join(folder, 'events.db');
  const sizeOf = (events: number): number => {
    using store = SqliteStore.open(path);
    store.transaction(() => {
      for (let number = 0; number < events; number++) store.appendAudit(started(number));
    });
    store.close();
    return statSync(path).size;
  };
  const before = sizeOf(100);
  return (sizeOf(10_000) - before) / 10_000;
}
