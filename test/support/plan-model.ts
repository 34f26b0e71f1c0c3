// What a store must hold while processes do the operations of a plan (crash-worker.ts) and are killed.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { readSnapshotFile } from '../../lib/core/snapshot-file.ts';
import { type EventBase, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { snapshotPathOf } from '../../lib/values/paths.ts';
import { day, operation } from './crash-worker.ts';
import { LimitModel, type Totals } from './limits-model.ts';

/** What a store must hold after the operations 0 to `done` - 1 of a plan. */
export class Model {
  readonly seed: number;
  done = 0;
  readonly #events: EventBase[] = [];
  readonly #usage = new Map<string, number>();
  readonly #cooldowns = new Map<string, Date>();
  readonly #limits = new LimitModel();
  /** The state that was saved with each generation, from 1. */
  readonly snapshots: StateSnapshot[] = [];
  /** The balances as they were with each of these. */
  readonly saved: ReturnType<LimitModel['balances']>[] = [];
  /** The last generation whose save was acknowledged: the file cannot be older. */
  placed = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Takes the next operation as done. */
  advance(): void {
    const { events, usage, cooldowns, limits, snapshot } = operation(this.seed, this.done++);
    this.#events.push(...events);
    for (const { entryId, durationMs } of usage) this.#usage.set(entryId, (this.#usage.get(entryId) ?? 0) + durationMs);
    for (const { entryId, until } of cooldowns) {
      if (until) this.#cooldowns.set(entryId, until);
      else this.#cooldowns.delete(entryId);
    }
    for (const call of limits) this.#events.push(...eventsOf(this.#limits.apply(call, totalsIn(this.#usage))));
    if (snapshot) {
      this.snapshots.push(snapshot);
      this.saved.push(this.#limits.balances());
    }
  }

  /** Takes everything before the operation `done` as acknowledged. */
  acknowledge(done: number): void {
    while (this.done < done) {
      const saved = this.snapshots.length;
      this.advance();
      if (this.snapshots.length > saved) this.placed = this.snapshots.length;
    }
  }

  view(fromId: number): object {
    return {
      events: this.#events.slice(fromId - 1).map((event, index) => ({ id: fromId + index, event })),
      usage: [...this.#usage].map(([entryId, durationMs]) => ({ entryId, durationMs })).sort(byEntry),
      cooldowns: [...this.#cooldowns].map(([entryId, until]) => ({ entryId, until })).sort(byEntry),
      overrides: this.#limits.overrides(),
      balances: this.#limits.balances(),
      snapshot: this.snapshots.at(-1),
    };
  }

  get lastId(): number {
    return this.#events.length;
  }
}

/** The usage of a plan, all of which is of one day. */
export function totalsIn(usage: Map<string, number>): Totals {
  return {
    get: (entryId) => usage.get(entryId) ?? 0,
    set: (entryId, _day, totalMs) => void usage.set(entryId, totalMs),
  };
}

export function eventsOf({ event }: ReturnType<LimitModel['apply']>): EventBase[] {
  return event ? [event] : [];
}

function byEntry(a: { entryId: string }, b: { entryId: string }): number {
  return a.entryId < b.entryId ? -1 : 1;
}

/** What a store does hold; of the log, everything from an id on. */
function view(store: SqliteStore, fromId: number): object {
  return {
    events: [...store.iterateAudits({ fromId })].map(({ id, event }) => ({ id, event })),
    usage: store.getUsageForDay(day),
    cooldowns: store.listCooldowns(),
    overrides: store.listOverrides(),
    balances: store.listBalances(),
    snapshot: store.loadSnapshot(),
  };
}

/**
 * Checks what a killed process has left: everything up to the last operation it acknowledged and, all or nothing, the
 * one that it was in. The model is then that far. Reads only: the next process finds what the killed one left.
 */
export async function checkRemains(path: string, model: Model, acknowledged: number): Promise<void> {
  const fromId = model.lastId + 1;
  model.acknowledge(acknowledged);
  using store = SqliteStore.openReadOnly(path);
  const found = view(store, fromId);
  try {
    assert.deepEqual(found, model.view(fromId));
  } catch {
    model.advance(); // a second look: with the operation that was under way
    assert.deepEqual(found, model.view(fromId));
  }
  const { findings, checked } = await store.verifyAudit();
  assert.deepEqual({ findings, checked }, { findings: [], checked: model.lastId });
  checkSnapshotFile(path, model);
  store.close();
  checkIntegrity(path);
}

/** The file is whole, and no older than the last save that was acknowledged. */
function checkSnapshotFile(path: string, model: Model): void {
  const file = readSnapshotFile(snapshotPathOf(path));
  if (model.placed === 0 && file.state === 'absent') return;
  assert.equal(file.state, 'whole');
  assert.ok(
    file.content.generation >= model.placed,
    `generation ${file.content.generation}, acknowledged ${model.placed}`,
  );
  assert.deepEqual(file.content.state, model.snapshots[file.content.generation - 1]);
  assert.deepEqual(file.content.limits?.balances ?? [], model.saved[file.content.generation - 1]);
}

/** On a copy, because looking would change what the next process finds. */
function checkIntegrity(path: string): void {
  const copy = `${path}.copy`;
  for (const suffix of ['', '-wal']) if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
  const db = new DatabaseSync(copy);
  assert.deepEqual(db.prepare('PRAGMA integrity_check').all().map((row) => row['integrity_check']), ['ok']);
  db.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(copy + suffix, { force: true });
}
