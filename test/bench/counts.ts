// What can be counted: fsyncs, by strace, and the bytes handed to the system, checkpoints included.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { plainEnvironment } from '../support/child.ts';
import { readTrace, tracing } from '../support/trace.ts';
import { BareStore, nodeSqlite } from './bare.ts';
import { day, entry, started } from './both.ts';
import { bytesWritten } from './measure.ts';
import { endSession, endSessionBare } from './operations.ts';
import { cost, limited, type Row } from './row.ts';
import type { Sizes } from './sizes.ts';

/** fsyncs of each operation, without checkpoints. */
export function fsyncs(folder: string, { traced }: Sizes): Row[] {
  const counts = countFsyncs(folder, traced);
  const each = (name: string): number => (counts.get(name) ?? NaN) / traced;
  return [
    limited('fsyncs of a durable operation', each('append'), 1, ''),
    limited('fsyncs of a transaction', each('transaction'), 1, ''),
    limited('fsyncs that a snapshot adds', each('snapshot') - each('append'), 2, ''),
    limited('fsyncs that a ledger adds', each('ledger') - each('append'), 1, ''),
  ];
}

function countFsyncs(folder: string, traced: number): Map<string, number> {
  const counted = join(folder, 'fsyncs');
  mkdirSync(counted);
  const output = join(folder, 'trace');
  const worker = [process.execPath, join(import.meta.dirname, 'fsync-worker.ts'), counted, String(traced)];
  const [program, ...args] = [
    ...tracing(output, ['fsync', 'fdatasync', 'sync_file_range', 'write'], '--seccomp-bpf'),
    ...worker,
  ] as [string, ...string[]];
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env: plainEnvironment() });
  if (error && (error as NodeJS.ErrnoException).code === 'ENOENT') {
    console.error('fsyncs are not counted: there is no strace');
    return new Map();
  }
  if (status !== 0) throw new Error(`the traced process failed: ${stderr}`);
  const counts = new Map<string, number>();
  let name: string | undefined;
  for (const call of readTrace(output)) {
    const told = /^1<[^>]*>, "(?:begin (\w+)|end)\\n"/.exec(call.args);
    if (told) name = told[1];
    else if (name !== undefined && call.name !== 'write' && call.path.startsWith(counted))
      counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Bytes written by many operations and the close behind them, beside those of the bare statements. */
export function bytes(folder: string, { counted }: Sizes): Row[] {
  const kinds: [
    name: string,
    peer: string,
    ours: (store: SqliteStore, number: number) => unknown,
    theirs: (bare: BareStore, number: number) => unknown,
  ][] = [
    [
      'addUsage',
      'bare upsert',
      (store, number) => store.addUsage(entry(number), day, 1_500),
      (bare, number) => bare.addUsage(entry(number), day, 1_500),
    ],
    [
      'append',
      'bare insert',
      (store, number) => store.appendAudit(started(number)),
      (bare, number) => bare.append(started(number)),
    ],
    [
      'end of session',
      'four statements in one transaction',
      (store, number) => endSession({ store }, number),
      (bare, number) => bare.transaction(() => endSessionBare(bare, number)),
    ],
  ];
  return kinds.map(([name, peer, ours, theirs], index) => {
    const store = SqliteStore.open(join(folder, `bytes-${index}.db`));
    const bare = new BareStore(join(folder, `bytes-${index}-bare.db`), nodeSqlite);
    const pair: [number, number] = [
      bytesOf(store, counted, (number) => ours(store, number)),
      bytesOf(bare, counted, (number) => theirs(bare, number)),
    ];
    return cost(`bytes written per ${name}`, `node:sqlite, ${peer}`, pair, 1.05, 'bytes');
  });
}

function bytesOf(side: { close(): void }, count: number, fn: (number: number) => unknown): number {
  fn(0); // the -wal and its index are there
  const before = bytesWritten();
  for (let number = 1; number <= count; number++) fn(number);
  side.close();
  return (bytesWritten() - before) / count;
}
