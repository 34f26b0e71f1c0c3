// Where a path leads.
import { resolve } from 'node:path';
import { StoreError } from './errors.ts';
import { quote } from './values.ts';

/** The absolute path of one. Throws `ERR_STORE_NOT_FOUND` for a relative one where the working folder was deleted. */
export function absolutePath(path: string): string {
  try {
    return resolve(path);
  } catch (cause) {
    const problem = 'the working folder has been deleted';
    throw new StoreError('ERR_STORE_NOT_FOUND', `failed to find ${quote(path)}: ${problem}`, { cause });
  }
}
