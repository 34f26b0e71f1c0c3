// What a restore has to know of the two logs: where they part, and how far the one that goes was sent.
import type { Anchor } from '../../core/chain.ts';
import { inTransaction, openHandle, setPragmas, writing } from '../../core/handle.ts';
import { archivedRow, readHash, readHead } from '../../core/log.ts';
import type { DatabaseSync } from '../../core/sqlite.ts';
import { Statements } from '../../core/statements.ts';
import { checkpointFound } from '../../recovery/found-wal.ts';

/** The last row that two logs share; absent where none is known, and whether both go on behind it. */
export interface Shared {
  row: Anchor | undefined;
  isParted: boolean;
}

const beforeSql = 'SELECT id, event_hash FROM audit_log WHERE id <= ? ORDER BY id DESC LIMIT 1';

/** The last row that both logs have. */
function sharedRow(one: Statements, other: Statements): Shared {
  const ends = [one, other].map((log) => readHead(log)?.id ?? 0);
  // Both know the last row that either has archived, unless one of them ends before it.
  const begun = Math.max(...[one, other].map((log) => archivedRow(log)?.id ?? 0));
  let [low, high] = [begun, Math.min(...ends)];
  if (begun > high) return { row: undefined, isParted: false };
  const hash = begun > 0 ? readHash(one, begun) : undefined;
  if (hash !== undefined && readHash(other, begun) !== hash) return { row: undefined, isParted: true };
  let row = hash === undefined ? undefined : { id: begun, hash };
  // Where the two have the same row, they have the same rows before it, because each hash covers the one before.
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const [id, found] = one.get<[number, string]>(beforeSql, middle) ?? [0, ''];
    if (id > low && readHash(other, id) === found) {
      row = { id, hash: found };
      low = middle;
    } else high = middle - 1;
  }
  return { row, isParted: ends.every((end) => end > (row?.id ?? 0)) };
}

/** The last row that a store and the copy that is to take its place both have. */
export function sharedWith(old: DatabaseSync, copy: string): Shared {
  using db = openHandle(copy, { immutable: '1' }, { readOnly: true });
  return sharedRow(new Statements(db), new Statements(old));
}

const insertSql = 'INSERT INTO outboxes (name, id, hash, acknowledged_at, shared_id) VALUES (?, ?, ?, ?, ?)';

type Outbox = [name: string, id: number, hash: string, acknowledgedAt: string | null, sharedId: number | null];

/**
 * Takes the positions of a store's outboxes over into the copy that is to take its place: what is elsewhere stays
 * there, whatever is restored. Gives the names of those whose last row the copy does not have. A copy of an older
 * version has no outboxes: then they are made anew, and everything is sent again.
 */
export function takeOutboxes(old: DatabaseSync, copy: string, shared: Anchor | undefined): string[] {
  const from = new Statements(old);
  if (!hasOutboxes(from)) return [];
  const sql = 'SELECT name, id, hash, acknowledged_at, shared_id FROM outboxes ORDER BY name';
  const outboxes = from.all<Outbox>(sql);
  if (outboxes.length === 0) return [];
  using db = openHandle(copy, writing, {});
  setPragmas(db);
  const to = new Statements(db);
  const begun = archivedRow(to)?.id ?? 0;
  const isAhead = ([, id, hash]: Outbox): boolean => id >= begun && id > 0 && readHash(to, id) !== hash;
  if (hasOutboxes(to)) {
    const last = shared?.id ?? 0;
    inTransaction(db, () => {
      to.run('DELETE FROM outboxes');
      for (const outbox of outboxes) {
        const [name, id, hash, at, before] = outbox;
        to.run(insertSql, name, id, hash, at, isAhead(outbox) ? Math.min(before ?? last, last) : before);
      }
    });
    checkpointFound(db, copy); // closing the handle would do so as well, and swallow an error
  }
  return outboxes.filter(isAhead).map(([name]) => name);
}

function hasOutboxes(store: Statements): boolean {
  return store.get("SELECT 1 FROM sqlite_schema WHERE name = 'outboxes'") !== undefined;
}
