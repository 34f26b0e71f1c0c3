// Single operations, each beside the same work done with the peer's bare statements.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { join } from 'node:path';
import type { EndedWrite } from '../../lib/index.ts';
import { syncFolder } from '../../lib/values/folders.ts';
import { type BareStore, nodeSqlite } from './bare.ts';
import { type Both, cooldownEnd, day, ended, entries, entry, openBoth, otherDay, started, state } from './both.ts';
import { alternate, inTurn, timed } from './measure.ts';
import type { Peers } from './peers.ts';
import { cost, type Row, speed } from './row.ts';
import type { Sizes } from './sizes.ts';

/** A session's end, as one transaction. */
export function endSession({ store }: Pick<Both, 'store'>, number: number): void {
  store.transaction(() => {
    store.addUsage(entry(number), day, 60_500);
    store.addUsage(entry(number), otherDay, 30_000);
    store.setCooldownUntil(entry(number), cooldownEnd(number));
    store.appendAudit(ended(number));
  });
}

/** The same as four statements. */
export function endSessionBare(bare: BareStore, number: number): void {
  bare.addUsage(entry(number), day, 60_500);
  bare.addUsage(entry(number), otherDay, 30_000);
  bare.setCooldown(entry(number), cooldownEnd(number));
  bare.append(ended(number));
}

/** Writes, one fsync each, and what is bundled under one. */
export function writes(folder: string, { betterSqlite3 }: Peers, { write, together, bulk }: Sizes): Row[] {
  const rows: Row[] = [];
  // Beside node:sqlite for comparison: it writes as many bytes as the store, which better-sqlite3 does not (psow).
  for (const [peer, driver, targets] of [
    ['better-sqlite3', betterSqlite3, [0.9, 0.95]],
    ['node:sqlite', nodeSqlite, []],
  ] as const) {
    const both = openBoth(folder, `writes beside ${peer}`, driver);
    const { store, bare } = both;
    rows.push(
      speed(
        'durable append',
        `${peer}, bare insert`,
        alternate(
          write,
          (number) => store.appendAudit(started(number)),
          bare && ((number) => bare.append(started(number))),
        ),
        targets[0],
      ),
      speed(
        'durable addUsage',
        `${peer}, bare upsert`,
        alternate(
          write,
          (number) => store.addUsage(entry(number), day, 1_500),
          bare && ((number) => bare.addUsage(entry(number), day, 1_500)),
        ),
        targets[1],
      ),
    );
    both.close();
  }
  const both = openBoth(folder, 'bundles', betterSqlite3);
  const { store, bare } = both;
  const items = Array.from({ length: bulk.size }, (_, number) => started(number));
  const [ours, theirs] = alternate(
    { batches: bulk.batches, size: 1 },
    () => store.appendAudits(items.map((event) => ({ event }))),
    bare && (() => bare.transaction(() => items.forEach((event) => bare.append(event)))),
  );
  rows.push(
    speed(
      'end of a session',
      'better-sqlite3, four statements',
      alternate(together, (number) => endSession(both, number), bare && ((number) => endSessionBare(bare, number))),
      2.5,
    ),
    speed('bulk append, an event', 'better-sqlite3, no chain', [ours / bulk.size, theirs && theirs / bulk.size], 0.5),
  );
  both.close();
  return rows;
}

/** What it costs that a service measures its writes; where nobody does, a write asks whether anybody does. */
export function measuredWrites(folder: string, { write: { batches, size } }: Pick<Sizes, 'write'>): Row {
  const { store, close } = openBoth(folder, 'measured writes', undefined);
  let totalMs = 0;
  const listener = (ended: unknown): void => void (totalMs += (ended as EndedWrite).durationMs);
  const batch = (): number => {
    const batchMs = timed(() => {
      for (let number = 0; number < size; number++) store.addUsage(entry(number), day, 1_500);
    });
    return (batchMs * 1_000) / size;
  };
  const measured = (): number => {
    subscribe('shepherd-store:write', listener);
    try {
      return batch();
    } finally {
      unsubscribe('shepherd-store:write', listener);
    }
  };
  const row = cost(
    'durable addUsage with a subscriber to each write', 'the same without one', inTurn(batches, measured, batch),
    undefined, 'µs',
  );
  close();
  if (!(totalMs > 0)) throw new Error('the subscriber was told of nothing');
  return row;
}

/** Reads. */
export function reads(folder: string, { betterSqlite3 }: Peers, { read, list }: Sizes): Row[] {
  const both = openBoth(folder, 'reads', betterSqlite3);
  const { store, bare } = both;
  const peer = 'better-sqlite3, the same work';
  const rows = [
    speed(
      'getUsage',
      'better-sqlite3, bare get',
      alternate(
        read,
        (number) => store.getUsage(entry(number), day),
        bare && ((number) => bare.getUsage(entry(number), day)),
      ),
      0.95,
    ),
    speed(
      'getCooldownUntil',
      'better-sqlite3, bare get',
      alternate(
        read,
        (number) => store.getCooldownUntil(entry(number)),
        bare && ((number) => bare.getCooldown(entry(number))),
      ),
      0.95,
    ),
    speed(
      'getRecentAudits(100)',
      peer,
      alternate(list, () => store.getRecentAudits(100), bare && (() => bare.recent(100))),
      1,
    ),
    speed(
      'getStatus of 50 entries',
      'better-sqlite3, 100 gets',
      alternate(list, () => store.getStatus(entries, day), bare && (() => statusBare(bare))),
      3,
    ),
  ];
  both.close();
  return rows;
}

function statusBare(bare: BareStore): object[] {
  return entries.map((entryId) => ({
    entryId,
    durationMs: bare.getUsage(entryId, day),
    cooldownUntil: bare.getCooldown(entryId),
  }));
}

/** The snapshot. Neither peer syncs the folder, and lowdb not even the file. */
export function snapshots(
  folder: string,
  { betterSqlite3, writeFileAtomic, lowdb }: Peers,
  { snapshot }: Sizes,
): Row[] {
  const both = openBoth(folder, 'snapshots', betterSqlite3);
  const { store, bare } = both;
  const atomic =
    writeFileAtomic &&
    bare &&
    ((number: number): void => {
      const text = JSON.stringify(state(number));
      bare.saveSnapshot(text);
      writeFileAtomic(join(both.folder, 'bare.json'), text);
    });
  const synced =
    atomic &&
    ((number: number): void => {
      atomic(number);
      syncFolder(both.folder);
    });
  const low = lowdb?.(join(both.folder, 'low.json'));
  const save = (number: number): void => store.saveSnapshot(state(number));
  const rows = [
    speed('saveSnapshot', 'write-file-atomic and an upsert', alternate(snapshot, save, atomic), 0.8),
    speed('saveSnapshot', 'write-file-atomic, its folder synced, and an upsert', alternate(snapshot, save, synced)),
    speed(
      'saveSnapshot',
      'lowdb, which syncs nothing',
      alternate(snapshot, save, low && ((number) => low(state(number)))),
    ),
  ];
  both.close();
  return rows;
}
