// The other processes of the tests of the ledger: each does one of these tasks on a store with a ledger.
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { tell, waitForParent } from './child.ts';
import { performPlan } from './crash-worker.ts';

const tasks: Record<string, (path: string, ledgerPath: string, ...args: string[]) => void> = {
  /** Appends `count` events from a number on; one in five as a group with a change of usage. Tells each number. */
  append(path, ledgerPath, source, count, from = '1') {
    using store = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
    tell('ready');
    waitForParent();
    for (let number = Number(from); number < Number(from) + Number(count); number++) {
      const append = (): unknown =>
        store.appendAudit(
          { type: 'policy_loaded', entryCount: number },
          { source: source!, eventId: `${source} ${number}` },
        );
      if (number % 5 === 0) store.transaction(() => [append(), store.addUsage(source!, '2026-11-21', 1)]);
      else append();
      tell(String(number));
    }
  },

  /** The operations of a plan, as the worker of test/faults/crash.test.ts does them. */
  plan(path, ledgerPath, ...plan) {
    performPlan(SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) }), plan);
  },

  /**
   * One event, a group, and nested transactions of which one is rolled back; each event has the number of its shape.
   */
  shapes(path, ledgerPath, run, end) {
    const store = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
    let number = 3 * Number(run);
    const event = (): { type: 'policy_loaded'; entryCount: number } => ({ type: 'policy_loaded', entryCount: number });
    store.appendAudit(event());
    tell(String(number++));
    store.appendAudits([{ event: event() }, { event: event() }, { event: event() }]);
    tell(String(number++));
    store.transaction(() => {
      store.appendAudit(event());
      store.transaction(() => store.addUsage('a', '2026-11-21', 5));
      try {
        store.transaction(() => {
          store.appendAudit({ type: 'config_reloaded', success: false });
          throw new Error('undone');
        });
      } catch {
        /* the outer one goes on */
      }
      store.transaction(() => store.appendAudit(event()));
    });
    tell(String(number));
    if (end === 'killed') process.kill(process.pid, 'SIGKILL');
    store.close();
  },

  /**
   * Each kind of operation `count` times; its name is told after each one, which strace sees among the system calls.
   */
  cost(path, ledgerPath, count) {
    const day = '2026-11-21';
    using store = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
    store.saveSnapshot({ timestamp: new Date(0) });
    const operations: Record<string, (number: number) => unknown> = {
      'one event': () => store.appendAudit({ type: 'service_started' }),
      'a group of fifty': () =>
        store.appendAudits(Array.from({ length: 50 }, () => ({ event: { type: 'service_started' } }))),
      'usage': () => store.addUsage('a', day, 1),
      'a cooldown': (number) => store.setCooldownUntil('a', new Date(number)),
      'a transaction of five hundred': () =>
        store.transaction(() => {
          for (let index = 0; index < 250; index++)
            [store.appendAudit({ type: 'service_started' }), store.addUsage('a', day, 1)];
        }),
      'a snapshot': (number) => store.saveSnapshot({ timestamp: new Date(number) }),
      'a transaction with a snapshot': (number) =>
        store.transaction(() => [store.addUsage('a', day, 1), store.saveSnapshot({ timestamp: new Date(number) })]),
      'a cooldown that is none': () => store.clearCooldown('none'),
      'a transaction of nothing': () => store.transaction(() => undefined),
      'a rolled back transaction': () => {
        try {
          store.transaction(() => {
            store.addUsage('a', day, 1);
            throw new RangeError('undone');
          });
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      },
      'reads': () => [
        store.getUsage('a', day),
        store.getRecentAudits(9),
        store.loadSnapshot(),
        store.isHealthy(),
        store.auditHead(),
      ],
    };
    tell('begin');
    for (const [name, operation] of Object.entries(operations)) {
      for (let number = 0; number < Number(count); number++) {
        operation(number);
        tell(name);
      }
    }
  },
};

const [task, path, ledgerPath, ...args] = process.argv.slice(2);
if (import.meta.main && task !== undefined && path !== undefined && ledgerPath !== undefined)
  tasks[task]!(path, ledgerPath, ...args);
