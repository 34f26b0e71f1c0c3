// Operations whose fsyncs strace counts: a name before each kind, and nothing else between. Each kind has a store of
// its own and begins behind the first write, which begins the -wal.
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { tell } from '../support/child.ts';
import { started, state } from './both.ts';
import { endSession } from './operations.ts';

const operations: Record<string, (store: SqliteStore, number: number) => unknown> = {
  append: (store, number) => store.appendAudit(started(number)),
  transaction: (store, number) => endSession({ store }, number),
  snapshot: (store, number) => store.saveSnapshot(state(number)),
  ledger: (store, number) => store.appendAudit(started(number)),
};

const [folder, count] = process.argv.slice(2);
if (folder !== undefined) {
  for (const [name, operation] of Object.entries(operations)) {
    const store = SqliteStore.open(
      join(folder, `${name}.db`),
      name === 'ledger' ? { ledger: Ledger.open(join(folder, 'audit.jsonl')) } : {},
    );
    operation(store, 0);
    tell(`begin ${name}`);
    for (let number = 1; number <= Number(count); number++) operation(store, number);
    tell('end');
    store.close();
  }
}
