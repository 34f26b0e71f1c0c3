// When the database has less than the file beside it: what was lost, what can be put back, and the event that says so.
import type { StoreEvent } from './events.ts';
import { encodeOwnEvent } from './events.ts';
import { auditHeadOf, hashAt, insertAudit } from './audit.ts';
import type { Connection } from './connection.ts';
import { isCovered, setCooldown } from './cooldowns.ts';
import type { CooldownTexts } from './cooldowns.ts';
import { localDay } from './days.ts';
import { hasCode, StoreError, toStoreError } from './errors.ts';
import type { SetAside } from './mirror-port.ts';
import type { SnapshotPair } from './snapshot.ts';
import { encodeState } from './snapshot-file.ts';
import type { SnapshotContent } from './snapshot-file.ts';
import { addUsage, usageOf } from './usage.ts';

/** What can be found at open. */
export const losses = ['behind', 'forked', 'missing', 'damaged', 'orphan-wal', 'other-file', 'ledger-torn', 'ledger-damaged'] as const;

/** What `open` found and did: `store.recovery`, and the event `store_recovered`. */
export interface Recovery {
  /**
   * `behind`: the database lacks the newest rows that the file beside it knows of. `forked`: it has other rows there.
   * `missing`, `damaged`: the database was not there or not readable, and is a new one. `orphan-wal`: a -wal stood without
   * its database. `other-file`: the file beside the database was another store's, or damaged where it was all there was.
   * `ledger-torn`, `ledger-damaged`: nothing of these, but a part of the ledger was set aside and written again.
   */
  found: (typeof losses)[number];
  /** Where the damaged files are now. */
  moved: string[];
  /** The ids of audit rows known to be lost; `from` is absent where the logs parted at an unknown row. */
  lost?: { from?: number; to: number };
  /** How many events came back from the ledger, how many totals and cooldowns from the file, and whether the state did. */
  restored: { events?: number; usage: number; cooldowns: number; snapshot: boolean };
  /** The files with what was set aside of the ledger; an event `ledger_set_aside` tells of each. */
  setAside?: SetAside[];
}

/** What was found before the database could be asked. */
export interface Loss {
  found: Recovery['found'];
  moved: string[];
  /** How many events the ledger has given back already, and the last one that is there by that. */
  replayed: number;
  lastId: number;
}

/**
 * Whether the database has the commit that the file was written at: the row at the head of its log, by one look-up, and
 * the save itself. A save is in the database before its file is in place, so one that is not there was lost.
 */
export function compareHead(connection: Pick<Connection, 'get'>, { head, generation }: SnapshotContent): 'behind' | 'forked' | undefined {
  const stored = head === null ? undefined : connection.get<[string]>('SELECT event_hash FROM audit_log WHERE id = ?', head.id)?.[0];
  if (head !== null && stored !== head.hash) return stored === undefined ? 'behind' : 'forked';
  const [saved] = connection.get<[number]>('SELECT generation FROM snapshot WHERE id = 1') ?? [0];
  return saved < generation ? 'behind' : undefined;
}

/** Whether SQL of this package's, which never changes, names what SQLite does not find: the stored schema has other names. */
export function isSchemaDamage(error: unknown): boolean {
  return (error as { errcode?: number } | undefined)?.errcode === 1;
}

// More entries than a screen shows; each costs a look-up or two.
const rehearsedRows = 100;

/**
 * Does once what a service does again and again, and undoes it: a page that is damaged there, which nothing at open reads,
 * would stop the service after each start. Throws SQLite's own word for that; reads a few pages and writes none.
 */
export function rehearse(connection: Connection, uuid: string, pair: SnapshotPair): void {
  try {
    connection.run('BEGIN IMMEDIATE');
    const head = auditHeadOf(connection);
    if (head && hashAt(connection, head.id) !== head.hash) throw new StoreError('ERR_STORE_CORRUPT', `the last row of audit_log is not found under its id ${head.id}`);
    connection.run("INSERT INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash) SELECT coalesce(max(id), 0) + 1, '', '', '', json_object('eventId', ?), '' FROM audit_log", uuid);
    // An entry gets a row, so that both indexes are walked to where the next one goes: of those that a service uses these days,
    // and the cooldowns that end last. There may be any number of others.
    const days = 'SELECT last_day FROM store_meta UNION SELECT previous_day FROM store_meta UNION SELECT ?';
    connection.run(`INSERT INTO usage (entry_id, day, duration_secs) SELECT DISTINCT entry_id, '9999-12-31', 0 FROM usage WHERE day IN (${days}) LIMIT ${rehearsedRows} ON CONFLICT DO NOTHING`, localDay(connection.now()));
    connection.run(`INSERT INTO cooldowns (entry_id, until) SELECT entry_id || ' ', until FROM cooldowns ORDER BY until DESC LIMIT ${rehearsedRows} ON CONFLICT DO NOTHING`);
    connection.run("UPDATE snapshot SET data = data || ' '");
    connection.run("UPDATE store_meta SET last_day = last_day || ' '");
    pair.rehearse();
  } catch (error) {
    // Whatever else it is, a full disk or another writer, it is told where it is done in earnest.
    if (hasCode(toStoreError(error, 'rehearse'), 'ERR_STORE_CORRUPT') || isSchemaDamage(error)) throw error;
  } finally {
    connection.undo();
  }
}

/**
 * Puts back what the file has and the database has not, in one transaction with the event that records it: the larger
 * usage and the later cooldown (a limit must not fail open), the newer state. The file is written anew at the commit, so
 * that the next open finds nothing.
 */
export function heal(connection: Connection, uuid: string, pair: SnapshotPair, loss: Loss, content: SnapshotContent | undefined): Recovery {
  return connection.write('recover what was lost', () => {
    const recovery: Recovery = { found: loss.found, moved: loss.moved, restored: { ...(loss.replayed > 0 ? { events: loss.replayed } : undefined), usage: 0, cooldowns: 0, snapshot: false } };
    const row = pair.storedRow();
    if (content) {
      const lost = lostRange(loss, content);
      if (lost) recovery.lost = lost;
      // A ledger that has the file's head accounts for every second and cooldown since; the file's are older.
      const isOlder = connection.mirroring !== undefined && content.head !== null && hashAt(connection, content.head.id) === content.head.hash;
      for (const { entryId, day, durationMs } of isOlder ? [] : content.usage) recovery.restored.usage += raiseUsage(connection, entryId, day, durationMs);
      for (const cooldown of isOlder ? [] : content.cooldowns) recovery.restored.cooldowns += extendCooldown(connection, cooldown);
      recovery.restored.snapshot = !row?.state || content.generation > row.generation;
    }
    // Saved again even where the row was the newer one, so that a file is there and the next open finds nothing.
    if (content && recovery.restored.snapshot) pair.save(encodeState(content.state));
    else if (row?.state) pair.save(row.text);
    const { found, moved, lost, restored } = recovery;
    const event = { type: 'store_recovered', found, moved, ...(lost ? { lost } : undefined), usage: restored.usage, cooldowns: restored.cooldowns } satisfies StoreEvent;
    insertAudit(connection, uuid, connection.now().toISOString(), encodeOwnEvent(event));
    return recovery;
  });
}

/** Whether the last event tells already of what was moved: a recovery was cut short behind it. */
export function isTold(connection: Connection, moved: readonly string[]): boolean {
  const [type, data] = connection.get<[string, string]>('SELECT event_type, event_data FROM audit_log ORDER BY id DESC LIMIT 1') ?? [];
  if (type !== 'store_recovered') return false;
  const told = (JSON.parse(data!) as Recovery).moved;
  return moved.every((file) => told.includes(file));
}

/** What was found together with what became of the ledger. */
export function withSetAside(recovery: Recovery | undefined, { setAside, lost }: { setAside: SetAside[]; lost?: { from: number; to: number } }): Recovery | undefined {
  if (setAside.length === 0) return recovery;
  const isDamaged = setAside.some(({ kind }) => kind === 'damaged');
  const found: Recovery = recovery ?? { found: isDamaged ? 'ledger-damaged' : 'ledger-torn', moved: [], restored: { usage: 0, cooldowns: 0, snapshot: false } };
  return { ...(lost ? { lost } : undefined), ...found, setAside };
}

function lostRange(loss: Loss, content: SnapshotContent): Recovery['lost'] {
  if (content.head === null) return undefined;
  const to = content.head.id;
  if (loss.found === 'forked') return { to };
  const from = loss.lastId + 1; // behind it may stand what attaching a new ledger has written
  return from <= to ? { from, to } : undefined;
}

/** A total or cooldown of the database's that cannot be read stays as it is, and fails closed when it is read. */
function readable<T>(read: () => T): T | undefined | 'damaged' {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, 'ERR_STORE_CORRUPT')) return 'damaged';
    throw error;
  }
}

function raiseUsage(connection: Connection, entryId: string, day: string, durationMs: number): number {
  const stored = readable(() => usageOf(connection, entryId, day)) ?? 0;
  if (stored === 'damaged' || stored >= durationMs) return 0;
  addUsage(connection, entryId, day, durationMs - stored);
  return 1;
}

function extendCooldown(connection: Connection, cooldown: CooldownTexts): number {
  const lastsAsLong = readable(() => isCovered(connection, cooldown));
  if (lastsAsLong === 'damaged' || lastsAsLong) return 0;
  setCooldown(connection, cooldown.entryId, cooldown.until, cooldown.setAt ?? null);
  return 1;
}
