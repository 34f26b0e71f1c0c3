// The options of a long operation: a signal that aborts it and a listener for its progress.
import { checkFunction, checkOptions, checkSignal } from './checks.ts';

/** What a long operation takes: `onProgress` is called between batches, `signal` aborts at the next one. */
export interface LongOperation {
  signal?: AbortSignal;
  onProgress?: (progress: { done: number; total: number }) => void;
}

/**
 * Refuses what is no options object for a long operation, and throws the reason of a signal that is aborted already.
 * `more`: what else it takes.
 */
export function checkLong<T extends LongOperation>(options: T | undefined, more: readonly string[] = []): T {
  const checked = checkOptions('options', options, [...more, 'signal', 'onProgress']);
  checkSignal('options.signal', checked.signal);
  checkFunction('options.onProgress', checked.onProgress);
  checked.signal?.throwIfAborted();
  return checked;
}
