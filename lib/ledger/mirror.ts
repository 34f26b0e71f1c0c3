// Ledger and audit log made from each other. Everything streams.
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkLong } from '../audit.ts';
import type { LongOperation } from '../audit.ts';
import { genesisHash, rowHash } from '../chain.ts';
import { attempt, StoreError } from '../errors.ts';
import type { EventBase } from '../events.ts';
import { checkPath, prepareFolder, snapshotPathOf } from '../files.ts';
import { ledgerAfter } from '../mirroring.ts';
import type { MirroredRow } from '../mirror-port.ts';
import { makeStore } from '../new-store.ts';
import { likeFor } from '../owner.ts';
import { checkFree, companionsOf, placeNew } from '../place.ts';
import { connect, SqliteStore } from '../store.ts';
import type { ModuleConnection } from '../store.ts';
import { TemporaryFile } from '../temporary.ts';
import { Ledger } from './ledger.ts';
import { checkLine, isSound, toRow } from './line.ts';
import type { LedgerLine } from './line.ts';
import { batchRows, checkEnd, checkIsLedger, checkLedger, isSame, pagedRows, rowColumns, verifyParity } from './parity.ts';
import type { ParityReport, Row } from './parity.ts';

/** What `replay` did. */
export interface ReplayReport {
  replayed: number;
  skippedExisting: number;
  parity: ParityReport;
}

/**
 * Brings one line of a ledger into the store, with its effects on usage and cooldowns; as a part of an open transaction
 * where there is one. The same row being there already is fine. Throws `ERR_STORE_PARITY` where another row has its place,
 * or it does not follow the newest row, `ERR_STORE_CORRUPT` for one that no method would have written.
 */
export function mirrorEvent<E extends EventBase>(store: SqliteStore<E>, line: LedgerLine): 'inserted' | 'already-present' {
  const connection = connect(store);
  const checked = checkLine(line);
  if (!isSound(checked)) throw new StoreError('ERR_STORE_PARITY', `line of row ${checked.id} does not have the hash of its content`);
  return connection.write(`mirror row ${checked.id}`, () => mirrorRow(connection, toRow(checked)));
}

function mirrorRow(connection: ModuleConnection, row: MirroredRow, hasLedger = true): 'inserted' | 'already-present' {
  const stored = connection.prepare(`SELECT ${rowColumns} FROM audit_log WHERE id = ?`).get(row.id) as unknown as Row | undefined;
  if (stored) {
    if (isSame(row, stored)) return 'already-present';
    throw new StoreError('ERR_STORE_PARITY', `row ${row.id} is ${stored[5]} in the database and ${row.hash} in the ledger; neither is overwritten`);
  }
  const [lastId, lastHash] = (connection.prepare('SELECT id, event_hash FROM audit_log ORDER BY id DESC LIMIT 1').get() as unknown as [number, string] | undefined) ?? [0, genesisHash(connection.uuid)];
  if (row.id <= lastId || row.previous !== lastHash) throw new StoreError('ERR_STORE_PARITY', `row ${row.id} of the ledger does not follow row ${lastId} of the database`);
  connection.replayRow(row, hasLedger);
  return 'inserted';
}

/**
 * Brings every line that the store lacks into it, in one transaction, and compares both. Idempotent. Throws
 * `ERR_STORE_NOT_FOUND` where the ledger's file does not exist, `ERR_STORE_CONFLICT` for another store's ledger,
 * `ERR_STORE_PARITY` and `ERR_STORE_CORRUPT` where a line cannot be taken: nothing is changed then.
 */
export async function replay<E extends EventBase>(store: SqliteStore<E>, ledger: Ledger, options?: LongOperation): Promise<ReplayReport> {
  const checked = checkLong(options);
  const connection = connect(store);
  checkLedger(connection, ledger);
  const counts = { replayed: 0, skippedExisting: 0 };
  connection.write(`replay ${ledger.path}`, () => {
    for (const line of wholeGroups(ledger)) {
      if (mirrorRow(connection, toRow(line)) === 'inserted') counts.replayed++;
      else counts.skippedExisting++;
    }
  });
  return { ...counts, parity: await verifyParity(store, ledger, checked) };
}

/**
 * Writes a new ledger from the store's audit log; durable when it resolves. The file appears whole or not at all. Throws
 * `ERR_STORE_CONFLICT` where there is a file already, `ERR_STORE_CORRUPT` for a log whose chain is broken.
 */
export async function rebuildLedger<E extends EventBase>(store: SqliteStore<E>, path: string, options?: LongOperation): Promise<{ events: number }> {
  const { signal, onProgress } = checkLong(options);
  const target = checkPath(path);
  checkFree('rebuild the ledger', target);
  const connection = connect(store);
  const total = store.auditHead()?.id ?? 0;
  const [created] = connection.read('read when the store was made', () => connection.prepare('SELECT created_at FROM store_meta WHERE id = 1').get()) as unknown as [string];
  using temporary = attempt(`rebuild the ledger ${target}`, () => {
    prepareFolder(dirname(target));
    return TemporaryFile.beside(target);
  });
  const ledger = Ledger.open(temporary.path);
  ledger.hold();
  try {
    ledger.begin(connection.uuid, created, likeFor(target, connection.path === undefined ? [] : [connection.path]));
    let previous = genesisHash(connection.uuid);
    let events = 0;
    let batch: MirroredRow[] = [];
    for (const [id, timestamp, type, data, meta, hash, signature] of pagedRows(connection)) {
      if (rowHash(previous, { id, timestamp, type, data, meta }) !== hash) throw new StoreError('ERR_STORE_CORRUPT', `failed to rebuild the ledger: row ${id} of the log was changed after it was written, or the row before it was`);
      batch.push({ id, timestamp, type, data, meta, previous, hash, signature, more: false });
      previous = hash;
      events++;
      if (batch.length < batchRows) continue;
      ledger.append(batch);
      batch = [];
      signal?.throwIfAborted();
      onProgress?.({ done: events, total: Math.max(total, events) });
      await nextTurn();
    }
    ledger.append(batch);
    attempt(`rebuild the ledger ${target}`, () => placeNew('rebuild the ledger', temporary.path, target));
    return { events };
  } finally {
    ledger.letGo();
  }
}

/**
 * Makes a new database from a ledger, with the store's identity, log, usage and cooldowns; the snapshot comes from the
 * file beside it at the next open. The database appears whole or not at all. Throws `ERR_STORE_CONFLICT` where there is a
 * file already, `ERR_STORE_NOT_FOUND` where there is no ledger, `ERR_STORE_CORRUPT` or `ERR_STORE_PARITY` for a damaged one.
 */
export async function rebuildDatabase(ledger: Ledger, path: string, options?: LongOperation): Promise<{ events: number }> {
  const { signal, onProgress } = checkLong(options);
  checkIsLedger(ledger);
  const target = checkPath(path);
  checkFree('rebuild the database', target, companionsOf(target));
  const { store: uuid, created, head } = ledger.refresh();
  if (uuid === undefined || created === undefined) throw new StoreError('ERR_STORE_NOT_FOUND', `failed to rebuild the database: there is no ledger at ${ledger.path}`);
  using temporary = attempt(`rebuild the database ${target}`, () => TemporaryFile.beside(target));
  const lines = wholeGroups(ledger);
  try {
    attempt(`rebuild the database ${target}`, () => makeStore(temporary.path, { uuid, createdAt: created }, new Date(), [snapshotPathOf(target), ledger.path]));
    using store = SqliteStore.open(temporary.path);
    const connection = connect(store);
    const done: Rebuilt = { events: 0, hasLedger: 0 };
    for (let more = true; more; ) {
      more = connection.write('replay the ledger', () => replayNext(connection, lines, done));
      signal?.throwIfAborted();
      onProgress?.({ done: done.events, total: Math.max(head?.id ?? 0, done.events) });
      await nextTurn();
    }
    connection.write('finish the database', () => connection.prepare('UPDATE store_meta SET has_ledger = ? WHERE id = 1').run(done.hasLedger));
    store.close();
    attempt(`rebuild the database ${target}`, () => placeNew('rebuild the database', temporary.path, target));
    return { events: done.events };
  } finally {
    lines.return(); // where it was not read to its end, it still has the ledger open
  }
}

/** How far a rebuild has come. */
interface Rebuilt {
  events: number;
  /** Whether the store had a ledger there. */
  hasLedger: 0 | 1;
}

/** Replays the next lines, inside a transaction, and says whether there may be more. */
function replayNext(connection: ModuleConnection, lines: Generator<LedgerLine, void, undefined>, done: Rebuilt): boolean {
  for (let count = 0; count < batchRows; count++) {
    const next = lines.next();
    if (next.done === true) return false;
    done.hasLedger = ledgerAfter(next.value) ?? done.hasLedger;
    mirrorRow(connection, toRow(next.value), done.hasLedger === 1);
    done.events++;
  }
  return true;
}

/** The lines that were committed: without a group that a crash cut off. */
function* wholeGroups(ledger: Ledger): Generator<LedgerLine, void, undefined> {
  checkEnd(ledger);
  const { groupEnd } = ledger.refresh();
  for (const line of ledger.iterate()) {
    if (line.id <= groupEnd) yield line;
  }
}
