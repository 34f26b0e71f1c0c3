// The two copies of a snapshot compared with the log, as findings, and as `health()` shows them.
import type { Anchor } from './chain.ts';
import type { Connection } from './connection.ts';
import type { Faults } from './faults.ts';
import { archivedRow, readHash } from './log.ts';
import type { SnapshotContent, SnapshotFile } from './snapshot-file.ts';
import type { SnapshotRow } from './snapshot-row.ts';
import type { StateSnapshot } from './state.ts';

/** One of the two copies, as `health()` shows it. */
export interface SnapshotCopy {
  /** `outdated`: it is older than the archived part of the log, and is not taken. */
  state: 'absent' | 'whole' | 'damaged' | 'outdated';
  generation?: number;
  /** The age of the state by its own timestamp and the store's clock. */
  ageMs?: number;
}

/** A file that was compared with the row and the log, which alone show that it is outdated. */
export type JudgedFile = SnapshotFile | { state: 'outdated' };

const outdated = 'the file is older than the archived part of the log, and is not taken; the next snapshot replaces it';

/** Records what is wrong with a copy, and clears the findings that no longer hold. */
export function reportCopies(
  faults: Faults, path: string | undefined, file: JudgedFile, row: SnapshotRow | undefined,
): void {
  if (file.state === 'damaged') faults.report('snapshot-file-damaged', `${path}: ${file.reason}`);
  else faults.clear('snapshot-file-damaged');
  if (file.state === 'outdated') faults.report('snapshot-outdated', `${path}: ${outdated}`);
  else faults.clear('snapshot-outdated');
  const isMissing = file.state === 'absent' && row && path !== undefined;
  if (isMissing) faults.report('snapshot-file-missing', `${path} is missing; the next snapshot writes it again`);
  else faults.clear('snapshot-file-missing');
  const unreadable = 'the snapshot in the database cannot be read; the next snapshot replaces it';
  if (row && !row.state) faults.report('snapshot-row-damaged', unreadable);
  else faults.clear('snapshot-row-damaged');
}

/** Clears every finding about a copy, after a save that has put both in place. */
export function clearCopies(faults: Faults): void {
  faults.clear('snapshot-not-placed');
  faults.clear('snapshot-file-damaged');
  faults.clear('snapshot-outdated');
  faults.clear('snapshot-file-missing');
  faults.clear('snapshot-row-damaged');
}

/** How a database lacks what the snapshot file was written with; see `compareHead`. */
type HeadLoss = 'behind' | 'forked' | undefined;

/** Reports a loss: a store that was opened read-only does not heal it, as opening it for writing would. */
export function reportLoss(faults: Faults, path: string | undefined, loss: HeadLoss): void {
  if (!loss) return faults.clear('behind');
  const why = 'it has lost commits, or an older copy was put in its place';
  const what = `the database lacks what ${path} was written with (${loss})`;
  faults.report('behind', `${what}: ${why}; opening it for writing heals it`);
}

/** Both copies, for `health()`. `isRowRead`: false where the row could not be read. */
export function describeCopies(
  file: JudgedFile, row: SnapshotRow | undefined, now: Date, isRowRead: boolean,
): { row: SnapshotCopy; file: SnapshotCopy } {
  const whole = (generation: number, state: StateSnapshot): SnapshotCopy =>
    ({ state: 'whole', generation, ageMs: now.getTime() - state.timestamp.getTime() });
  const stored = (): SnapshotCopy => {
    if (!row) return { state: isRowRead ? 'absent' : 'damaged' };
    return row.state ? whole(row.generation, row.state) : { state: 'damaged', generation: row.generation };
  };
  return {
    row: stored(),
    file: file.state === 'whole' ? whole(file.content.generation, file.content.state) : { state: file.state },
  };
}

/**
 * Whether the database has what the file was written with: the head of the log, by one look-up, and the save. A save is
 * in the database before its file is in place, so a save that only the file has was lost. An older version that has
 * healed a loss writes the limits again as they were: so the event that they go up to is looked up as well.
 */
export function compareHead(connection: Pick<Connection, 'get'>, content: SnapshotContent): HeadLoss {
  const { head, generation, limits } = content;
  const loss = (head && compareAnchor(connection, head)) ?? (limits && compareAnchor(connection, limits.asOf));
  if (loss) return loss;
  const [saved] = connection.get<[number]>('SELECT generation FROM snapshot WHERE id = 1') ?? [0];
  return saved < generation && !isOutdated(connection, content) ? 'behind' : undefined;
}

function compareAnchor(connection: Pick<Connection, 'get'>, { id, hash }: Anchor): HeadLoss {
  const stored = readHash(connection, id);
  if (stored === hash || isArchived(connection, id)) return undefined;
  return stored === undefined ? 'behind' : 'forked';
}

/** Whether a row went into an archive, so that the log has it no more to compare. */
function isArchived(connection: Pick<Connection, 'get'>, id: number): boolean {
  return id < (archivedRow(connection)?.id ?? 0);
}

/**
 * Whether the file is older than the archived part of the log. What it has is not taken then: nothing shows any more
 * whether its session has ended and was charged. Nothing is lost by that, because no row of a running session goes into
 * an archive.
 */
export function isOutdated(connection: Pick<Connection, 'get'>, { head }: SnapshotContent): boolean {
  // Without a head the log was empty then.
  return isArchived(connection, head?.id ?? 0);
}
