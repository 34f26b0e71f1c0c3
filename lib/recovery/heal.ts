// Healing: when the database has less than the file beside it, what was lost, what is put back, and the event that says
// so.
import type { CooldownTexts } from '../core/cooldowns.ts';
import { encodeChecked, parseColumn, type StoreEvent } from '../core/events.ts';
import type { Attached, SetAside } from '../core/mirror-port.ts';
import type { Opened } from '../core/open.ts';
import type { ReadContent, SnapshotContent } from '../core/snapshot-file.ts';
import type { EntryUsage } from '../core/usage.ts';
import { healLimits, readable } from './heal-limits.ts';

/** The losses that open can find. */
export const losses = [
  'behind', 'forked', 'missing', 'damaged', 'orphan-wal', 'other-file', 'ledger-torn', 'ledger-damaged',
  'ledger-behind',
] as const;

/** What `open` found and did, as in `store.recovery` and the event `store_recovered`. */
export interface Recovery {
  /**
   * `behind`: the database lacks the newest rows that the snapshot file has seen. `forked`: it has other rows in their
   * place. `missing`, `damaged`: the database did not exist or was not readable, and was made anew. `orphan-wal`: there
   * was a -wal without its database. `other-file`: the snapshot file was another store's, or damaged while it was all
   * that was left. `ledger-torn`, `ledger-damaged`: none of these, but a part of the ledger was set aside and written
   * again. `ledger-behind`: none of these, but the ledger lacked its last lines, or all of them, and got them from the
   * log: somebody has cut them off, or the store came here without its ledger.
   */
  found: (typeof losses)[number];
  /** The new paths of the damaged files. */
  moved: string[];
  /** The ids of audit rows known to be lost; `from` is absent if it is unknown where the two logs diverged. */
  lost?: { from?: number; to: number };
  /**
   * How many events came back from the ledger, how many lines into it from the log, how many totals, cooldowns and
   * limits from the file, and whether the state did.
   */
  restored: {
    events?: number; lines?: number; usage: number; cooldowns: number; limits?: number; snapshot: boolean;
  };
  /** The files with the parts of the ledger that were set aside; an event `ledger_set_aside` records each. */
  setAside?: SetAside[];
}

/** What is lost, as far as it is known before the snapshot file is put back. */
interface Loss {
  found: Recovery['found'];
  moved: string[];
  /** How many events the ledger has restored already, and the last id of the log after that. */
  replayed: number;
  lastId: number;
}

/**
 * Restores what the snapshot file has and the database lacks, in one transaction with the event that records it: the
 * larger usage, the later cooldown and the stricter limit, because a limit must not fail open, and the newer state. The
 * commit writes the snapshot file again, so the next open finds no loss.
 */
export function heal(opened: Opened, loss: Loss, content: ReadContent | undefined): Recovery {
  const { connection, log, pair } = opened;
  const { found, moved, replayed } = loss;
  return connection.write('open', 'recover what was lost', () => {
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
      const count = healLimits(opened, content.limits);
      if (count > 0) restored.limits = count;
    }
    // The state is saved even if the row was newer, so that a snapshot file exists and the next open finds no loss.
    if (content && restored.snapshot) pair.save(content.stateText);
    else if (row?.state) pair.save(row.text);
    const told = lost ? { lost } : undefined;
    const { usage, cooldowns, limits } = restored;
    const totals = { usage, cooldowns, ...(limits === undefined ? undefined : { limits }) };
    const event: StoreEvent = { type: 'store_recovered', found, moved, ...told, ...totals };
    log.append(encodeChecked(event));
    return { found, moved, ...told, restored };
  });
}

/** Whether the ledger has the snapshot file's head, so that it has all usage and cooldowns and the file adds none. */
function isAccountedFor({ log }: Opened, { head }: SnapshotContent): boolean {
  return log.ledger !== undefined && head !== null && log.hashAt(head.id) === head.hash;
}

/** Whether the last event already records the moved files, because a recovery was interrupted after it. */
export function isTold({ connection }: Opened, moved: readonly string[]): boolean {
  const sql = 'SELECT event_type, id, event_data FROM audit_log ORDER BY id DESC LIMIT 1';
  const [type, id, data] = connection.get<[string, number, string]>(sql) ?? [];
  if (type !== 'store_recovered') return false;
  const told = parseColumn(id!, 'event_data', data!) as unknown as Recovery;
  return moved.every((file) => told.moved.includes(file));
}

/** Adds to a recovery what was found of the ledger. */
export function withLedger(
  recovery: Recovery | undefined, { setAside, lost, written }: Omit<Attached, 'replayed'>,
): Recovery | undefined {
  if (setAside.length === 0 && written === 0) return recovery;
  const isDamaged = setAside.some(({ kind }) => kind === 'damaged');
  const found = isDamaged ? 'ledger-damaged' : setAside.length > 0 ? 'ledger-torn' : 'ledger-behind';
  const nothing: Recovery = { found, moved: [], restored: { usage: 0, cooldowns: 0, snapshot: false } };
  const told = { ...(lost ? { lost } : undefined), ...(recovery ?? nothing) };
  if (setAside.length > 0) told.setAside = setAside;
  if (written > 0) told.restored = { lines: written, ...told.restored };
  return told;
}

function lostRange({ found, lastId }: Loss, { head }: SnapshotContent): Recovery['lost'] {
  if (head === null) return undefined;
  if (found === 'forked') return { to: head.id };
  const from = lastId + 1; // later rows may be there that attaching a new ledger has written
  return from <= head.id ? { from, to: head.id } : undefined;
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
