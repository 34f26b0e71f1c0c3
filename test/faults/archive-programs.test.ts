// Full run: SHEPHERD_STEPS=10000 node --test test/faults/archive-programs.test.ts
//
// Random programs (test/support/random-program.ts) that also archive the log, forget usage and forget archives; at the
// end backup, restore and rebuild give the same store.
//
// SHEPHERD_STEPS: how many steps, 600 by default. SHEPHERD_STEPS_SEED: repeats another run.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import {
  archiveAudits, forgetArchives, forgetUsage, listArchives, readArchive, type UpTo, verifyArchives,
} from '../../lib/modules/archive/archive.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';
import { seededRandom } from '../support/random.ts';
import { contentOf, type Event, type Store } from '../support/random-model.ts';
import { Program } from '../support/random-program.ts';

const steps = Number(process.env['SHEPHERD_STEPS'] ?? 600);
const seed = Number(process.env['SHEPHERD_STEPS_SEED'] ?? 1);
const dayMs = 86_400_000;

class ArchivingProgram extends Program {
  readonly #folder: string;
  archivings = 0;
  /** Whether an id may have been used again after its event went into an archive. */
  isReused = false;
  forgettings = 0;

  constructor(folder: string, ...rest: ConstructorParameters<typeof Program>) {
    super(...rest);
    this.#folder = folder;
  }

  /** Within two weeks, because a row of a time that has not come yet stays, and all behind it. */
  override jump(): void {
    this.time = Date.UTC(2026, 10, 21) + this.below(1e9);
  }

  override logged(store: Store): ReturnType<Program['logged']> {
    const all = new Map<number, ReturnType<Program['logged']>[number]>();
    const files = existsSync(this.#folder) ? listArchives(this.#folder) : [];
    for (const { path } of files) for (const row of readArchive<Event>(path)) all.set(row.id, row);
    for (const row of store.iterateAudits()) all.set(row.id, row);
    return [...all.values()].sort((a, b) => a.id - b.id);
  }

  override async step(): Promise<void> {
    const kind = this.below(40);
    const store = this.pick(this.handles);
    if (kind > 2) return super.step();
    // Later than every row, and than the events of the archivings before by more than a day.
    const { time } = this;
    this.time = Date.UTC(2027, 0, 1) + 10 * dayMs * (this.archivings + this.forgettings);
    if (kind === 0) this.#forget(store);
    else await this.#archive(store);
    this.time = time;
  }

  async #archive(store: Store): Promise<void> {
    const { model, archivedTo } = this;
    if (model.snapshot?.activeSession) {
      // No event says when it began, and the clock of its beginning is before all rows.
      const none = await archiveAudits(store, { folder: this.#folder, upTo: { keepDays: 1 } });
      assert.equal(none, undefined);
      model.snapshot = { timestamp: new Date(this.time) };
      store.saveSnapshot(model.snapshot);
    }
    const head = store.auditHead()?.id ?? 0;
    const upTo = this.pick<UpTo>([
      { keepDays: 1 }, { before: new Date(this.time - 2 * dayMs) },
      { id: archivedTo + 1 + this.below(Math.max(1, head - archivedTo)) },
    ]);
    if ('id' in upTo && upTo.id > head) {
      await assert.rejects(archiveAudits(store, { folder: this.#folder, upTo }), { code: 'ERR_STORE_CONFLICT' });
      return;
    }
    const archived = await archiveAudits(store, { folder: this.#folder, upTo, gzip: this.below(2) === 0 });
    this.archivings++;
    if (head === archivedTo) return assert.equal(archived, undefined);
    assert.ok(archived);
    assert.deepEqual([archived.from, archived.to], [archivedTo + 1, 'id' in upTo ? upTo.id : head]);
    this.archivedTo = archived.to;
    for (const [key, id] of this.limitIds) {
      if (id > archived.to) continue;
      model.limits.forget(key);
      this.isReused = true;
    }
    assert.deepEqual((await verifyArchives(store, this.#folder, { anchor: archived.anchor })).findings, []);
  }

  #forget(store: Store): void {
    const { model } = this;
    this.forgettings++;
    const before = this.pick(['2026-11-21', '2026-11-22', '2024-02-29']);
    const gone = [...model.usage.keys()].filter((key) => (JSON.parse(key) as [string, string])[1] < before);
    for (const key of gone) model.usage.delete(key);
    assert.equal(forgetUsage(store, { before }), gone.length);
    const files = existsSync(this.#folder) ? listArchives(this.#folder) : [];
    if (files.length < 3) return;
    const last = [...readArchive(files[0]!.path)].at(-1)!;
    const forgotten = forgetArchives(store, this.#folder, { before: new Date(last.timestamp.getTime() + 1) });
    assert.equal(forgotten[0]?.path, files[0]!.path);
    model.events = model.events.filter(({ id }) => id > forgotten.at(-1)!.to);
  }
}

/** What of a store is in the content of another one, whose log begins behind a row. */
function from(content: unknown, id: number): unknown {
  const [log, ...others] = content as [{ id: bigint }[], ...unknown[]];
  return [log.filter((row) => row.id > id), ...others];
}

/** Rebuilt from the archives and the ledger the store has everything; from the ledger alone what that covers. */
async function checkRebuilt(folder: TestFolder, archives: string, program: ArchivingProgram): Promise<void> {
  const ledger = folder.file('audit.jsonl');
  const own = contentOf(folder.file());
  await rebuildDatabase(Ledger.open(ledger), folder.file('cut.db'));
  assert.deepEqual(contentOf(folder.file('cut.db')), own, 'from the ledger alone');
  using cut = SqliteStore.openReadOnly(folder.file('cut.db'));
  assert.ok((await verifyParity(cut, Ledger.open(ledger))).isConsistent);
  const listed = existsSync(archives) ? listArchives(archives) : [];
  const files = listed.map(({ path }) => path);
  await rebuildDatabase([ledger, ...files].map((path) => Ledger.open(path)), folder.file('whole.db'));
  assert.deepEqual(from(contentOf(folder.file('whole.db')), program.archivedTo), own, 'from all files');
  using whole = SqliteStore.openReadOnly<Event>(folder.file('whole.db'));
  assert.deepEqual((await whole.verifyAudit()).findings, []);
  const found = program.own([...whole.iterateAudits()]).map(({ id, event, timestamp }) => ({ id, event, timestamp }));
  // No log has an event id twice: where one was used again, the rebuilt one begins behind the archive with the first.
  const begun = connect(whole).parts.log.beginning().id;
  if (!program.isReused) assert.equal(begun, (listed[0]?.from ?? 1) - 1);
  assert.deepEqual(found, program.model.events.filter(({ id }) => id > begun));
}

for (const withLedger of [false, true]) {
  test(`a random program with archiving finds in the log${withLedger ? ', with a ledger,' : ''} and in the archives `
    + `what a model in memory has`, async (t) => {
    t.diagnostic(`SHEPHERD_STEPS_SEED=${seed} SHEPHERD_STEPS=${steps}`);
    const folder = new TestFolder(t, { inMemory: true });
    const archives = join(folder.path, 'archives');
    let program: ArchivingProgram | undefined = undefined as ArchivingProgram | undefined;
    const clock = (): Date => new Date(program?.time ?? Date.UTC(2026, 10, 21));
    const open = (): Store => {
      const ledger = withLedger ? { ledger: Ledger.open(folder.file('audit.jsonl')) } : undefined;
      return folder.closing(SqliteStore.open<Event>(folder.file(), { clock, busyTimeoutMs: 0, ...ledger }));
    };
    program = new ArchivingProgram(archives, seededRandom(seed), withLedger, open);
    await program.run(steps / 2, (version) => SqliteStore.migrate(folder.file(), version, { force: true }));
    await backup(program.handles[0]!, folder.file('backup.db'));
    program.close();
    assert.deepEqual(contentOf(folder.file('backup.db')), contentOf(folder.file()));
    if (withLedger) await checkRebuilt(folder, archives, program);
    const before = contentOf(folder.file());
    rmSync(folder.file());
    copyFileSync(folder.file('backup.db'), folder.file('copy.db'));
    await restore(folder.file('copy.db'), folder.file(), { clock });
    assert.deepEqual(contentOf(folder.file()), before);
    program.handles = [open(), open()];
    program.checkAll();
    if (existsSync(archives)) {
      assert.deepEqual((await verifyArchives(program.handles[0]!, archives)).findings, []);
    }
    const { archivings, forgettings, archivedTo, model } = program;
    const events = `${model.events.length} events, ${archivings} archivings up to row ${archivedTo}`;
    t.diagnostic(`${events}, ${forgettings} times something forgotten`);
    assert.ok(archivings > 1);
  });
}
