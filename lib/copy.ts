// A checked copy of a database under a temporary name: what a backup is made of, and what is restored.
import { rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { verifyChain } from './audit.ts';
import type { Anchor, LongOperation } from './audit.ts';
import { StoreError } from './errors.ts';
import { createPrivate } from './files.ts';
import type { FileLike } from './mirror-port.ts';
import { openToRead } from './open-read.ts';
import type { CheckedOptions } from './options.ts';
import { checkCopy } from './page-check.ts';
import { openHandle } from './read-only.ts';
import { companionsOf } from './place.ts';
import type { Reader } from './read-only.ts';
import { TemporaryFile } from './temporary.ts';
import { backup as copyDatabase } from './sqlite.ts';
import { FileWatch } from './watch.ts';

/** A checked copy on its way to its place; disposed of, what was not placed is removed. */
export interface Copy extends Disposable {
  temporary: string;
  /** The plain file that goes with it, under its own temporary name. */
  snapshot: string | undefined;
  uuid: string;
  bytes: number;
  head: Anchor | undefined;
}

/** Where a copy is to go, and what it takes to make it. */
export interface Task {
  target: string;
  snapshotPath: string;
  /** What it is to be like. */
  like: FileLike;
  options: CheckedOptions;
  long: LongOperation;
}

/** A connection beside a store's own, for `copyPages`. Closed as the last one, it leaves a single file, as the store would have. */
export function openSource(path: string): Reader {
  const watch = new FileWatch([path]);
  // mode=rw: SQLite would make the file where somebody has removed it.
  const db = openHandle(path, { mode: 'rw', psow: '0' }, { timeout: 5_000 });
  const read = <T>(fn: () => T): T => {
    const result = fn();
    // SQLite finds the -wal by the path: another database's, where this one was exchanged for it before it was read.
    const replaced = watch.problem();
    if (replaced !== undefined) throw new StoreError('ERR_STORE_IO', `failed to read ${path}: ${replaced}`);
    return result;
  };
  return { db, read, close: () => db.close() };
}

/** Makes a copy under a temporary name, by `copy`, and checks it. Leaves nothing behind when it fails. */
export async function makeCopy(task: Task, copy: (temporary: string) => Promise<void>): Promise<Copy> {
  const { target, snapshotPath, long } = task;
  using files = new DisposableStack();
  const { path: temporary } = files.use(TemporaryFile.beside(target));
  const isBeside = dirname(snapshotPath) === dirname(target);
  const { path: beside } = isBeside ? { path: temporary } : files.use(TemporaryFile.beside(snapshotPath));
  await copy(temporary);
  const file = await open(temporary, 'r+');
  try {
    await file.sync(); // the name that it gets must never lead to pages that are not on the disk
  } finally {
    await file.close();
  }
  const { findings } = await checkCopy(temporary, long.signal ? { signal: long.signal } : {});
  if (findings.length > 0) throw new StoreError('ERR_STORE_CORRUPT', `the database is damaged: ${findings[0]}`);
  const checked = await checkLog(temporary, beside, task);
  const kept = files.move();
  return { ...checked, [Symbol.dispose]: () => kept.dispose() };
}

// 1 MiB a step: an abort is heard in between.
const stepPages = 256;
const maxAttempts = 5;

/**
 * Copies every page. One read transaction spans all steps: SQLite begins a backup anew whenever another connection has
 * written to the source, and would never end beside a service that writes without pause (measured: 20 MB, which take 20
 * steps, were not copied after 1,500).
 */
export async function copyPages(source: Reader, temporary: string, { like, long: { signal, onProgress } }: Task): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const db = source.read(() => {
      if (!source.db.isTransaction) source.db.exec('BEGIN');
      source.db.prepare('SELECT 1 FROM sqlite_schema').get(); // BEGIN alone reads nothing yet
      return source.db;
    });
    createPrivate(temporary, like); // Node and SQLite would create the file with the umask's mode
    let failure: { error: unknown } | undefined;
    try {
      await copyDatabase(db, temporary, {
        rate: stepPages,
        progress: ({ totalPages, remainingPages }) => {
          signal?.throwIfAborted();
          onProgress?.({ done: totalPages - remainingPages, total: 2 * totalPages });
        },
      });
    } catch (error) {
      failure = { error };
    }
    signal?.throwIfAborted();
    // A file that nobody had open is read without locks: where a writer has come meanwhile, the handle is another one now.
    if (source.read(() => source.db) === db) {
      if (failure) throw failure.error;
      return;
    }
    for (const left of [temporary, ...companionsOf(temporary)]) rmSync(left, { force: true });
    if (attempt === maxAttempts) throw new StoreError('ERR_STORE_BUSY', `it was written to during each of ${attempt} attempts`, { cause: failure?.error });
  }
}

async function checkLog(temporary: string, beside: string, { options, long: { signal, onProgress } }: Task): Promise<Omit<Copy, typeof Symbol.dispose>> {
  const { connection, uuid, pair } = openToRead(temporary, { ...options, snapshotPath: undefined }, 1);
  try {
    const [pages] = connection.get<[number]>('PRAGMA page_count')!;
    const report = await verifyChain(connection, uuid, {
      ...(signal ? { signal } : undefined),
      onProgress: ({ done, total }) => onProgress?.({ done: pages + Math.floor((pages * done) / Math.max(1, total)), total: 2 * pages }),
    });
    if (!report.ok) throw new StoreError('ERR_STORE_CORRUPT', `the log does not verify: ${report.findings[0]!.message}`);
    signal?.throwIfAborted();
    // From the copy, not from the store's own file: one that is ahead of its database is a loss at the next open.
    const snapshot = pair.prepareBeside(beside);
    return { temporary, snapshot, uuid, bytes: statSync(temporary).size, head: report.head };
  } finally {
    connection.close();
  }
}
