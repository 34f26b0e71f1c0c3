// The look before an open: what is not to be opened is refused before anything is written, in the order in which it
// counts.
import { isSameStore, type Origin } from '../core/identity.ts';
import { type LedgerEnd, ledgerOrigin } from '../core/options.ts';
import { requireWritable } from '../reading/newer.ts';
import { type Opening, requireTurn, setAside } from '../recovery/damaged.ts';
import { copyWal, hasWal, isOrphanWal } from '../recovery/found-wal.ts';
import { inspect } from '../recovery/inspect.ts';
import { hasSecondName, removeOwnNames } from '../recovery/names.ts';
import { readNote } from '../recovery/note.ts';
import { invalid, readClock } from '../values/checks.ts';
import { attempt, StoreError } from '../values/errors.ts';
import { companionsOf } from '../values/place.ts';

/** Refuses what is not to be opened before anything is written; then moves aside what SQLite would delete. */
export function lookFirst(opening: Opening): void {
  const { path, snapshotPath, snapshot, options } = opening;
  readClock(options); // a clock that gives no time is refused before anything is made
  checkNames(opening);
  const { file, origin, newer, ownsSnapshot, loss } = inspect(path, snapshot, options.busyTimeoutMs);
  if (file.kind === 'other') {
    const advice = 'to take over a service\'s data use "shepherd-store import"';
    throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is another program's file (${file.holds}); ${advice}`);
  }
  requireWritable(newer);
  opening.isNew = file.kind === 'empty';
  resume(opening);
  const ledgerEnd = lookAtLedger(opening, origin);
  if (file.kind === 'empty') checkMissing(opening, ledgerEnd);
  else if (snapshot.state === 'whole' && !ownsSnapshot && !options.recover) {
    requireTurn(opening);
    const stores = `${snapshot.content.store}, not ${origin?.store ?? 'one that has no identity yet'}`;
    const advice = 'move it away, or open with recover to have it moved aside';
    throw new StoreError('ERR_STORE_CONFLICT', `${snapshotPath} belongs to another store (${stores}): ${advice}`);
  }
  if (isOrphanWal(path)) setAside(opening, `${path}-wal`, 'orphan', 'orphan-wal');
  if (loss && hasWal(path)) setAside(opening, `${path}-wal`, loss, loss, copyWal);
}

/** Where there is no database: throws if a file beside it says that there was one; notes it as missing with recover. */
function checkMissing(opening: Opening, ledgerEnd: LedgerEnd | undefined): void {
  const { path, snapshotPath, snapshot, options, isNoted } = opening;
  if (snapshot.state === 'absent' && !ledgerEnd?.head && !isNoted) return;
  requireTurn(opening);
  opening.found ??= 'missing';
  if (options.recover) return;
  const left = ledgerEnd?.head ? options.ledger!.path : 'a recovery that was cut short';
  const witness = snapshot.state !== 'absent' ? snapshotPath : left;
  throw new StoreError('ERR_STORE_CORRUPT', `${path} is missing or empty, and ${witness} says that there was a store`);
}

/**
 * Every name of a file has a -wal of its own, and what is written by one name is lost by the other. A second name that
 * this package's own exchange of two files left when it was cut short goes away.
 */
function checkNames(opening: Opening): void {
  if (!hasSecondName(opening.path)) return;
  requireTurn(opening);
  removeOwnNames(opening.path);
}

/** Goes on with a recovery that was cut short: what it has found and moved is to be told. */
function resume(opening: Opening): void {
  const note = readNote(opening.path); // after the look at the database: a note is there before anything is moved
  if (!note) return;
  requireTurn(opening);
  opening.isNoted = true;
  if (note.moved.length === 0) return; // cut short before anything was moved: everything is found again
  opening.found = note.found;
  opening.moved.push(...note.moved);
}

/** What stands at the end of the ledger, which must be a file of its own and this store's. */
function lookAtLedger(opening: Opening, origin: Origin | undefined): LedgerEnd | undefined {
  const { path, snapshotPath, options: { ledger } } = opening;
  if (!ledger) return undefined;
  const own = [path, ...companionsOf(path), snapshotPath];
  if (own.includes(ledger.path)) throw invalid('options.ledger', ledger.path, 'another file than those of the store');
  // Asked now, because a ledger that cannot be written to would stop the store at its first event.
  attempt(`open the ledger ${ledger.path} to append to it`, () => ledger.checkWritable());
  const end = ledger.refresh();
  if (end.isSigned && ledger.publicKey === undefined && !ledger.unsigned) {
    const advice = 'open it with its signingKey, or with unsigned: true';
    throw new StoreError('ERR_STORE_CONFLICT', `the events of ${ledger.path} are signed: ${advice}`);
  }
  if (end.torn || (end.head?.id ?? 0) > end.groupEnd) requireTurn(opening);
  const isOfOther = end.store !== undefined && origin && !isSameStore(ledgerOrigin(end), origin);
  if (isOfOther && (end.head || end.torn)) {
    requireTurn(opening);
    const owner = `${end.store}, not ${origin.store}`;
    throw new StoreError('ERR_STORE_CONFLICT', `${ledger.path} is the ledger of another store (${owner})`);
  }
  return end;
}
