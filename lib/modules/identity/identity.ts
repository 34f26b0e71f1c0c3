// The identity of a store that was copied with the image of a machine: a new UUID, or the word that this copy keeps it.
import { randomUUID } from 'node:crypto';
import { encodeChecked, type StoreEvent } from '../../core/events.ts';
import { moveHere, reportMachine } from '../../core/machine.ts';
import { carryLimits } from '../../ledger/carried.ts';
import { writeAlone } from '../../opening/alone.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { StoreError } from '../../values/errors.ts';
import { saveAgain } from '../save-again.ts';

/** What `renewIdentity` did. */
export interface Renewed {
  /** The UUID before, and the one now. */
  from: string;
  to: string;
  /** The row of the event that says so: the outboxes begin behind it. */
  id: number;
  /**
   * The outboxes that had not sent everything, and how much: these events go nowhere any more, neither under the UUID
   * before nor under the one now.
   */
  unsent: { outbox: string; events: number }[];
}

const unsentSql = `SELECT name, (SELECT count(*) FROM audit_log WHERE id > o.sent) AS events
  FROM (SELECT name, min(id, coalesce(shared_id, id)) AS sent FROM outboxes) AS o WHERE events > 0 ORDER BY name`;

/**
 * Gives a store another UUID, because it is a copy: so every machine that was made from one image has a store of its
 * own. The chain goes on; the event `store_identity_renewed` says so, and is durable on return with everything else:
 * the snapshot file and the ledger name the new UUID, and every outbox begins behind the event. Archives and backups
 * from before are still this store's. Only version 10 of the schema and later can read the store from then on. A crash
 * leaves the store with the one identity or the other; what the files beside it lack, the next open writes.
 *
 * With a ledger, events with all balances follow, so that what is sent from then on suffices to rebuild the database.
 * Throws `ERR_STORE_BUSY` while another process has the store open, `ERR_STORE_CONFLICT` inside a transaction, and what
 * a write throws.
 */
export function renewIdentity(store: SqliteStore): Renewed {
  const door = connect(store);
  const { connection, log } = door.parts;
  const to = randomUUID();
  const what = 'renew the identity of the store';
  // Inside a transaction no lock is taken any more that would exclude the others.
  if (connection.inTransaction) throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: a transaction is open`);
  const renewed = writeAlone(connection, what, undefined, () => door.write('renewIdentity', what, () => {
    const from = log.uuid;
    const unsent = door.all<[string, number]>(unsentSql).map(([outbox, events]) => ({ outbox, events }));
    const event: StoreEvent = { type: 'store_identity_renewed', from, to };
    const id = door.appendAudit(encodeChecked(event));
    log.takeIdentity(to, id);
    log.ledger?.carryOver(id);
    carryLimits(door.parts, id);
    saveAgain(store);
    return { from, to, id, unsent };
  }));
  // The first line of the ledger has the UUID before, as after a crash: the next write makes it anew.
  if (log.ledger) door.write('renewIdentity', 'write the ledger anew', () => {});
  reportMachine(connection);
  return renewed;
}

/**
 * Says that the store is at home on this machine and keeps its UUID, as after a change of hardware; durable on return.
 * The finding `other-machine` goes. Throws what a write throws.
 */
export function keepIdentity(store: SqliteStore): void {
  const door = connect(store);
  const { connection } = door.parts;
  door.write('keepIdentity', 'keep the identity of the store', () => moveHere(connection));
  reportMachine(connection);
}
