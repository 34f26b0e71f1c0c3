// VACUUM, which gives the free pages that archiving leaves in a database back to the disk.
import { statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { checkVersion, readValue, setPragmas } from '../../core/handle.ts';
import type { CheckedOptions } from '../../core/options.ts';
import { notAStore } from '../../core/schema.ts';
import type { DatabaseSync } from '../../core/sqlite.ts';
import { FileWatch } from '../../core/watch.ts';
import { lockOut } from '../../opening/alone.ts';
import { checkpointFound, openToWrite } from '../../recovery/found-wal.ts';
import { inspect } from '../../recovery/inspect.ts';
import { attempt, StoreError } from '../../values/errors.ts';

/** What a vacuum takes. Sizes are in bytes. */
export interface VacuumPlan {
  databaseBytes: number;
  /** How much of the database is free pages. */
  freePageBytes: number;
  /** How much room it needs meanwhile beside the database, and how much there is. */
  neededBytes: number;
  freeBytes: number;
  /** For how long it holds the store, by the rate that was measured. */
  estimatedMs: number;
}

/** How many bytes of kept pages a second takes: what was measured on an SSD, with 230 MB, and rounded down. */
export const vacuumRate: number = 70 * 1024 * 1024;

// A page of the -wal has a header of 24 bytes, and the directory of the file system and the last sector take some too.
const walShare = 1.01;
const spareBytes = 1024 * 1024;

/** What a vacuum of an open database would take. */
export function planVacuum(get: (sql: string) => unknown, path: string): VacuumPlan {
  const [pages, freePages, pageBytes] = ['page_count', 'freelist_count', 'page_size'].map((name) => {
    return Number(get(`PRAGMA ${name}`));
  }) as [number, number, number];
  const { bavail, bsize } = statfsSync(dirname(path));
  const keptBytes = (pages - freePages) * pageBytes;
  return {
    databaseBytes: pages * pageBytes,
    freePageBytes: freePages * pageBytes,
    // Once for the copy that SQLite makes, and once for the -wal, from which it goes into the database.
    neededBytes: Math.ceil(keptBytes * (1 + walShare)) + spareBytes,
    freeBytes: bavail * bsize,
    estimatedMs: Math.ceil((1000 * keptBytes) / vacuumRate),
  };
}

/**
 * Writes a database anew without its free pages, and gives its size before and after in bytes; `begin` gets the plan
 * once nothing stands in the way. Throws `ERR_STORE_BUSY` where another process has the store open, and
 * `ERR_STORE_DISK_FULL` where there is too little room, before anything is changed.
 *
 * A crash at any point loses nothing. SQLite makes the copy in a temporary file without a name, and takes it over in
 * one transaction of the -wal: before its commit record is on the disk, whoever opens the database passes over those
 * pages; from then on they are in the -wal as any commit is, until the checkpoint has copied and synced them. A
 * checkpoint that was cut short is made again from the same -wal, which is emptied last.
 */
export function vacuum(
  path: string, options: CheckedOptions, begin: (plan: VacuumPlan) => void,
): { before: number; after: number } {
  const what = `vacuum ${path}`;
  return attempt(what, () => {
    checkVersion();
    statSync(path);
    const { file, newer } = inspect(path, { state: 'absent' }, options.busyTimeoutMs);
    if (file.kind !== 'store') throw notAStore(path, file);
    if (newer && newer.access !== 'write') throw newer.refusal;
    const watch = new FileWatch([path]);
    const check = (): void => watch.check(what);
    using db = openToWrite(path, options, check);
    lockOut(db, path, what, undefined, 'that one could neither read nor write for all that time');
    check();
    const plan = planVacuum((sql) => readValue(db, sql), path);
    refuseWithoutRoom(path, plan);
    begin(plan);
    run(db, path);
    const after = Number(readValue(db, 'PRAGMA page_count')) * Number(readValue(db, 'PRAGMA page_size'));
    return { before: plan.databaseBytes, after };
  });
}

function refuseWithoutRoom(path: string, { neededBytes, freeBytes }: VacuumPlan): void {
  if (freeBytes >= neededBytes) return;
  const room = `it needs ${neededBytes} bytes in ${dirname(path)}, and ${freeBytes} are free`;
  throw new StoreError('ERR_STORE_DISK_FULL', `failed to vacuum ${path}: ${room}; nothing was changed`);
}

function run(db: DatabaseSync, path: string): void {
  // The copy is as large as what is kept: in memory, where `harden` has such files, a small computer has no room for
  // it, and in the folder that SQLite would choose, which may be in memory too, nobody has looked for room.
  const folder = resolve(dirname(path)).replaceAll("'", "''");
  db.exec(`PRAGMA temp_store = FILE; PRAGMA temp_store_directory = '${folder}'`);
  try {
    setPragmas(db);
    db.exec('VACUUM');
    checkpointFound(db, path); // closing the handle would copy the -wal as well, and swallow an error of that
  } finally {
    db.exec("PRAGMA temp_store_directory = ''"); // it holds for all of the process
  }
}
