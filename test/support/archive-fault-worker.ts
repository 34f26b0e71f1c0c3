// The process whose system calls fail in test/faults/archive-failing.test.ts: archives a log, and appends an event
// afterwards. It says what became of each by writev, a call that nothing of the store uses, so that a failing write
// keeps it from nothing.
import { writevSync } from 'node:fs';
import { type SqliteStore, StoreError } from '../../lib/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { dates, openAt, placesIn, upTo } from './archives.ts';

/** What the worker says of each step; no `code` where it was done. */
export interface Said {
  what: 'open' | 'archive' | 'append' | 'close';
  code?: string;
  /** Whether the store takes writes no more. */
  stopped?: boolean;
}

async function work(folder: string, withLedger: boolean, gzip: boolean): Promise<void> {
  const places = placesIn(folder, withLedger);
  let store: SqliteStore | undefined;
  const step = async (what: Said['what'], act: () => unknown): Promise<void> => {
    const said: Said = { what };
    try {
      await act();
    } catch (error) {
      said.code = error instanceof StoreError ? error.code : `no StoreError: ${String(error)}`;
    }
    if (what !== 'close' && store?.health().findings.some(({ kind }) => kind === 'stopped')) said.stopped = true;
    writevSync(1, [Buffer.from(`${JSON.stringify(said)}\n`)]);
  };
  await step('open', () => (store = openAt(places, dates.now)));
  if (!store) return;
  await step('archive', () => archiveAudits(store!, { folder: places.archives, upTo, gzip }));
  await step('append', () => store!.appendAudit({ type: 'policy_loaded', entryCount: 1 }));
  await step('close', () => store!.close());
}

const [folder, mode, form] = process.argv.slice(2);
if (import.meta.main && folder !== undefined) await work(folder, mode === 'ledger', form === 'gzip');
