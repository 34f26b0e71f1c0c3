// What a store with a ledger, or one whose disk fails, must hold after the operations of a plan (crash-worker.ts).
import assert from 'node:assert/strict';
import { copyFileSync, existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type EventBase, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { day, operation } from './crash-worker.ts';
import { checkStore } from './folder.ts';
import { checkBoth } from './ledger.ts';
import { LimitModel } from './limits-model.ts';
import { eventsOf, totalsIn } from './plan-model.ts';

const ownEvents = ['ledger_set_aside', 'ledger_attached', 'usage_added', 'cooldown_set', 'cooldown_cleared'];

/** What a store holds that the operations of a plan have written. */
export interface PlanState {
  events: EventBase[];
  usage: { entryId: string; durationMs: number }[];
  cooldowns: { entryId: string; until: Date | undefined }[];
  overrides: ReturnType<LimitModel['overrides']>;
  balances: ReturnType<LimitModel['balances']>;
  snapshot: StateSnapshot | undefined;
}

/**
 * What a store must hold after these operations of a plan. `without`: those whose events were carried forward from the
 * ledger, which has no snapshots.
 */
export function stateAfter(seed: number, numbers: Iterable<number>, without?: ReadonlySet<number>): PlanState {
  const events: EventBase[] = [];
  const usage = new Map<string, number>();
  const cooldowns = new Map<string, Date>();
  const limits = new LimitModel();
  let snapshot: StateSnapshot | undefined;
  for (const number of numbers) {
    const all = operation(seed, number);
    events.push(...all.events);
    for (const { entryId, durationMs } of all.usage) usage.set(entryId, (usage.get(entryId) ?? 0) + durationMs);
    for (const { entryId, until } of all.cooldowns) {
      if (until) cooldowns.set(entryId, until);
      else cooldowns.delete(entryId);
    }
    for (const call of all.limits) events.push(...eventsOf(limits.apply(call, totalsIn(usage))));
    if (!without?.has(number)) snapshot = all.snapshot ?? snapshot;
  }
  return {
    events,
    usage: [...usage].sort().map(([entryId, durationMs]) => ({ entryId, durationMs })),
    cooldowns: [...cooldowns].sort().map(([entryId, until]) => ({ entryId, until })),
    overrides: limits.overrides(),
    balances: limits.balances(),
    snapshot,
  };
}

/** What a store does hold, but for the events of its own. */
export function stateOf(store: SqliteStore): PlanState {
  const events = [...store.iterateAudits()].map(({ event }) => event).filter(({ type }) => !ownEvents.includes(type));
  return {
    events,
    usage: store.getUsageForDay(day),
    cooldowns: store.listCooldowns(),
    overrides: store.listOverrides(),
    balances: store.listBalances(),
    snapshot: store.loadSnapshot(),
  };
}

/**
 * Opens what a killed process left and checks it: everything acknowledged and, all or nothing, the operation that it
 * was in. Gives how many operations are done.
 */
export async function checkBothRemain(
  path: string, ledgerPath: string, seed: number, acknowledged: number, without: Set<number>,
): Promise<number> {
  const store = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
  let done = acknowledged;
  try {
    // A group that was cut off while it was written is set aside; nothing else is amiss.
    assert.equal(store.recovery?.found ?? 'ledger-torn', 'ledger-torn');
    assert.ok(store.isHealthy());
    const state = stateOf(store);
    const is = (count: number): boolean => isDeepStrictEqual(state, stateAfter(seed, Array(count).keys(), without));
    if (!is(done) && !is(++done)) {
      without.add(done - 1);
      assert.deepEqual(state, stateAfter(seed, Array(done).keys(), without));
    }
  } finally {
    store.close();
  }
  checkBoth(path, ledgerPath);
  await checkStore(path);
  return done;
}

/** The same, of copies of what a killed process left: the next process has to make sense of that by itself. */
export async function checkCopies(
  path: string, ledgerPath: string, seed: number, acknowledged: number, without: Set<number>,
): Promise<number> {
  const copy = copyOf(path, ledgerPath, 'look');
  return checkBothRemain(copy, copy.replace(/db$/, 'jsonl'), seed, acknowledged, without);
}

/** Both files and what belongs to them under another name; gives the copied database's path. */
export function copyOf(path: string, ledgerPath: string, name: string): string {
  const copy = path.replace('store.db', `${name}.db`);
  for (const suffix of ['.db', '.db-wal', '.db-shm', '.snapshot.json']) {
    const from = path.replace(/\.db$/, suffix);
    if (existsSync(from)) copyFileSync(from, copy.replace(/\.db$/, suffix));
  }
  if (existsSync(ledgerPath)) copyFileSync(ledgerPath, copy.replace(/db$/, 'jsonl'));
  return copy;
}
