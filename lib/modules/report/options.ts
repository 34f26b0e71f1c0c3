// What a report is asked for, and the check of it.
import { checkArray, checkOptions, checkSignal, checkText, invalid } from '../../values/checks.ts';
import { checkDay, localDay, nameable } from '../../values/days.ts';
import { dayIn, textOf } from '../calendar.ts';
import { type LimitPolicy, type Rules, rulesFor } from '../limit-policy.ts';

/** What a report shows. */
export interface ReportOptions {
  /** The first day, `YYYY-MM-DD`; by default the 27th before the last one. */
  from?: string | undefined;
  /** The last day; by default today, by the store's clock. A report has 3,660 days at most. */
  to?: string | undefined;
  /** Only these entries, and the groups that they belong to by the policy; by default all. */
  entryIds?: readonly string[] | undefined;
  /** The policy whose daily quotas the time is shown against. */
  policy?: LimitPolicy | undefined;
  /** The title of the page. */
  title?: string | undefined;
  /** Whose days and hours are shown: an IANA name, by default the system's zone. */
  timeZone?: string | undefined;
  /** Ends the reading of a long log. */
  signal?: AbortSignal | undefined;
}

/** Options after `checkReportOptions`. */
export interface CheckedReport {
  from: string;
  to: string;
  entryIds?: string[];
  rules?: Rules;
  title: string | undefined;
  timeZone: string | undefined;
  signal: AbortSignal | undefined;
}

/** Ten years: a page of more days would be too long to be read, and too large to be opened. */
export const maxReportDays = 3_660;
const defaultDays = 28;

const names = ['from', 'to', 'entryIds', 'policy', 'title', 'timeZone', 'signal'];

/** Checks options of a report that is made now. Throws `ERR_STORE_INVALID_ARGUMENT`, and the reason of a signal. */
export function checkReportOptions(options: ReportOptions | undefined, now: Date): CheckedReport {
  const given = checkOptions('options', options, names);
  const { policy, timeZone } = given;
  const today = localDay(nameable(now, timeZone), timeZone); // refuses an unknown zone
  const to = given.to === undefined ? today : checkDay('options.to', given.to);
  const from = given.from === undefined ? textOf(dayIn(to)! + 1 - defaultDays) : checkDay('options.from', given.from);
  if (from > to) throw invalid('options.from', from, `a day not after the last one (${to})`);
  if (dayIn(to)! - dayIn(from)! >= maxReportDays) {
    throw invalid('options.from', from, `one of the ${maxReportDays} days up to the last one (${to})`);
  }
  const entryIds = given.entryIds === undefined ? undefined
    : checkArray('options.entryIds', given.entryIds, 'an array of entry ids', checkText);
  const title = given.title === undefined ? undefined : checkText('options.title', given.title);
  const signal = checkSignal('options.signal', given.signal);
  const rules = policy === undefined ? undefined : rulesFor(policy);
  signal?.throwIfAborted();
  return { from, to, ...(entryIds && { entryIds }), ...(rules && { rules }), title, timeZone, signal };
}
