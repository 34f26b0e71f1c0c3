// Ledger and database made from each other: one line or all of them replayed, either file rebuilt. Everything streams.
import * as system from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { rowHash } from '../core/chain.ts';
import type { ModuleConnection } from '../core/door.ts';
import { isSameStore } from '../core/identity.ts';
import { ledgerOrigin } from '../core/options.ts';
import { makeStore } from '../opening/new-store.ts';
import { TemporaryFile } from '../opening/temporary.ts';
import { connect, SqliteStore } from '../store.ts';
import { invalid } from '../values/checks.ts';
import { attempt, StoreError } from '../values/errors.ts';
import { prepareFolder } from '../values/folders.ts';
import { checkLong, type LongOperation } from '../values/long.ts';
import { likeFor } from '../values/owner.ts';
import { checkPath, snapshotPathOf } from '../values/paths.ts';
import { checkFree, companionsOf, placeNew } from '../values/place.ts';
import type { Ledger } from './ledger.ts';
import { checkLine, isSound, type LedgerLine, toRow } from './line.ts';
import { batchRows, checkEnd, checkIsLedger, checkLedger, isSame, type ParityReport, verifyParity } from './parity.ts';
import { ledgerAfter, replayRow } from './replay.ts';
import { type LedgerRow, pagedRows, rowAt } from './rows.ts';
import { LedgerTail } from './tail.ts';

/** What `replay` did. */
export interface ReplayReport {
  replayed: number;
  skippedExisting: number;
  parity: ParityReport;
}

/**
 * Inserts the row of one ledger line into the store, with its effects on the other tables; as a part of the open
 * transaction where there is one. A row that is there already, or in an archive, is fine. Throws `ERR_STORE_PARITY`
 * where another row has its id, it does not follow the newest row or its hash is wrong, `ERR_STORE_CORRUPT` for a row
 * that no method would have written.
 */
export function mirrorEvent(store: SqliteStore, line: LedgerLine): 'inserted' | 'already-present' {
  const connection = connect(store);
  const checked = checkLine(line);
  if (!isSound(checked)) {
    throw new StoreError('ERR_STORE_PARITY', `line of row ${checked.id} does not have the hash of its content`);
  }
  const what = `insert row ${checked.id} of the ledger`;
  return connection.write('mirrorEvent', what, () => insertMissing(connection, toRow(checked)));
}

function insertMissing(connection: ModuleConnection, row: LedgerRow, hasLedger = true): 'inserted' | 'already-present' {
  const { log } = connection.parts;
  const beginning = log.beginning();
  // Only the hash of the last archived row is still there to be compared.
  if (row.id < beginning.id || (row.id === beginning.id && row.hash === beginning.hash)) return 'already-present';
  const stored = rowAt(connection, row.id);
  if (stored && isSame(row, stored)) return 'already-present';
  if (stored) {
    const both = `${stored.hash} in the database and ${row.hash} in the ledger`;
    throw new StoreError('ERR_STORE_PARITY', `row ${row.id} is ${both}; neither is overwritten`);
  }
  const last = log.head() ?? beginning;
  if (row.id <= last.id || row.previous !== last.hash) {
    const message = `row ${row.id} of the ledger does not follow row ${last.id} of the database`;
    throw new StoreError('ERR_STORE_PARITY', message);
  }
  replayRow(connection.parts, row, hasLedger);
  return 'inserted';
}

/**
 * Inserts every line that the store lacks, in one transaction, and then compares ledger and store. Idempotent. Throws
 * `ERR_STORE_NOT_FOUND` where the ledger's file does not exist, `ERR_STORE_CONFLICT` for another store's ledger,
 * `ERR_STORE_PARITY` and `ERR_STORE_CORRUPT` where a line cannot be inserted, and has changed nothing then.
 */
export async function replay(
  store: SqliteStore, ledger: Ledger, options?: LongOperation,
): Promise<ReplayReport> {
  const checked = checkLong(options);
  const connection = connect(store);
  checkLedger(connection, ledger);
  const counts = { replayed: 0, skippedExisting: 0 };
  connection.write('replay', `replay ${ledger.path}`, () => {
    for (const line of wholeGroups(ledger)) {
      if (insertMissing(connection, toRow(line)) === 'inserted') counts.replayed++;
      else counts.skippedExisting++;
    }
  });
  return { ...counts, parity: await verifyParity(store, ledger, checked) };
}

/**
 * Writes a new ledger from the store's audit log; durable when it resolves. The file appears whole or not at all.
 * Throws `ERR_STORE_CONFLICT` where there is a file already, `ERR_STORE_CORRUPT` for a log whose chain is broken.
 */
export async function rebuildLedger(
  store: SqliteStore, path: string, options?: LongOperation,
): Promise<{ events: number }> {
  const { signal, onProgress } = checkLong(options);
  const target = checkPath(path);
  checkFree('rebuild the ledger', target);
  const connection = connect(store);
  const total = store.auditHead()?.id ?? 0;
  const createdSql = 'SELECT created_at FROM store_meta WHERE id = 1';
  const [created] = connection.read('read when the store was made', () => connection.all<[string]>(createdSql)[0]!);
  using temporary = attempt(`rebuild the ledger ${target}`, () => {
    prepareFolder(dirname(target));
    return TemporaryFile.beside(target);
  });
  const tail = new LedgerTail(temporary.path, system);
  tail.hold();
  try {
    const beginning = connection.read('read where the log begins', () => connection.parts.log.beginning());
    const renewed = connection.read('read its former identities', () => connection.parts.log.formerIdentities());
    const header = { store: connection.uuid, created, after: beginning.id > 0 ? beginning : undefined, renewed };
    tail.begin(header, likeFor(target, connection.path === undefined ? [] : [connection.path]));
    let previous = beginning.hash;
    let events = 0;
    let batch: LedgerRow[] = [];
    for (const row of pagedRows(connection)) {
      if (rowHash(previous, row) !== row.hash) {
        const why = `row ${row.id} of the log was changed after it was written, or the row before it was`;
        throw new StoreError('ERR_STORE_CORRUPT', `failed to rebuild the ledger: ${why}`);
      }
      batch.push({ ...row, previous, more: false });
      previous = row.hash;
      events++;
      if (batch.length < batchRows) continue;
      tail.append(batch);
      batch = [];
      signal?.throwIfAborted();
      onProgress?.({ done: events, total: Math.max(total, events) });
      await nextTurn();
    }
    tail.append(batch);
    attempt(`rebuild the ledger ${target}`, () => placeNew('rebuild the ledger', temporary.path, target));
    return { events };
  } finally {
    tail.letGo();
  }
}

/**
 * Makes a new database from a ledger, with the store's identity, log, usage, cooldowns and limits; the next open takes
 * the snapshot from the file beside it. Of a log that was shortened, `ledger` may be a list: archives, opened as
 * ledgers, and the ledger, in any order. Where the first of them are missing, the log begins behind them, with all
 * balances; so it does behind an archive with an event whose event id was used again later. The database appears whole
 * or not at all. Throws `ERR_STORE_CONFLICT` where there is a file already, or a ledger is another store's,
 * `ERR_STORE_NOT_FOUND` where there is no ledger, `ERR_STORE_CORRUPT` or `ERR_STORE_PARITY` for a damaged one, and
 * where rows are in none of the files.
 */
export async function rebuildDatabase(
  ledger: Ledger | readonly Ledger[], path: string, options?: LongOperation,
): Promise<{ events: number }> {
  const { signal, onProgress } = checkLong(options);
  const ledgers = inOrder(ledger);
  const target = checkPath(path);
  checkFree('rebuild the database', target, companionsOf(target));
  const { after } = ledgers[0]!.refresh();
  const { store: uuid, created, renewed, head } = ledgers.at(-1)!.refresh(); // the earlier ones may have an older UUID
  const what = `rebuild the database ${target}`;
  using temporary = attempt(what, () => TemporaryFile.beside(target));
  const lines = joined(ledgers);
  try {
    const left = [snapshotPathOf(target), ledgers.at(-1)!.path];
    attempt(what, () => makeStore(temporary.path, { uuid: uuid!, createdAt: created!, renewed }, new Date(), left));
    using store = SqliteStore.open(temporary.path);
    const connection = connect(store);
    const done: Rebuilt = { events: 0, hasLedger: 0 };
    const write = <T>(step: string, fn: () => T): T => connection.write('rebuildDatabase', step, fn);
    if (after) write('begin the log', () => connection.parts.log.beginBehind(after));
    for (let more = true; more; ) {
      more = write('replay the ledger', () => replayNext(connection, lines, done));
      signal?.throwIfAborted();
      onProgress?.({ done: done.events, total: Math.max(head?.id ?? 0, done.events) });
      await nextTurn();
    }
    const finishSql = 'UPDATE store_meta SET has_ledger = ? WHERE id = 1';
    write('finish the database', () => connection.prepare(finishSql).run(done.hasLedger));
    store.close();
    attempt(what, () => placeNew('rebuild the database', temporary.path, target));
    return { events: done.events };
  } finally {
    lines.return(); // where it was not read to its end, this closes the ledger
  }
}

/** How far a rebuild has come. */
interface Rebuilt {
  events: number;
  /** Whether the store had a ledger after the last of these events. */
  hasLedger: 0 | 1;
}

/** Replays up to `batchRows` lines inside a transaction, and says whether there may be more. */
function replayNext(
  connection: ModuleConnection, lines: Generator<LedgerLine, void, undefined>, done: Rebuilt,
): boolean {
  for (let count = 0; count < batchRows; count++) {
    const next = lines.next();
    if (next.done === true) return false;
    done.hasLedger = ledgerAfter(next.value) ?? done.hasLedger;
    insertMissing(connection, toRow(next.value), done.hasLedger === 1);
    done.events++;
  }
  return true;
}

/** The ledgers by the row that each begins behind. */
function inOrder(given: Ledger | readonly Ledger[]): Ledger[] {
  const ledgers = Array.isArray(given) ? [...(given as readonly Ledger[])] : [given as Ledger];
  if (ledgers.length === 0) throw invalid('ledger', given, 'a Ledger, or a list of them');
  const what = 'failed to rebuild the database';
  for (const each of ledgers) {
    checkIsLedger(each);
    const { store } = each.refresh();
    if (store === undefined) throw new StoreError('ERR_STORE_NOT_FOUND', `${what}: there is no ledger at ${each.path}`);
  }
  const begunAt = (each: Ledger): number => each.refresh().after?.id ?? 0;
  ledgers.sort((a, b) => begunAt(a) - begunAt(b) || a.refresh().groupEnd - b.refresh().groupEnd);
  const last = ledgers.at(-1)!;
  for (const each of ledgers) {
    if (isSameStore(ledgerOrigin(each.refresh()), ledgerOrigin(last.refresh()))) continue;
    throw new StoreError('ERR_STORE_CONFLICT', `${what}: ${each.path} is of another store than ${last.path}`);
  }
  return ledgers;
}

/** The lines of ledgers that follow each other. A line that two of them have, as after a crash, is given once. */
function* joined(ledgers: readonly Ledger[]): Generator<LedgerLine, void, undefined> {
  let last: number | undefined;
  let before = '';
  for (const ledger of ledgers) {
    const { after } = ledger.refresh();
    if (after && last !== undefined && after.id > last) {
      const missing = `rows ${last + 1} to ${after.id} are neither in ${before} nor in ${ledger.path}`;
      throw new StoreError('ERR_STORE_PARITY', `failed to rebuild the database: ${missing}`);
    }
    for (const line of wholeGroups(ledger)) {
      if (last !== undefined && line.id <= last) continue;
      yield line;
      last = line.id;
    }
    last ??= after?.id ?? 0;
    before = ledger.path;
  }
}

/** The lines that were committed, without a last group that a crash cut off. */
function* wholeGroups(ledger: Ledger): Generator<LedgerLine, void, undefined> {
  checkEnd(ledger);
  const { groupEnd } = ledger.refresh();
  for (const line of ledger.iterate()) {
    if (line.id <= groupEnd) yield line;
  }
}
