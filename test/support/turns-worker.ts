// The process that test/faults/turns.test.ts kills: it does the operations of a plan by a package that is installed in
// a folder.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { performPlan } from './crash-worker.ts';

type Package = typeof import('../../lib/index.ts');

const [consumer, path, ...plan] = process.argv.slice(2);
if (import.meta.main && consumer !== undefined) {
  const { resolve } = createRequire(pathToFileURL(`${consumer}/`));
  const { SqliteStore } = (await import(pathToFileURL(resolve('shepherd-store')).href)) as Package;
  performPlan(SqliteStore.open(path!), plan);
}
