// What must not become slower as the log grows.
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { day, entry, started } from './both.ts';
import { makeLong } from './fill.ts';
import { alternate, inTurn, type Pair, type Repeats } from './measure.ts';
import { cost, limited, type Row } from './row.ts';
import type { Sizes } from './sizes.ts';

const count = (rows: number): string => rows.toLocaleString('en');

/** Stores with a thousand, ten thousand and very many events. */
export function growth(folder: string, { longLog, rounds, write, read, list }: Sizes): Row[] {
  const pathOf = (rows: number): string => join(folder, `${rows}.db`);
  const [few, some] = [1_000, 10_000];
  for (const rows of [few, some, longLog]) makeLong(pathOf(rows), rows);
  const eventBytes = (statSync(pathOf(longLog)).size - statSync(pathOf(few)).size) / (longLog - few);
  const open = (rows: number) => (): number => {
    const start = performance.now();
    const store = SqliteStore.open(pathOf(rows));
    const end = performance.now();
    store.close();
    return end - start;
  };
  const opened = inTurn(rounds, open(longLog), open(few));
  const [long, short] = [SqliteStore.open(pathOf(longLog)), SqliteStore.open(pathOf(some))];
  const both = (sizes: Repeats, fn: (store: SqliteStore, number: number) => unknown): Pair =>
    alternate(
      sizes,
      (number) => fn(long, number),
      (number) => fn(short, number),
    );
  const peer = `the same at ${count(some)} rows`;
  const at = `at ${count(longLog)} rows`;
  const rows = [
    cost(`open ${at}`, `the same at ${count(few)} rows`, opened, 1.2, 'ms'),
    cost(`getRecentAudits(100) ${at}`, peer, both(list, (store) => store.getRecentAudits(100)), 1.2, 'µs'),
    cost(`getUsage ${at}`, peer, both(read, (store, number) => store.getUsage(entry(number), day)), 1.2, 'µs'),
    cost(`appendAudit ${at}`, peer, both(write, (store, number) => store.appendAudit(started(number))), 1.2, 'µs'),
    limited('size of an event in the database file', eventBytes, undefined, 'bytes'),
  ];
  for (const store of [long, short]) store.close();
  rmSync(pathOf(longLog));
  return rows;
}
