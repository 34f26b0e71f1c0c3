// What is measured in processes of their own, on the built package: how soon one has written, and how much memory it
// has.
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { node } from '../support/project.ts';
import { BareStore, nodeSqlite } from './bare.ts';
import { inTurn } from './measure.ts';
import { above, cost, type Row } from './row.ts';
import type { Sizes } from './sizes.ts';

/** What a worker of a built package tells. */
export function ask(folder: string, worker: string, ...args: string[]): string {
  const { status, stdout, stderr } = node(folder, `${worker}-worker.js`, ...args);
  if (status !== 0) throw new Error(`the process failed: ${stderr}`);
  return stdout;
}

// What the built-ins cost that checking files and hashing need, whoever calls them.
const loaded = 'the same with node:fs and node:crypto imported';

/**
 * Process start, beside the least that a program on node:sqlite does. The files are there, as after a restart of the
 * service.
 */
export function starts(folder: string, built: string, { rounds }: Sizes): Row[] {
  const start = (side: string) => (): number => {
    const before = process.hrtime.bigint();
    return Number(BigInt(ask(built, 'start', side, join(folder, `start-${side}.db`))) - before) / 1e6;
  };
  return [
    cost(
      'process start to first durable write',
      'node:sqlite, one insert',
      inTurn(rounds, start('ours'), start('bare')),
      1.25,
      'ms',
    ),
    cost(
      'process start to first durable write',
      loaded,
      inTurn(rounds, start('ours'), start('loaded')),
      undefined,
      'ms',
    ),
  ];
}

/** Memory after many operations. */
export function memory(folder: string, built: string, { counted, memoryRounds }: Sizes): Row[] {
  SqliteStore.open(join(folder, 'memory-ours.db')).close();
  new BareStore(join(folder, 'memory-bare.db'), nodeSqlite).close();
  const after = (side: string) => (): number =>
    Number(ask(built, 'memory', side, join(folder, `memory-${side}.db`), String(counted))) / 1e6;
  const what = `memory after ${counted.toLocaleString('en')} operations`;
  return [
    above(what, 'node:sqlite, the same work', inTurn(memoryRounds, after('ours'), after('bare')), 4, 'MB'),
    above(what, loaded, inTurn(memoryRounds, after('ours'), after('loaded')), undefined, 'MB'),
  ];
}
