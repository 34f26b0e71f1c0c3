// How far archiving lifts the memory of the process above what it has when it is idle, at its highest, and how long it
// takes.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const [path, folder, upTo, ledgerPath] = process.argv.slice(2);
if (path !== undefined) {
  const { SqliteStore } = await import('../../lib/index.ts');
  const { Ledger } = await import('../../lib/ledger/index.ts');
  const { archiveAudits } = await import('../../lib/modules/archive/archive.ts');
  const store = SqliteStore.open(path, {
    clock: () => new Date(Date.UTC(2027, 0, 1)), // rows younger than a day are not archived
    ...(ledgerPath === undefined ? undefined : { ledger: Ledger.open(ledgerPath) }),
  });
  console.log('ready');
  await setTimeout(200);
  writeFileSync('/proc/self/clear_refs', '5'); // VmHWM begins anew: starting takes more than being idle does
  const idle = process.memoryUsage.rss();
  const start = performance.now();
  const archived = await archiveAudits(store, { folder: folder!, upTo: { id: Number(upTo) } });
  const seconds = (performance.now() - start) / 1000;
  const highest = Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  store.close();
  console.log(JSON.stringify({ events: archived!.to - archived!.from + 1, bytes: highest - idle, seconds }));
}
