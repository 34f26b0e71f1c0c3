// Where a path leads, and the names of the files that belong to one.
import { join, parse, resolve } from 'node:path';
import { checkText, invalid, quote } from './checks.ts';
import { StoreError } from './errors.ts';
import { pathBeside } from './stem.ts';

/** Returns an argument's absolute path. Refuses a `file:` URL and `:memory:`, because SQLite gives both a meaning. */
export function checkPath(path: unknown, name = 'path'): string {
  const text = checkText(name, path);
  if (text !== ':memory:' && !text.startsWith('file:')) return absolutePath(text);
  throw invalid(name, path, 'the path of a file (for a store in memory there is inMemory())');
}

/** The path of the snapshot file that belongs to a database. */
export function snapshotPathOf(path: string): string {
  const { dir, name, ext } = parse(path);
  return pathBeside(join(dir, ext === '.db' ? name : name + ext), '.snapshot.json');
}

/** Makes a path absolute. Throws `ERR_STORE_NOT_FOUND` if it is relative and the working folder was deleted. */
export function absolutePath(path: string): string {
  try {
    return resolve(path);
  } catch (cause) {
    const problem = 'the working folder has been deleted';
    throw new StoreError('ERR_STORE_NOT_FOUND', `failed to find ${quote(path)}: ${problem}`, { cause });
  }
}
