// Where a path leads, and the names of the files that belong to one.
import { join, parse, resolve } from 'node:path';
import { checkText, invalid, quote } from './checks.ts';
import { StoreError } from './errors.ts';
import { pathBeside } from './stem.ts';

/** The absolute path that an argument names. A `file:` URL or `:memory:` would mean something else to SQLite. */
export function checkPath(path: unknown, name = 'path'): string {
  const text = checkText(name, path);
  if (text !== ':memory:' && !text.startsWith('file:')) return absolutePath(text);
  throw invalid(name, path, 'the path of a file (for a store in memory there is inMemory())');
}

/** The plain file that belongs to a database. */
export function snapshotPathOf(path: string): string {
  const { dir, name, ext } = parse(path);
  return pathBeside(join(dir, ext === '.db' ? name : name + ext), '.snapshot.json');
}

/** The absolute path of one. Throws `ERR_STORE_NOT_FOUND` for a relative one where the working folder was deleted. */
export function absolutePath(path: string): string {
  try {
    return resolve(path);
  } catch (cause) {
    const problem = 'the working folder has been deleted';
    throw new StoreError('ERR_STORE_NOT_FOUND', `failed to find ${quote(path)}: ${problem}`, { cause });
  }
}
