// Limits: may an entry start, why not, for how long, and when will that change? One consistent read answers for any
// number of entries; nothing is written.
import { connect, type SqliteStore } from '../../store.ts';
import { checkArray, checkDate, checkOptions, checkText, quote } from '../../values/checks.ts';
import { hasCode } from '../../values/errors.ts';
import { Calendar } from '../calendar.ts';
import { type LimitPolicy, rulesFor } from '../limit-policy.ts';
import { type Figures, readFigures } from './figures.ts';
import { Judge, type Verdict } from './verdict.ts';

export { checkPolicy } from '../limit-policy.ts';
export type { EntryRules, GroupRules, LimitPolicy, LimitWindow } from '../limit-policy.ts';
export type { LimitCode, LimitReason, Verdict } from './verdict.ts';

/** When and where an evaluation is made. */
export interface EvaluateOptions {
  /** The instant that is asked about; the store's clock where absent. */
  at?: Date | undefined;
  /** Whose days and times count: an IANA name, by default the system's zone. */
  timeZone?: string | undefined;
}

/**
 * Says whether an entry may start now, or go on, by a policy and by what the store has of usage, grants, balances,
 * cooldowns and the running session. Gives all reasons against it. What is stored and cannot be right refuses, and
 * does not throw. The policy is checked at each call, unless `checkPolicy` gave it. Throws
 * `ERR_STORE_INVALID_ARGUMENT` for a policy or option that it does not accept, and `ERR_STORE_CLOSED`.
 */
export function evaluate(
  store: SqliteStore, policy: LimitPolicy, entryId: string, options?: EvaluateOptions,
): Verdict {
  checkText('entryId', entryId);
  return judge(store, policy, [entryId], options, `evaluate the limits of ${quote(entryId)}`)[0]!;
}

/**
 * `evaluate` for many entries, in the given order, as a launcher's screen shows them: by one read, which sees one state
 * of the store and has as many queries as that for one entry.
 */
export function evaluateAll(
  store: SqliteStore, policy: LimitPolicy, entryIds: readonly string[], options?: EvaluateOptions,
): (Verdict & { entryId: string })[] {
  const checked = checkArray('entryIds', entryIds, 'an array of entry ids', checkText);
  const verdicts = judge(store, policy, checked, options, `evaluate the limits of ${checked.length} entries`);
  return verdicts.map((verdict, index) => ({ entryId: checked[index]!, ...verdict }));
}

function judge(
  store: SqliteStore, policy: LimitPolicy, entryIds: readonly string[], options: EvaluateOptions | undefined,
  what: string,
): Verdict[] {
  const door = connect(store);
  const rules = rulesFor(policy);
  const { at: given, timeZone } = checkOptions('options', options, ['at', 'timeZone']);
  const at = given === undefined ? undefined : checkDate('options.at', given);
  const calendar = new Calendar(timeZone);
  let figures: Figures | undefined;
  try {
    door.readTogether(what, () => figures = readFigures(store, door, { rules, entryIds, calendar, timeZone, at }));
  } catch (error) {
    // SQLite reports a damaged page once more at the end of the read, when the figures already tell what it hid.
    if (!figures || !hasCode(error, 'ERR_STORE_CORRUPT')) throw error;
  }
  const judge = new Judge(rules, figures!, calendar);
  return entryIds.map((entryId) => judge.verdict(entryId));
}
