// Healing: when the database has less than the file beside it, what was lost, what is put back, and the event that says
// so.
import type { CooldownTexts } from '../core/cooldowns.ts';
import { encodeOwnEvent, type StoreEvent } from '../core/events.ts';
import type { SetAside } from '../core/mirror-port.ts';
import type { Opened } from '../core/open.ts';
import type { SnapshotContent } from '../core/snapshot-file.ts';
import { encodeState } from '../core/state.ts';
import type { EntryUsage } from '../core/usage.ts';
import { hasCode } from '../values/errors.ts';

/** What can be found at open. */
export const losses = [
  'behind', 'forked', 'missing', 'damaged', 'orphan-wal', 'other-file', 'ledger-torn', 'ledger-damaged',
] as const;

/** What `open` found and did: `store.recovery`, and the event `store_recovered`. */
export interface Recovery {
  /**
   * `behind`: the database lacks the newest rows that the file beside it knows of. `forked`: it has other rows there.
   * `missing`, `damaged`: the database was not there or not readable, and is a new one. `orphan-wal`: a -wal stood
   * without its database. `other-file`: the file beside the database was another store's, or damaged where it was all
   * there was. `ledger-torn`, `ledger-damaged`: nothing of these, but a part of the ledger was set aside and written
   * again.
   */
  found: (typeof losses)[number];
  /** Where the damaged files are now. */
  moved: string[];
  /** The ids of audit rows known to be lost; `from` is absent where the logs parted at an unknown row. */
  lost?: { from?: number; to: number };
  /**
   * How many events came back from the ledger, how many totals and cooldowns from the file, and whether the state did.
   */
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
 * Puts back what the file has and the database has not, in one transaction with the event that records it: the larger
 * usage and the later cooldown (a limit must not fail open), the newer state. The file is written anew at the commit,
 * so that the next open finds nothing.
 */
export function heal(opened: Opened, loss: Loss, content: SnapshotContent | undefined): Recovery {
  const { connection, log, pair } = opened;
  const { found, moved, replayed } = loss;
  return connection.write('recover what was lost', () => {
    const row = pair.row();
    const restored: Recovery['restored'] = { usage: 0, cooldowns: 0, snapshot: false };
    if (replayed > 0) restored.events = replayed;
    const lost = content && lostRange(loss, content);
    if (content) {
      restored.snapshot = !row?.state || content.generation > row.generation;
      if (!isAccountedFor(opened, content)) {
        for (const total of content.usage) restored.usage += raiseUsage(opened, total);
        for (const cooldown of content.cooldowns) restored.cooldowns += extendCooldown(opened, cooldown);
      }
    }
    // Saved again even where the row was the newer one, so that a file is there and the next open finds nothing.
    if (content && restored.snapshot) pair.save(encodeState(content.state));
    else if (row?.state) pair.save(row.text);
    const told = lost ? { lost } : undefined;
    const { usage, cooldowns } = restored;
    const event: StoreEvent = { type: 'store_recovered', found, moved, ...told, usage, cooldowns };
    log.append(encodeOwnEvent(event));
    return { found, moved, ...told, restored };
  });
}

/** A ledger that has the file's head accounts for every second and cooldown since, and those of the file are older. */
function isAccountedFor({ log }: Opened, { head }: SnapshotContent): boolean {
  return log.mirror !== undefined && head !== null && log.hashAt(head.id) === head.hash;
}

/** Whether the last event tells already of what was moved: a recovery was cut short behind it. */
export function isTold({ connection }: Opened, moved: readonly string[]): boolean {
  const sql = 'SELECT event_type, event_data FROM audit_log ORDER BY id DESC LIMIT 1';
  const [type, data] = connection.get<[string, string]>(sql) ?? [];
  if (type !== 'store_recovered') return false;
  const told = (JSON.parse(data!) as Recovery).moved;
  return moved.every((file) => told.includes(file));
}

/** What was found together with what became of the ledger. */
export function withSetAside(
  recovery: Recovery | undefined, { setAside, lost }: { setAside: SetAside[]; lost?: { from: number; to: number } },
): Recovery | undefined {
  if (setAside.length === 0) return recovery;
  const found = setAside.some(({ kind }) => kind === 'damaged') ? 'ledger-damaged' : 'ledger-torn';
  const nothing: Recovery = { found, moved: [], restored: { usage: 0, cooldowns: 0, snapshot: false } };
  return { ...(lost ? { lost } : undefined), ...(recovery ?? nothing), setAside };
}

function lostRange({ found, lastId }: Loss, { head }: SnapshotContent): Recovery['lost'] {
  if (head === null) return undefined;
  if (found === 'forked') return { to: head.id };
  const from = lastId + 1; // behind it may stand what attaching a new ledger has written
  return from <= head.id ? { from, to: head.id } : undefined;
}

/** A total or cooldown of the database's that cannot be read stays as it is, and fails closed when it is read. */
function readable<T>(read: () => T): T | 'damaged' {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, 'ERR_STORE_CORRUPT')) return 'damaged';
    throw error;
  }
}

function raiseUsage({ usage }: Opened, { entryId, day, durationMs }: EntryUsage): number {
  const stored = readable(() => usage.total(entryId, day));
  if (stored === 'damaged' || stored >= durationMs) return 0;
  usage.add(entryId, day, durationMs - stored);
  return 1;
}

function extendCooldown({ cooldowns }: Opened, cooldown: CooldownTexts): number {
  if (readable(() => cooldowns.isCovered(cooldown)) !== false) return 0;
  cooldowns.set(cooldown.entryId, cooldown.until, cooldown.setAt ?? null);
  return 1;
}
