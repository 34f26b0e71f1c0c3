// The limits of a screen of entries, beside its usage and cooldowns alone.
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { checkPolicy, type EntryRules, evaluateAll, type LimitWindow } from '../../lib/modules/limits/limits.ts';
import { day, entries } from './both.ts';
import { alternate } from './measure.ts';
import { cost, type Row } from './row.ts';
import type { Sizes } from './sizes.ts';

const [minuteMs, hourMs, dayMs] = [60_000, 3_600_000, 86_400_000];
const now = new Date(`${day}T17:00:00Z`); // a Saturday, on which a week that began on Monday has the more days
const names = ['games', 'films', 'books', 'music', 'tools'];

const rules = (number: number): EntryRules => ({
  groups: [names[number % names.length]!], dailyMs: hourMs, weeklyMs: 10 * hourMs, usesBalance: number % 2 === 0,
  windows: [{ days: [1, 2, 3, 4, 5], from: '14:00', to: '20:00' }, { days: [6, 7], from: '09:00', to: '21:00' }],
});
const windows: LimitWindow[] = [{ from: '08:00', to: '22:00' }];

const policy = checkPolicy({
  entries: Object.fromEntries(entries.map((entryId, number) => [entryId, rules(number)])),
  groups: Object.fromEntries(names.map((name) => [name, { dailyMs: 8 * hourMs, weeklyMs: 60 * hourMs, windows }])),
});

/** A year of usage of every entry, cooldowns that are over, and a running session. */
function fill(store: SqliteStore): void {
  store.transaction(() => {
    for (let days = 365; days >= 0; days--) {
      const on = new Date(now.getTime() - days * dayMs).toISOString().slice(0, 10);
      for (const entryId of entries) store.addUsage(entryId, on, 60_500);
    }
    for (const entryId of entries) store.setCooldownUntil(entryId, new Date(now.getTime() - minuteMs));
    const ago = (minutes: number): Date => new Date(now.getTime() - minutes * minuteMs);
    const activeSession = { sessionId: 's', entryId: entries[0]!, startedAt: ago(10), warningsIssued: [] };
    store.saveSnapshot({ timestamp: ago(1), activeSession });
  });
}

/** What a launcher asks about all of its entries, with a policy of every kind of limit. */
export function limits(folder: string, { list }: Sizes): Row[] {
  using store = SqliteStore.open(join(folder, 'limits.db'), { clock: () => now });
  fill(store);
  const pair = alternate(
    list,
    () => evaluateAll(store, policy, entries, { timeZone: 'UTC' }),
    () => store.getStatus(entries, day),
  );
  return [cost('evaluateAll of 50 entries in 5 groups', 'getStatus of these', pair, 10, 'µs')];
}
