// The options of a long operation: a signal that aborts it and a listener for its progress.
import { checkFunction, checkOptions, checkSignal } from './checks.ts';

/** Options of a long operation: `onProgress` is called between batches, and `signal` aborts before the next one. */
export interface LongOperation {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/**
 * Checks the options of a long operation, and throws the reason of a signal that is aborted already. `more` names the
 * other options that the operation has.
 */
export function checkLong<T extends LongOperation>(options: T | undefined, more: readonly string[] = []): T {
  const checked = checkOptions('options', options, [...more, 'signal', 'onProgress']);
  checkSignal('options.signal', checked.signal);
  checkFunction('options.onProgress', checked.onProgress);
  checked.signal?.throwIfAborted();
  return checked;
}
