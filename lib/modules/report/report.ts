// Reports: what was used, when, and what was denied, granted and repaired, on one page for people.
import type { SqliteStore } from '../../store.ts';
import { readReport } from './figures.ts';
import type { ReportOptions } from './options.ts';
import { renderPage } from './page.ts';

export type {
  EntryRules, GroupRules, LimitPolicy, LimitWindow,
} from '../limit-policy.ts';
export type { ReportOptions } from './options.ts';

/**
 * A report as the text of one HTML page, without scripts and without anything that it would load from elsewhere. Writes
 * nothing; the store may be open read-only. Its totals are those of `getUsage`: a session that runs is charged when it
 * ends. All figures are of one state of the store. Then the log is verified, which takes as long as `verifyAudit` does.
 * What cannot be read is said in its place, and hides no other part. Rejects with `ERR_STORE_INVALID_ARGUMENT` for what
 * is no store, for a policy and for options that it does not accept, with `ERR_STORE_CLOSED`, with `ERR_STORE_BUSY`
 * where a store that was opened read-only finds another database in the place of its own, and with the reason of the
 * signal.
 */
export async function renderReport(store: SqliteStore, options?: ReportOptions): Promise<string> {
  const { contents, title } = await readReport(store, options);
  return renderPage(contents, { title });
}
