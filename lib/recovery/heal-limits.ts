// Healing the limits beyond the rules: what the snapshot file has of them and the log lacks.
import type { DayOverride, LimitsContent } from '../core/limits.ts';
import type { Opened } from '../core/open.ts';
import { hasCode } from '../values/errors.ts';

const told = { source: 'recovery' };

/** Reads a stored value. A damaged one is left as it is: reading it throws, so a limit fails closed. */
export function readable<T>(read: () => T): T | 'damaged' {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, 'ERR_STORE_CORRUPT')) return 'damaged';
    throw error;
  }
}

/**
 * Brings back the overrides and balances that the database has not, and of the others the stricter ones. Gives how many
 * were changed. Does nothing where the log has the event up to which the file's go.
 */
export function healLimits(opened: Opened, content: LimitsContent | undefined): number {
  if (!content || opened.log.had(content.asOf)) return 0;
  let changed = 0;
  for (const override of content.overrides) changed += healOverride(opened, override);
  for (const { subject, balanceMs } of content.balances) changed += healBalance(opened, subject, balanceMs);
  return changed;
}

/** How strict a value is: the first of these before the others. */
const strictness: readonly unknown[] = ['denied', undefined, 'allowed'];

/** The smaller grant, and `denied` over neither of the two over `allowed`. */
function healOverride({ limits }: Opened, { subject, day, grantedMs, availability }: DayOverride): number {
  const stored = readable(() => limits.override(subject, day));
  if (stored === 'damaged') return 0;
  const durationMs = grantedMs - (stored?.grantedMs ?? 0);
  const isGranted = stored ? durationMs < 0 : durationMs !== 0;
  if (isGranted) limits.grant({ subject, day, durationMs }, told);
  const isSet = stored ? strictness.indexOf(availability) < strictness.indexOf(stored.availability) : availability;
  if (isSet) limits.setAvailability({ subject, day, availability: availability ?? null }, told);
  return isGranted || isSet ? 1 : 0;
}

/** The smaller balance; all of it where the database has none. */
function healBalance({ limits }: Opened, subject: string, balanceMs: number): number {
  const stored = readable(() => limits.balance(subject));
  if (stored === 'damaged') return 0;
  const durationMs = balanceMs - (stored ?? 0);
  if (stored === undefined ? durationMs === 0 : durationMs >= 0) return 0;
  limits.adjust({ subject, durationMs }, told);
  return 1;
}
