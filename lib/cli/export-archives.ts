// The rows of a log that are in archives, for export: file after file, each of which must go on where the one before
// ended, and the last one must end where the log begins.
import type { Anchor } from '../core/chain.ts';
import type { ModuleConnection } from '../core/door.ts';
import { toRow } from '../ledger/line.ts';
import { findArchives, type FoundArchive, openArchive } from '../modules/archive/files.ts';
import { forgotten } from '../modules/archive/recorded.ts';
import { attempt, StoreError } from '../values/errors.ts';
import type { ArchivedRows, LogRow, Place } from './export-log.ts';
import { pageSize } from './export-table.ts';
import { Failure } from './failures.ts';
import { count } from './text.ts';

/** What the one who asks for archives is told. */
interface ArchivesAsked {
  /** Is told up to which row archives were deleted. */
  onForgotten(id: number): void;
  /** Whether `--after` is offered to leave a gap out. */
  takesAfter: boolean;
}

/**
 * Reads a store's archives in a folder, whose files are found anew at each call. Throws `ERR_STORE_NOT_FOUND` where
 * there is no folder, `ERR_STORE_CORRUPT` for a file that is damaged or has other rows than the store had, and
 * `Failure` where rows are in none of them.
 */
export function archivesIn(
  door: ModuleConnection, folder: string, { onForgotten, takesAfter }: ArchivesAsked,
): ArchivedRows {
  attempt(`list the archives in ${folder}`, () => findArchives(folder));
  return function* archivedRows(after, beginning) {
    const { log } = door.parts;
    const files = attempt(`list the archives in ${folder}`, () => findArchives(folder))
      .filter((file) => log.owns({ store: file.store, lastId: file.to }));
    let place: Place = after;
    const gone = goneBefore(door, files, after);
    if (gone) {
      onForgotten(gone.id);
      place = gone;
    }
    const genesis = door.read('read where the chain begins', () => log.genesis);
    for (const file of filesFor(files, place, beginning, { folder, takesAfter })) {
      for (const rows of rowsIn(file, file.after ?? { id: 0, hash: genesis }, place, beginning)) {
        const [id, , , , , hash] = rows.at(-1)!;
        place = { id, hash: hash as string };
        yield rows;
      }
    }
    const isJoined = place.id === beginning.id && (place.hash ?? beginning.hash) === beginning.hash;
    if (!isJoined) throw another(`${folder} ends`, beginning.id);
  };
}

/** The row up to which archives were deleted, where the ones that are left begin behind it. */
function goneBefore(door: ModuleConnection, files: readonly FoundArchive[], { id }: Place): Place | undefined {
  const rows = door.read('read which archives were deleted', () => forgotten(door));
  const last = rows.reduce((highest, row) => (row.id > highest.id ? row : highest), { id: 0, hash: '' });
  const [left] = files; // a deletion that was cut short has left files
  const begun = left && (left.after ?? { id: 0, hash: undefined });
  const gone = begun && begun.id < last.id ? begun : last;
  return gone.id > id ? gone : undefined;
}

/** The files that have all rows behind a place up to where the log begins, each the one that leads farthest. */
function filesFor(
  files: readonly FoundArchive[], after: Place, beginning: Anchor,
  { folder, takesAfter }: { folder: string; takesAfter: boolean },
): FoundArchive[] {
  const chosen: FoundArchive[] = [];
  for (let id = after.id; id < beginning.id; id = chosen.at(-1)!.to) {
    const fitting = files.filter((file) => (file.after?.id ?? 0) <= id && file.to > id);
    const [next] = fitting.sort((a, b) => b.to - a.to);
    if (next) {
      chosen.push(next);
      continue;
    }
    const behind = files.map((file) => file.after?.id ?? 0).filter((begun) => begun > id);
    const last = Math.min(beginning.id, ...behind);
    const rows = `the events ${count(id + 1)} to ${count(last)} are in no archive of this store in ${folder}`;
    throw new Failure(takesAfter ? `${rows}; --after ${last} leaves them out` : rows);
  }
  return chosen;
}

/** The rows of a file behind a place, up to where the log begins. `begun` is the row before the file's first one. */
function* rowsIn(
  { path, to }: FoundArchive, begun: Anchor, after: Place, beginning: Anchor,
): Generator<LogRow[], void, undefined> {
  const isAfter = ({ id, hash }: Anchor): boolean => id !== after.id || (after.hash ?? hash) === hash;
  if (!isAfter(begun)) throw another(path, begun.id);
  let [last, rows]: [Anchor, LogRow[]] = [begun, []];
  for (const line of openArchive(path).iterate()) {
    // Each line has the hash of its content; that the lines follow each other is seen here.
    if (line.prev !== last.hash || line.id <= last.id || !isAfter(line)) throw another(path, line.id);
    if (line.id > beginning.id) break;
    last = { id: line.id, hash: line.hash };
    if (line.id <= after.id) continue;
    const { id, timestamp, type, data, meta, hash } = toRow(line);
    rows.push([id, timestamp, type, data, meta, hash] as LogRow);
    if (rows.length < pageSize) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
  if (last.id < Math.min(to, beginning.id)) {
    throw new StoreError('ERR_STORE_CORRUPT', `${path} ends with row ${last.id}, and should have rows up to ${to}`);
  }
}

function another(file: string, id: number): StoreError {
  const advice = 'verify --archives says more';
  return new StoreError('ERR_STORE_CORRUPT', `${file}: row ${id} does not follow the row before; ${advice}`);
}
