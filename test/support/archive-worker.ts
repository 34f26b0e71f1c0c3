// A process beside one that archives: it holds the lock, archives, or appends without pause.
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { lockArchives } from '../../lib/modules/archive/recorded.ts';
import { tell } from './child.ts';

const [, , what, path, ...rest] = process.argv;

/** Keeps the lock until it is killed. */
function lock(): void {
  const held = lockArchives(path!);
  tell('locked');
  setInterval(() => held, 60_000);
}

/** Archives up to a row, with the ledger where one is named, and tells how far that went. */
async function archive(): Promise<void> {
  const [folder, id, ledger, at] = rest;
  using store = SqliteStore.open(path!, {
    clock: () => new Date(at!), ...(ledger ? { ledger: Ledger.open(ledger) } : undefined),
  });
  const archived = await archiveAudits(store, { folder: folder!, upTo: { id: Number(id) } });
  tell(`archived to ${archived?.to}`);
}

/** Appends events to a store with a ledger until the file `stop` is there, and tells how many. */
async function append(): Promise<void> {
  const [ledger, stop, at] = rest;
  using store = SqliteStore.open(path!, { clock: () => new Date(at!), ledger: Ledger.open(ledger!) });
  tell('open');
  let count = 0;
  for (; !existsSync(stop!); count++) {
    store.appendAudit({ type: 'policy_loaded', entryCount: count });
    await sleep(1);
  }
  tell(String(count));
}

if (what === 'lock') lock();
else if (what === 'archive') await archive();
else if (what === 'append') await append();
