// A service that appends without a pause until its input ends, and how long its longest append took: before anything
// else went on, and from the first line of its input on.
import { setImmediate as nextTurn } from 'node:timers/promises';

const [path, ledgerPath] = process.argv.slice(2);
if (path !== undefined) {
  const { SqliteStore } = await import('../../lib/index.ts');
  const { Ledger } = await import('../../lib/ledger/index.ts');
  const store = SqliteStore.open(path, ledgerPath === undefined ? {} : { ledger: Ledger.open(ledgerPath) });
  console.log('ready');
  const longestMs = { before: 0, meanwhile: 0 };
  let phase: keyof typeof longestMs = 'before';
  let isAsked = true;
  process.stdin.on('data', () => (phase = 'meanwhile')).on('end', () => (isAsked = false));
  let appended = 0;
  for (; isAsked; appended++) {
    const start = performance.now();
    store.appendAudit({ type: 'session_started', sessionId: `session-${appended}`, entryId: 'minecraft' });
    longestMs[phase] = Math.max(longestMs[phase], performance.now() - start);
    await nextTurn();
  }
  store.close();
  console.log(JSON.stringify({ longestMs, appended }));
}
