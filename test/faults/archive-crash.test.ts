// A process is killed while it archives, beside another one that appends: each row is in the log or in a file, nothing
// that was acknowledged is missing, and the next archiving finishes.
//
// SHEPHERD_ARCHIVE_CRASH_ROUNDS: how many processes are killed in each mode, one after the other; 6 by default, 200 in
// the full run. SHEPHERD_ARCHIVE_CRASH_SEED: repeats the moments of another run, as far as the system keeps time.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase } from '../../lib/ledger/index.ts';
import { archiveAudits, listArchives } from '../../lib/modules/archive/archive.ts';
import { checkSound, dates, held, leftIn, makeOld, openAt, type Places, placesIn, upTo } from '../support/archives.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { seededRandom } from '../support/random.ts';

const rounds = Number(process.env['SHEPHERD_ARCHIVE_CRASH_ROUNDS'] ?? 6);
const seed = Number(process.env['SHEPHERD_ARCHIVE_CRASH_SEED'] ?? Date.now() % 1e6);

/** The numbers of the appended events, which are in the log or in a file, each once. */
async function numbersIn({ path, archives }: Places): Promise<number[]> {
  using store = SqliteStore.openReadOnly(path);
  const { events } = await held(store, archives);
  const numbers = (events as { event: { entryCount?: number } }[]).flatMap(({ event }) => event.entryCount ?? []);
  assert.deepEqual(numbers, numbers.map((_, index) => index + 1));
  return numbers;
}

for (const mode of ['plain', 'ledger'] as const) {
  test(`a process killed while it archives beside one that appends loses nothing${mode === 'ledger' ? ' in ledger mode'
    : ''}, and the next one finishes`, async (t) => {
    t.diagnostic(`SHEPHERD_ARCHIVE_CRASH_SEED=${seed} SHEPHERD_ARCHIVE_CRASH_ROUNDS=${rounds}`);
    const random = seededRandom(seed);
    const folder = new TestFolder(t, { inMemory: true });
    const places = placesIn(folder.path, mode === 'ledger');
    makeOld(places, 3_000);
    const start = (task: string, from: number): Worker =>
      new Worker(t, 'archive-crash', [task, folder.path, mode, String(from)], { env: plainEnvironment() });
    const appender = start('append', 1);
    await appender.told(1);
    let archives = 0;
    for (let round = 0; round < rounds; round++) {
      const worker = start('archive', round);
      await worker.told(1 + Math.floor(random() * 4));
      await sleep(random() * 60);
      worker.kill();
      const { signal, errors } = await worker.end();
      assert.equal(signal, 'SIGKILL', errors);
      archives += worker.lines.filter((line) => line.startsWith('archived')).length;
      const acknowledged = appender.lines.length;
      const found = await numbersIn(places);
      assert.ok(found.length >= acknowledged, `${found.length} of ${acknowledged} in round ${round}`);
    }
    appender.go();
    const acknowledged = (await appender.result()).length;
    await finish(t, places, folder, acknowledged);
    t.diagnostic(`${rounds} kills, ${archives} archivings, ${acknowledged} events`);
  });
}

/** The next process archives all, and nothing is missing or left; the files make the same store again. */
async function finish(t: TestContext, places: Places, folder: TestFolder, acknowledged: number): Promise<void> {
  const store = openAt(places, dates.now, { clock: () => new Date('9000-01-01T00:00:00Z') });
  const before = await held(store, places.archives);
  const done = await archiveAudits(store, { folder: places.archives, upTo: { keepDays: 1 } });
  assert.ok(done && [...store.iterateAudits()].every(({ id }) => id > done.to));
  assert.deepEqual(await held(store, places.archives), before);
  await checkSound(store, places);
  assert.equal(store.getUsage('a', '2026-01-01'), Math.floor(acknowledged / 5));
  assert.deepEqual(leftIn(places), []);
  store.close();
  assert.equal((await numbersIn(places)).length, acknowledged);
  if (places.ledger === undefined) return;
  const ledgers = [...listArchives(places.archives).map(({ path }) => path), places.ledger].map((p) => Ledger.open(p));
  await rebuildDatabase(ledgers, folder.file('rebuilt.db'));
  using rebuilt = folder.closing(SqliteStore.openReadOnly(folder.file('rebuilt.db')));
  const { events } = await held(rebuilt, folder.file('none'));
  assert.deepEqual(events, before.events);
  t.diagnostic(`${ledgers.length} files`);
}

test('what a killed process has left in the folder of archives goes with the next archiving, also where that only '
  + 'finishes', async (t) => {
  const folder = new TestFolder(t);
  const places = placesIn(folder.path, false);
  makeOld(places, 10);
  mkdirSync(places.archives);
  using store = folder.closing(openAt(places, dates.later));
  const options = { folder: places.archives, upTo };
  const name = '.shepherd-store-9f3a31a1-9d51-47fe-9822-bbe9c7e351c2';
  const leave = (): void => {
    for (const end of ['tmp', 'lock']) writeFileSync(join(places.archives, `${name}.${end}`), '');
  };
  leave();
  assert.ok(await archiveAudits(store, options));
  assert.deepEqual(leftIn(places), []);
  leave();
  assert.equal(await archiveAudits(store, options), undefined);
  assert.deepEqual(leftIn(places), []);
});
