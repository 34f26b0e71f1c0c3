// Whether a ledger and a log belong together: same store, same rows, and none missing between the two.
import type { Anchor } from '../core/chain.ts';
import type { AuditLog } from '../core/log.ts';
import { ledgerOrigin } from '../core/options.ts';
import { hasCode, StoreError } from '../values/errors.ts';
import { emptyEnd, type End } from './end.ts';
import type { LedgerFiles } from './file.ts';
import { LedgerTail } from './tail.ts';

/** Whether a ledger belongs to the store `uuid`, is not torn, and ends with the row `head`. */
export function isLike({ store, torn, head: last }: End, uuid: string, head: Anchor | undefined): boolean {
  return store === uuid && !torn && last?.id === head?.id && last?.hash === head?.hash;
}

/** Refuses another store's ledger, but not one without events, which has nothing to lose. */
export function checkStore(end: End, log: AuditLog, path: string): void {
  if (end.store === undefined || (!end.head && !end.torn) || log.owns(ledgerOrigin(end))) return;
  const owner = `${end.store}, not ${log.uuid}`;
  throw new StoreError('ERR_STORE_CONFLICT', `${path} is the ledger of another store (${owner})`);
}

/** Refuses a ledger whose row differs from the log's row at the last id that both have. */
export function checkCommon(log: AuditLog, ledger: LedgerTail, end: End): void {
  const head = log.head();
  if (!head || !end.head) return;
  const id = Math.min(head.id, end.head.id);
  checkReach(log, ledger.path, end, id);
  const [row] = id === end.head.id ? [end.head] : id === end.after?.id ? [end.after] : ledger.rows(id);
  const stored = log.hashAt(id);
  if (row?.id === id && row.hash === stored) return;
  const theirs = `${row?.id === id ? row.hash : 'missing'} in ${ledger.path}`;
  const message = `row ${id} is ${stored ?? 'missing'} in the database and ${theirs}; neither is overwritten`;
  throw new StoreError('ERR_STORE_PARITY', message);
}

/** Refuses two files between which there are rows that only an archive has: one of the two is an old copy. */
function checkReach(log: AuditLog, path: string, { after }: End, id: number): void {
  const begun = log.beginning().id;
  if (id >= begun && id >= (after?.id ?? 0)) return;
  const [which, behind, advice] = id < begun
    ? [path, begun, 'move it away, and it is begun anew behind the archives']
    : ['the database', after!.id, 'rebuild it from the archives and the ledger'];
  const message = `${which} ends at row ${id}, and the other one begins behind row ${behind}: ${advice}`;
  throw new StoreError('ERR_STORE_PARITY', message);
}

/** Whether the file at a ledger's path is that ledger, cut by another process behind rows that are archived. */
export function isCutOf(log: AuditLog, { path, file, end }: LedgerTail): boolean {
  const cut = endAt(path, file.files);
  const { after } = cut;
  if (!log.owns(ledgerOrigin(cut)) || !after || after.id <= (end.after?.id ?? 0)) return false;
  return after.id < log.beginning().id || log.hashAt(after.id) === after.hash;
}

/** The end of the file at a path; that of none where the file is no ledger. */
function endAt(path: string, files: LedgerFiles): End {
  try {
    return new LedgerTail(path, files).refresh();
  } catch (error) {
    if (hasCode(error, 'ERR_STORE_NOT_A_STORE')) return emptyEnd;
    throw error;
  }
}
