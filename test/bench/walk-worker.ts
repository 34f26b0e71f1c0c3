// How far a walk over a whole log lifts the memory of the process above what it has when it is idle, at its highest.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const [walk, path, ledgerPath, spare] = process.argv.slice(2);
if (walk !== undefined) {
  const { SqliteStore } = await import('../../lib/index.ts');
  const { Ledger, rebuildDatabase, replay, verifyParity } = await import('../../lib/ledger/index.ts');
  const ledger = Ledger.open(ledgerPath!);
  const store = SqliteStore.open(path!, { ledger });
  await setTimeout(200);
  writeFileSync('/proc/self/clear_refs', '5'); // VmHWM begins anew: starting takes more than being idle does
  const idle = process.memoryUsage.rss();
  const walks: Record<string, () => Promise<number>> = {
    verifyAudit: async () => (await store.verifyAudit()).checked,
    'Ledger.verify': async () => (await ledger.verify()).checked,
    verifyParity: async () => (await verifyParity(store, ledger)).ledgerCount,
    replay: async () => (await replay(store, ledger)).skippedExisting,
    rebuildDatabase: async () => (await rebuildDatabase(ledger, spare!)).events,
  };
  const events = await walks[walk]!();
  // Not resourceUsage().maxRSS, which a process inherits from the one that started it.
  const highest = Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  console.log(JSON.stringify({ events, bytes: highest - idle }));
  store.close();
}
