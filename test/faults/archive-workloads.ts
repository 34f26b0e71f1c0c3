// The workloads in which a log is archived, and the precautions whose absence they must see.
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { connect } from '../../lib/store.ts';
import { operation, perform } from '../support/crash-worker.ts';
import { rowsInArchives } from './archives.ts';
import { openStore, type Settings } from './child.ts';
import { type View, viewOf } from './view.ts';
import type { Phase, Workload } from './workloads.ts';

// One transaction deletes a thousand rows, so that these take two.
const tinyRows = 1_020;

/** A store with rows that are old enough to be archived, and some that are not. */
function prepareArchiving(settings: Settings): View {
  mkdirSync(dirname(settings.path), { mode: 0o700 });
  if (settings.key !== undefined) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    writeFileSync(settings.key, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
    writeFileSync(`${settings.key}.pub`, publicKey.export({ format: 'pem', type: 'spki' }));
  }
  let date = '2026-01-01';
  using store = openStore(settings, () => new Date(`${date}T00:00:00Z`));
  for (let number = 0; number < 10; number++) perform(store, operation(27, number));
  store.appendAudits(Array.from({ length: tinyRows }, () => ({ event: { type: 'service_started' } })));
  date = '2026-01-09';
  for (let number = 10; number < 16; number++) perform(store, operation(27, number));
  return viewOf(store, settings.path, connect, rowsInArchives(settings));
}

const archive = (date: string, from: number, { gzip = false, killed = false } = {}): Phase => ({
  task: 'archive',
  args: [date, gzip ? 'gzip' : 'plain', String(from), killed ? 'killed' : 'closed'],
  killed,
});
const twice: readonly Phase[] = [archive('2026-01-10', 16, { killed: true }), archive('2026-01-20', 22)];
const common = { archives: true, prepare: prepareArchiving };

export const archiveWorkloads: Record<string, Workload> = {
  'archiving': { ...common, phases: twice },
  'archiving in ledger mode': { ...common, ledger: true, phases: twice },
  'archiving compressed': { ...common, phases: [archive('2026-01-10', 16, { gzip: true })] },
  'archiving with a signed ledger in a folder of its own': {
    ...common,
    ledger: 'elsewhere/audit.jsonl',
    isSigned: true,
    phases: [archive('2026-01-10', 16)],
  },
  'forgetting archives': { ...common, phases: [...twice, { task: 'forget', args: ['2026-01-05'] }] },
  'a power cut while archiving after a power cut': {
    ...common,
    after: 'archiving',
    phases: [archive('2026-01-20', 30)],
  },
  'the same archiving in ledger mode': {
    ...common,
    ledger: true,
    after: 'archiving in ledger mode',
    phases: [archive('2026-01-20', 30)],
  },
};
