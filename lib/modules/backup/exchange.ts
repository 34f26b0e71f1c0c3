// Gives a restored file the place of another file, without losing that file.
import { linkSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from '../../values/folders.ts';
import { lacksLinks, parkedName } from '../../values/place.ts';

/**
 * Puts a finished file in the place of the old file, which gets the name `aside`; both names are durable on return. The
 * caller holds a lock that keeps every other process from the target, and has moved the old file's companions away.
 *
 * With hard links the old file gets the second name first, so that at every moment there is a database. A crash leaves
 * the old file with both names (lib/recovery/names.ts takes the second one back), or the new file in its place.
 *
 * Without hard links the old file is parked under a name that says what is going on. A crash leaves it parked, with
 * nothing or with the new file under its own name: `settleExchange` ends that before the next open looks.
 */
export function exchange(temporary: string, target: string, aside: string): void {
  const folder = dirname(target);
  try {
    linkSync(target, aside);
  } catch (error) {
    if (!lacksLinks(error)) throw error;
    exchangeParked(temporary, target, aside);
    return;
  }
  syncFolder(folder); // a power cut must not take the old file's new name and keep the loss of its first
  renameSync(temporary, target);
  syncFolder(folder);
}

function exchangeParked(temporary: string, target: string, aside: string): void {
  const folder = dirname(target);
  renameSync(target, parkedName(target));
  syncFolder(folder); // as above: the old file's one name must be on the disk before another file has its first
  try {
    renameSync(temporary, target);
  } catch (error) {
    renameSync(parkedName(target), target);
    throw error;
  }
  syncFolder(folder);
  renameSync(parkedName(target), aside);
  syncFolder(folder);
}
