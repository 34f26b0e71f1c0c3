// What a limit is about: an entry, or a group of entries.
import type { Args } from './args.ts';
import { UsageError } from './failures.ts';

const groupPrefix = 'group:';

/** The entry or group that the argument at an index names. */
export function subjectOf(args: Args, index = 0): string {
  const subject = args.positionals[index]!;
  if (subject === groupPrefix) throw new UsageError('a group is group:NAME');
  return subject;
}

/** The entry that the argument at an index names, where a group has nothing of its own. */
export function entryOf(args: Args, index: number, what: string): string {
  const entryId = args.positionals[index]!;
  if (!entryId.startsWith(groupPrefix)) return entryId;
  throw new UsageError(`a group has no ${what} of its own: name an entry, not "${entryId}"`);
}
