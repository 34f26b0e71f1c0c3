// Adds to two totals and the log in one transaction, again and again, for a test that reads beside it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SqliteStore } from '../../lib/index.ts';
import { tell } from './child.ts';

const [path, day] = process.argv.slice(2);
if (path !== undefined) {
  using store = SqliteStore.open(path);
  let isEnding = false;
  process.stdin.on('data', () => (isEnding = true)).on('end', () => (isEnding = true));
  for (let count = 0; !isEnding; count++) {
    store.transaction(() => {
      store.addUsage('a', day!, 1_000);
      store.appendAudit({ type: 'service_started' });
      store.addUsage('b', day!, 1_000);
    });
    if (count === 0) tell('wrote');
    await nextTurn();
  }
  process.stdin.destroy();
}
