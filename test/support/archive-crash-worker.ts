// The other processes of test/faults/archive-crash.test.ts: one appends, one archives until it is killed.
import { setTimeout as sleep } from 'node:timers/promises';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { connect } from '../../lib/store.ts';
import { openAt, placesIn } from './archives.ts';
import { tell } from './child.ts';

const tasks: Record<string, (folder: string, withLedger: boolean, from: number) => Promise<void>> = {
  /** Appends events with numbers, one in five as a group with usage, until it is told to end. Tells each number. */
  async append(folder, withLedger, from) {
    using store = openAt(placesIn(folder, withLedger), '2026-01-01');
    let isOver = false;
    process.stdin.on('data', () => (isOver = true)).on('end', () => (isOver = true));
    for (let number = from; !isOver; number++) {
      const append = (): unknown => store.appendAudit({ type: 'policy_loaded', entryCount: number });
      if (number % 5 === 0) store.transaction(() => [append(), store.addUsage('a', '2026-01-01', 1)]);
      else append();
      tell(String(number));
      await sleep(1);
    }
    process.stdin.destroy();
  },

  /** Archives all that there is, again and again. Tells when it begins, and the last row of each archive. */
  async archive(folder, withLedger, round) {
    const places = placesIn(folder, withLedger);
    // A day that comes after the events of the archivings before, which would stay otherwise.
    let nowMs = Date.parse('2100-01-01T00:00:00Z') + round * 1_000 * 86_400_000;
    using store = openAt(places, '2026-01-01', { clock: () => new Date(nowMs) });
    tell('ready');
    for (let turn = 0; ; turn++) {
      const options = { folder: places.archives, upTo: { keepDays: 1 }, gzip: (round + turn) % 3 === 0 };
      const archived = await archiveAudits(store, options);
      const begun = connect(store).parts.log.beginning().id;
      if (archived && begun < archived.to) throw new Error(`the log begins behind row ${begun}, not ${archived.to}`);
      tell(`archived ${archived?.to ?? 'nothing'}`);
      nowMs += 3 * 86_400_000;
      await sleep(20); // so that there is something to archive
    }
  },
};

const [task, folder, mode, from] = process.argv.slice(2);
if (import.meta.main && task !== undefined) await tasks[task]!(folder!, mode === 'ledger', Number(from));
