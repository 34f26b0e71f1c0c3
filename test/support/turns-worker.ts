// The process that test/faults/turns.test.ts kills: it does the operations of a plan by a package that is installed in
// a folder, with a ledger where one is named.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { performPlan } from './crash-worker.ts';

type Package = typeof import('../../lib/index.ts') & typeof import('../../lib/ledger/index.ts');

const [consumer, path, ledgerPath, ...plan] = process.argv.slice(2);
if (import.meta.main && consumer !== undefined) {
  const { resolve } = createRequire(pathToFileURL(`${consumer}/`));
  const load = async (name: string): Promise<Package> => (await import(pathToFileURL(resolve(name)).href)) as Package;
  const { SqliteStore } = await load('shepherd-store');
  const ledger = ledgerPath === '' ? undefined : (await load('shepherd-store/ledger')).Ledger.open(ledgerPath!);
  performPlan(SqliteStore.open(path!, { ledger }), plan);
}
