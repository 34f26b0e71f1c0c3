// After any prefix of a random history, either file is deleted or damaged at its end, and the other one makes it whole.
//
// SHEPHERD_HISTORY_SEED: repeats another run. SHEPHERD_HISTORY_LENGTH: how many operations; 1,000 by default.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as system from 'node:fs';
import { existsSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { limitCall } from '../support/crash-worker.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, dump, openBoth } from '../support/ledger.ts';
import { callLimit } from '../support/limits-model.ts';
import { seededRandom } from '../support/random.ts';

const clock = (): Date => new Date('2026-11-21T12:00:00Z');

/** Does one operation that a random number chooses. */
function perform(store: SqliteStore, random: () => number, number: number): void {
  const below = (count: number): number => Math.floor(random() * count);
  const entryId = `entry-${below(5)}`;
  const day = `2026-11-2${below(3)}`;
  const steps = [
    () => store.addUsage(entryId, day, below(100_000)),
    () => store.setCooldownUntil(entryId, new Date(Date.UTC(2026, 10, 21) + below(1e9))),
    () => store.clearCooldown(entryId),
    () =>
      store.appendAudit(
        { type: 'launch_denied', entryId, reasons: ['ü\n"'.repeat(below(300))] },
        { eventId: `event ${number} ${below(1e9)}`, tags: ['t'] },
      ),
    () =>
      store.appendAudits(
        Array.from({ length: below(30) }, (_, index) => ({ event: { type: 'policy_loaded', entryCount: index } })),
      ),
    () => callLimit(store, limitCall(below(1e6), number)),
    () => callLimit(store, limitCall(below(1e6), number)),
    () =>
      store.saveSnapshot({
        timestamp: new Date(number),
        activeSession: { sessionId: String(number), entryId, startedAt: new Date(0), warningsIssued: [below(9)] },
      }),
  ];
  const step = (): unknown => steps[below(steps.length)]!();
  if (below(6) > 0) return void step();
  const isUndone = below(2) === 0;
  try {
    store.transaction(() => {
      step();
      try {
        store.transaction(() => {
          step();
          if (below(2) === 0) throw new RangeError('inner');
        });
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
      step();
      if (isUndone) throw new RangeError('outer');
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}

/** A copy of the files of an open store in a folder of their own, as a killed process would leave them. */
class Copy {
  readonly folder: string;
  readonly path: string;
  readonly ledgerPath: string;

  constructor(from: TestFolder, name: string) {
    this.folder = from.file(name);
    mkdirSync(this.folder, { mode: 0o700 });
    const files = ['store.db', 'store.db-wal', 'store.snapshot.json', 'audit.jsonl']
      .map((file) => from.file(file))
      .filter((file) => existsSync(file));
    // By another process: this one would drop SQLite's locks with the descriptor.
    execFileSync('cp', [...files, this.folder]);
    this.path = join(this.folder, 'store.db');
    this.ledgerPath = join(this.folder, 'audit.jsonl');
  }

  open(options?: OpenOptions): SqliteStore {
    return SqliteStore.open(this.path, { clock, ...options, ledger: Ledger.open(this.ledgerPath) });
  }
}

/** Noise over the last page of a file, as a power cut leaves it, or over all of it. */
function spoilEnd(path: string, random: () => number, all = false): void {
  const size = statSync(path).size;
  const noise = Buffer.from(
    Array.from({ length: all ? size : ((size - 1) % 4096) + 1 }, () => Math.floor(random() * 256)),
  );
  const fd = system.openSync(path, 'r+');
  system.writeSync(fd, noise, 0, noise.length, size - noise.length);
  system.closeSync(fd);
}

const losses: Record<string, { harm: (copy: Copy, random: () => number) => void; options?: OpenOptions }> = {
  'the database is deleted': {
    harm: ({ path }) => {
      for (const suffix of ['', '-wal']) rmSync(path + suffix, { force: true });
    },
    options: { recover: true },
  },
  'the -wal is cut off in its middle': {
    harm: ({ path }, random) => {
      if (existsSync(`${path}-wal`)) truncateSync(`${path}-wal`, Math.floor(statSync(`${path}-wal`).size * random()));
    },
  },
  'the database is noise': {
    harm: ({ path }, random) => {
      rmSync(`${path}-wal`, { force: true });
      spoilEnd(path, random, true);
    },
    options: { recover: true },
  },
  'the ledger is deleted': { harm: ({ ledgerPath }) => rmSync(ledgerPath) },
  'the end of the ledger is noise': { harm: ({ ledgerPath }, random) => spoilEnd(ledgerPath, random) },
  'the end of the ledger is zeros': { harm: ({ ledgerPath }) => spoilEnd(ledgerPath, () => 0) },
  'the end of the ledger is cut off': {
    harm: ({ ledgerPath }, random) => truncateSync(ledgerPath, Math.floor(statSync(ledgerPath).size * random())),
  },
  'something torn stands behind the ledger': {
    harm: ({ ledgerPath }, random) => system.appendFileSync(ledgerPath, '{"id":7'.repeat(Math.floor(random() * 90))),
  },
  'the ledger is empty': { harm: ({ ledgerPath }) => writeFileSync(ledgerPath, '') },
};

test('whichever file is lost or damaged after any prefix of a history, the other one makes it whole', (t) => {
  const seed = Number(process.env['SHEPHERD_HISTORY_SEED'] ?? Date.now() % 1e6);
  const length = Number(process.env['SHEPHERD_HISTORY_LENGTH'] ?? 1_000);
  t.diagnostic(`SHEPHERD_HISTORY_SEED=${seed}`);
  const random = seededRandom(seed);
  const folder = new TestFolder(t);
  const names = Object.keys(losses);
  let store = openBoth(folder, { clock });
  let checked = 0;
  for (let number = 0; number < length; number++) {
    perform(store, random, number);
    if (random() > 0.06 && number < length - names.length) continue;
    const wanted = dump(store);
    const name = names[checked++ % names.length]!;
    const copy = new Copy(folder, `copy-${number}`);
    losses[name]!.harm(copy, random);
    const healed = copy.open(losses[name]!.options);
    try {
      assert.deepEqual(dump(healed), wanted, `${name} after operation ${number}`);
    } finally {
      healed.close();
    }
    checkBoth(copy.path, copy.ledgerPath);
    rmSync(copy.folder, { recursive: true });
    if (random() < 0.5) continue;
    store.close();
    store = openBoth(folder, { clock });
  }
  t.diagnostic(`${checked} prefixes`);
  assert.ok(checked >= names.length);
});
