// Finds the archives of a store, for the command status.
import { dirname, join } from 'node:path';
import type { listArchives } from '../modules/archive/files.ts';
import { connect, type SqliteStore } from '../store.ts';
import { hasCode } from '../values/errors.ts';
import { bytes, count, counted, plain } from './text.ts';

/** The archives of a store in one folder; `folder` is absent where there are none beside the store. */
export interface FoundArchives {
  folder?: string;
  files: number;
  bytes: number;
  /** The ids of the first and the last row in them; absent where there are none. */
  from?: number;
  to?: number;
}

/**
 * Looks for archives of the store in the folder that was given, or else beside the database and in `archives` there:
 * the first of these that has some. Throws what `listArchives` throws for the folder that was given.
 */
export function findArchives(
  list: typeof listArchives, store: SqliteStore, path: string, given: string | undefined,
): FoundArchives {
  const beside = [dirname(path), join(dirname(path), 'archives')];
  const listed = (folder: string): ReturnType<typeof list> => {
    try {
      return list(folder);
    } catch (error) {
      // It was not asked for: it need not be there, nor may a user who can open a file always list its folder.
      const isNone = hasCode(error, 'ERR_STORE_NOT_FOUND') || hasCode(error, 'ERR_STORE_PERMISSION');
      if (given === undefined && isNone) return [];
      throw error;
    }
  };
  for (const folder of given === undefined ? beside : [given]) {
    const { log } = connect(store).parts;
    const files = listed(folder).filter((file) => log.owns({ store: file.store, lastId: file.to }));
    const [first, last] = [files[0], files.at(-1)];
    if (!first || !last) continue;
    const sum = files.reduce((total, file) => total + file.bytes, 0);
    return { folder, files: files.length, bytes: sum, from: first.from, to: last.to };
  }
  return { ...(given === undefined ? undefined : { folder: given }), files: 0, bytes: 0 };
}

/** What the archives are, in a text for each line. */
export function archivesTexts({ folder, files, bytes: size, from, to }: FoundArchives): string[] {
  if (from !== undefined && to !== undefined) {
    return [`${counted(files, 'file')} with rows ${count(from)} to ${count(to)}, ${bytes(size)}`, plain(folder ?? '')];
  }
  if (folder !== undefined) return [`none of this store in ${plain(folder)}`];
  return ['not beside the store: --archives DIR says where'];
}
