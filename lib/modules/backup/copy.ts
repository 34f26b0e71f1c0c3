// A checked copy of a database under a temporary name: what a backup is made of, and what is restored.
import { rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Anchor } from '../../core/chain.ts';
import { openHandle, type Reader, writing } from '../../core/handle.ts';
import type { FormerIdentity } from '../../core/identity.ts';
import type { CheckedOptions } from '../../core/options.ts';
import { backup as copyDatabase } from '../../core/sqlite.ts';
import { FileWatch } from '../../core/watch.ts';
import { TemporaryFile } from '../../opening/temporary.ts';
import { openToRead } from '../../reading/open.ts';
import { StoreError } from '../../values/errors.ts';
import { createPrivate } from '../../values/files.ts';
import type { LongOperation } from '../../values/long.ts';
import type { FileLike } from '../../values/owner.ts';
import { companionsOf } from '../../values/place.ts';
import { verifyChain } from '../../verify/chain-walk.ts';
import { checkCopy } from './page-check.ts';

/** A checked copy on its way to its place. Disposing of it removes those of its files that were not placed. */
export interface Copy extends Disposable {
  temporary: string;
  /** The temporary path of the snapshot file that goes with the copy; absent where no state was saved. */
  snapshot: string | undefined;
  /** The identity of the store, and those before. */
  uuid: string;
  renewed: readonly FormerIdentity[];
  bytes: number;
  head: Anchor | undefined;
}

/** Where a copy is to go, and what is needed to make it. */
export interface Task {
  target: string;
  snapshotPath: string;
  /** The owner and mode that its files get. */
  like: FileLike;
  options: CheckedOptions;
  long: LongOperation;
}

/** Opens a connection beside the store's own, for `copyPages`. Whichever is closed last leaves a single file. */
export function openSource(path: string): Reader {
  const watch = new FileWatch([path]);
  const db = openHandle(path, writing, { timeout: 5_000 });
  const read = <T>(fn: () => T): T => {
    const result = fn();
    // SQLite finds the -wal by the path. Where another database has taken the place of this one meanwhile, that is the
    // -wal of the other database, and what was read is wrong.
    const replaced = watch.problem();
    if (replaced !== undefined) throw new StoreError('ERR_STORE_IO', `failed to read ${path}: ${replaced}`);
    return result;
  };
  return { db, read, close: () => db.close() };
}

/** Lets `copy` make a copy under a temporary name, and checks it. Leaves nothing behind when it fails. */
export async function makeCopy(task: Task, copy: (temporary: string) => Promise<void>): Promise<Copy> {
  const { target, snapshotPath, long } = task;
  using files = new DisposableStack();
  const { path: temporary } = files.use(TemporaryFile.beside(target));
  const isBeside = dirname(snapshotPath) === dirname(target);
  const { path: beside } = isBeside ? { path: temporary } : files.use(TemporaryFile.beside(snapshotPath));
  await copy(temporary);
  const file = await open(temporary, 'r+');
  try {
    await file.sync(); // before the copy gets its name, which must never lead to pages that are not on the disk
  } finally {
    await file.close();
  }
  const { findings } = await checkCopy(temporary, long.signal ? { signal: long.signal } : {});
  if (findings.length > 0) throw new StoreError('ERR_STORE_CORRUPT', `the database is damaged: ${findings[0]}`);
  const checked = await checkLog(temporary, beside, task);
  const kept = files.move();
  return { ...checked, [Symbol.dispose]: () => kept.dispose() };
}

// Each step copies 1 MiB, so that an abort is heard soon.
const stepPages = 256;
const maxAttempts = 5;

/**
 * Copies every page. One read transaction spans all steps, because SQLite begins a backup anew whenever another
 * connection has written to the source: without it the copy would never end beside a service that writes without pause
 * (measured: 20 MB, which take 20 steps, were not copied after 1,500).
 */
export async function copyPages(source: Reader, temporary: string, task: Task): Promise<void> {
  const { like, long: { signal, onProgress } } = task;
  for (let attempt = 1; ; attempt++) {
    const db = source.read(() => {
      if (!source.db.isTransaction) source.db.exec('BEGIN');
      source.db.prepare('SELECT 1 FROM sqlite_schema').get(); // BEGIN alone does not begin the read transaction
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
    // A file that nobody has open is read without locks. Where a writer has opened it meanwhile, the reader has another
    // handle now, and the pages that were copied may not belong together.
    if (source.read(() => source.db) === db) {
      if (failure) throw failure.error;
      return;
    }
    for (const left of [temporary, ...companionsOf(temporary)]) rmSync(left, { force: true });
    if (attempt < maxAttempts) continue;
    const why = `it was written to during each of ${attempt} attempts`;
    throw new StoreError('ERR_STORE_BUSY', why, { cause: failure?.error });
  }
}

async function checkLog(temporary: string, beside: string, task: Task): Promise<Omit<Copy, typeof Symbol.dispose>> {
  const { options, long: { signal, onProgress } } = task;
  const opened = openToRead(temporary, { ...options, snapshotPath: undefined }, 1);
  const { connection, log, pair } = opened;
  try {
    const [pages] = connection.get<[number]>('PRAGMA page_count')!;
    const report = await verifyChain(opened, {
      signal,
      onProgress: ({ done, total }) => {
        onProgress?.({ done: pages + Math.floor((pages * done) / Math.max(1, total)), total: 2 * pages });
      },
    });
    const [finding] = report.findings;
    if (!report.ok) throw new StoreError('ERR_STORE_CORRUPT', `the log does not verify: ${finding!.message}`);
    signal?.throwIfAborted();
    // The snapshot file is made from the copy, because the store's own file may be ahead of the copy by now: the next
    // open would then report a loss.
    const snapshot = pair.prepareBeside(beside);
    const renewed = log.formerIdentities();
    return { temporary, snapshot, uuid: log.uuid, renewed, bytes: statSync(temporary).size, head: report.head };
  } finally {
    connection.close();
  }
}
