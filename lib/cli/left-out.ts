// A copy of this package in another project may leave optional folders out. What needs one is loaded when it is used,
// and says which is missing.
import { UsageError } from './failures.ts';

/**
 * Gives what `load` imports. Throws `UsageError` where a file of that was left out of this copy; `what` says who needs
 * it, and `instead` what there is to do without it.
 */
export async function needed<T>(what: string, load: () => Promise<T>, instead = ''): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const missing = leftOut(error);
    if (missing === undefined) throw error;
    throw new UsageError(`${what} needs ${missing}, which was left out of this copy of shepherd-store${instead}`);
  }
}

/** Gives what `load` imports; `undefined` where a file of that was left out of this copy. */
export async function ifThere<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    if (leftOut(error) === undefined) throw error;
    return undefined;
  }
}

/** The path in lib/ of the file without which an import failed. */
function leftOut(error: unknown): string | undefined {
  const { code, url } = (error ?? {}) as { code?: unknown; url?: unknown };
  const folder = new URL('..', import.meta.url).href;
  if (code !== 'ERR_MODULE_NOT_FOUND' || typeof url !== 'string' || !url.startsWith(folder)) return undefined;
  return url.slice(folder.length);
}
