// The two sides with the same contents to begin with, and what is done to them.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { BareStore, type Driver } from './bare.ts';

export const day = '2026-11-21';
export const otherDay = '2026-11-22';
/** As many entries as a launcher's screen shows. */
export const entries = Array.from({ length: 50 }, (_, number) => `entry-${number}`);
export const entry = (number: number): string => entries[number % entries.length]!;
export const cooldownEnd = (number: number): Date => new Date(Date.UTC(2027, 0, 1, 0, 0, number));
export const started = (number: number) => ({
  type: 'session_started' as const,
  sessionId: `session-${number}`,
  entryId: entry(number),
  label: 'A game',
});
export const ended = (number: number) => ({
  type: 'session_ended' as const,
  sessionId: `session-${number}`,
  entryId: entry(number),
  reason: { type: 'user_stop' as const },
  durationMs: 90_500,
});
/** A running session, whose snapshot is saved again and again. */
export const state = (number: number) => ({
  timestamp: cooldownEnd(number),
  activeSession: {
    sessionId: `session-${number}`,
    entryId: entry(number),
    startedAt: cooldownEnd(0),
    warningsIssued: [300],
    elapsedMs: number * 1_000,
  },
});

export interface Both {
  store: SqliteStore;
  /** Absent where the peer is. */
  bare: BareStore | undefined;
  /** Where both are, for the files beside them. */
  folder: string;
  close(): void;
}

/** Opens both in a new folder of that name: 2,000 events, 50 entries with usage and a cooldown. */
export function openBoth(parent: string, name: string, driver: Driver | undefined): Both {
  const folder = join(parent, name);
  mkdirSync(folder);
  const store = SqliteStore.open(join(folder, 'store.db'));
  const bare = driver && new BareStore(join(folder, 'bare.db'), driver);
  for (const side of [ours(store), ...(bare ? [bare] : [])]) {
    side.transaction(() => {
      for (let number = 0; number < 2_000; number++) side.append(started(number));
      for (const [number, name] of entries.entries()) {
        side.addUsage(name, day, 90_500);
        side.setCooldown(name, cooldownEnd(number));
      }
    });
  }
  return { store, bare, folder, close: () => [store, bare].forEach((side) => side?.close()) };
}

/** The store by the names of the other side. */
function ours(store: SqliteStore): Pick<BareStore, 'transaction' | 'append' | 'addUsage' | 'setCooldown'> {
  return {
    transaction: (fn) => store.transaction(fn),
    append: (event) => void store.appendAudit(event as ReturnType<typeof started>),
    addUsage: (entryId, on, durationMs) => store.addUsage(entryId, on, durationMs),
    setCooldown: (entryId, until) => store.setCooldownUntil(entryId, until),
  };
}
