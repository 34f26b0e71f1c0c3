// Who may do what with a store of a newer version: the table of lib/reading/README.md, a test for each cell. A newer
// version has written to it, which only adds, or raises writable_from, or readable_from as well (test/fixtures/newer/).
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { schemaVersion } from '../../lib/core/schema.ts';
import { importStore } from '../../lib/import/index.ts';
import { type OpenOptions, SqliteStore, type StoreError } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger, verifyParity } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { ahead, type Newer } from '../fixtures/newer/make.ts';
import { shepherd } from '../support/command.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { foundAgainBy, newerClock, writtenBy } from '../support/newer.ts';

const kinds = Object.keys(ahead) as Newer[];
const tooNew = { code: 'ERR_STORE_SCHEMA_TOO_NEW' };
const day = '2026-11-21';
const clock = (): Date => new Date('2026-11-21T09:30:00Z');
const foreign = fileURLToPath(new URL('../fixtures/shepherdd-utc.db', import.meta.url));

/** A folder in which a newer version has made a store, and closed it. */
function newerStore(t: TestContext, kind: Newer, ledger = false): TestFolder {
  const folder = new TestFolder(t, { checked: kind !== 'readers' });
  writtenBy(kind, folder.file(), ledger ? folder.file('audit.jsonl') : undefined);
  return folder;
}

/** One call of everything that writes; each is one that works. */
const writes: Record<string, (store: SqliteStore) => unknown> = {
  appendAudit: (store) => store.appendAudit({ type: 'service_started' }, { eventId: 'start', source: 'older' }),
  appendAudits: (store) => store.appendAudits([{ event: { type: 'service_stopped' } }]),
  addUsage: (store) => store.addUsage('minecraft', day, 1_500),
  'addUsage of a new entry': (store) => store.addUsage('tuxpaint', day, 2_000),
  setCooldownUntil: (store) => store.setCooldownUntil('tuxpaint', new Date('2026-11-21T12:00:00Z')),
  clearCooldown: (store) => store.clearCooldown('minecraft'),
  saveSnapshot: (store) => store.saveSnapshot({ timestamp: clock() }),
  transaction: (store) => store.transaction(() => store.addUsage('minecraft', day, 500)),
  'a session': (store) => {
    const sessions = new SessionTracker(store, { timeZone: 'UTC' });
    sessions.start({ entryId: 'gcompris' });
    sessions.end({ type: 'user_stop' }, { cooldownMs: 1 });
  },
  'a run': (store) => new RunStore(store).createRun({ id: 'ours', planPath: 'plan' }),
  'a resource': (store) => new RunStore(store).upsertResourceState({
    resourceType: 'pkg', resourceName: 'a', state: {}, lastRunId: 'theirs', lastApplied: clock(),
  }),
  'a fact': (store) =>
    new FactStore(store).upsertFact({ targetId: 'host', namespace: 'os', key: 'family', value: 'debian' }),
  'a project': (store) => new ProjectStore(store).recordProjectRun('/srv/a'),
  'a task': (store) => new ProjectStore(store).assignTask({ taskId: 't', project: '/srv/a', taskType: 'lint' }),
  'a project snapshot': (store) => new ProjectStore(store).captureProject('/srv/a', 'before'),
};

/** What a newer version has written, as this one reads it. */
function checkReads(store: SqliteStore): void {
  const [event] = store.getRecentAudits(1, { type: 'brightness_set' });
  assert.deepEqual(event?.event, { type: 'brightness_set', percent: 70 });
  assert.equal(event?.source, 'admin');
  assert.ok(store.getUsage('minecraft', day) >= 60_000);
  assert.equal(new RunStore(store).getRun('theirs').planPath, 'plan');
  assert.equal(store.loadSnapshot()?.activeSession?.sessionId, 's1');
}

/** Nothing of a newer version's is lost, and what an older one wrote is taken in. */
function checkReturn(kind: Newer, folder: TestFolder, totalMs: number, ledger?: string): void {
  const found = foundAgainBy(kind, folder.file(), ledger);
  const { priorities, header, isConsistent, ...rest } = found;
  assert.deepEqual(rest, {
    recovery: null, findings: [], isWhole: true, zone: 'night', brightness: [['minecraft', 70, 1]],
    device: [['tablet']], reason: [['night']], totalMs, files: [[['minecraft', 70]], [['minecraft', 70]]],
  });
  assert.ok(JSON.stringify(priorities).includes('["theirs",9]'));
  if (ledger === undefined) return;
  assert.equal(isConsistent, true);
  assert.match(header!, /^\{"format":"shepherd-store ledger 1",.*,"device":"kiosk"\}$/);
}

/** The message names the version that could. */
function namesVersion(version: number) {
  return ({ code, message }: StoreError): boolean =>
    code === tooNew.code && message.includes(`version ${version} or later can`);
}

function open(folder: TestFolder, options: OpenOptions = {}): SqliteStore {
  return folder.open({ clock, ...options });
}

test('to a store of a version that only adds everything is written, and the newer version takes it in', async (t) => {
  const folder = newerStore(t, 'additive');
  const store = open(folder);
  assert.deepEqual([store.isReadOnly, store.isHealthy(), store.recovery], [false, true, undefined]);
  checkReads(store);
  for (const [name, write] of Object.entries(writes)) assert.doesNotThrow(() => write(store), name);
  assert.ok((await store.verifyAudit()).ok);
  const [finding, ...others] = store.health().findings;
  assert.deepEqual(others, []);
  assert.equal(finding?.kind, 'schema-newer');
  assert.equal(store.health().schemaVersion, schemaVersion + 1);
  store.saveSnapshot({ timestamp: clock() });
  const { content } = JSON.parse(readFileSync(folder.file('store.snapshot.json'), 'utf8'));
  assert.deepEqual(content.cooldowns.map(({ entryId }: { entryId: string }) => entryId), ['gcompris', 'tuxpaint']);
  store.close();
  checkReturn('additive', folder, 62_000);
  assert.ok(!namesIn(folder.path).some((name) => /damaged|other/.test(name)));
});

for (const kind of ['additive', 'writers'] as const) {
  test(`a store of a version that ${kind === 'additive' ? 'only adds' : 'raises writable_from'} is read by `
    + 'openReadOnly, and backed up', async (t) => {
    const folder = newerStore(t, kind);
    const before = picture(folder.path);
    const store = folder.closing(SqliteStore.openReadOnly(folder.file(), { clock }));
    checkReads(store);
    assert.ok((await store.verifyAudit()).ok);
    assert.deepEqual([store.isReadOnly, store.isHealthy()], [true, true]);
    for (const write of Object.values(writes)) assert.throws(() => write(store), { code: 'ERR_STORE_READ_ONLY' });
    await backup(store, folder.file('copy/backup.db'));
    store.close();
    const { 'copy/backup.db': _db, 'copy/backup.snapshot.json': _file, copy: _folder, ...after } = picture(folder.path);
    assert.deepEqual(after, before);
    const copy = folder.closing(SqliteStore.openReadOnly(folder.file('copy/backup.db')));
    assert.equal(copy.getUsage('minecraft', day), 60_000);
  });
}

test('a store of a version that raises writable_from is read by open, and every write is refused', (t) => {
  const folder = newerStore(t, 'writers');
  const before = picture(folder.path);
  for (const options of [{}, { recover: true }, { ledger: Ledger.open(folder.file('audit.jsonl')) }]) {
    const store = open(folder, options);
    assert.deepEqual([store.isReadOnly, store.isHealthy(), store.recovery], [true, false, undefined]);
    assert.deepEqual(store.health().findings.map(({ kind }) => kind), ['schema-newer']);
    checkReads(store);
    for (const [name, write] of Object.entries(writes)) {
      assert.throws(() => write(store), namesVersion(schemaVersion + 2), name);
    }
    store.close();
  }
  assert.deepEqual(picture(folder.path), before);
  checkReturn('writers', folder, 60_000);
});

test('a store of a version that raises readable_from is refused, whatever is done', async (t) => {
  const folder = newerStore(t, 'readers');
  const before = picture(folder.path);
  const calls: Record<string, () => unknown> = {
    open: () => open(folder),
    recover: () => open(folder, { recover: true }),
    'open with a ledger': () => open(folder, { ledger: Ledger.open(folder.file('audit.jsonl')) }),
    openReadOnly: () => SqliteStore.openReadOnly(folder.file()),
  };
  for (const [name, call] of Object.entries(calls)) assert.throws(call, namesVersion(schemaVersion + 3), name);
  await assert.rejects(importStore(foreign, folder.file()), tooNew);
  await assert.rejects(restore(folder.file(), folder.file('other.db')), tooNew);
  assert.equal((await shepherd(['status', folder.file()])).code, 1);
  assert.deepEqual(picture(folder.path), before);
});

for (const kind of kinds) {
  test(`the way down from a newer version (${kind}) is that version's alone`, (t) => {
    const folder = newerStore(t, kind);
    const before = picture(folder.path);
    for (const version of [0, schemaVersion - 1, schemaVersion]) {
      assert.throws(() => SqliteStore.migrate(folder.file(), version, { force: true }), tooNew);
    }
    assert.deepEqual(picture(folder.path), before);
  });

  test(`after a crash of a newer version (${kind}) nothing that it wrote is lost`, (t) => {
    for (const left of [['-wal', '-shm'], ['-wal']]) {
      const folder = new TestFolder(t, { checked: false });
      writtenBy(kind, folder.file(), undefined, 'store.addUsage("minecraft", "2026-11-21", 5_000); die();');
      if (left.length === 1) renameSync(folder.file('store.db-shm'), folder.file('gone'));
      const before = picture(folder.path);
      if (kind === 'readers') assert.throws(() => open(folder), tooNew);
      else {
        const store = open(folder);
        assert.equal(store.recovery, undefined);
        assert.equal(store.getUsage('minecraft', day), 65_000);
        if (kind === 'additive') store.addUsage('minecraft', day, 1_000);
        store.close();
      }
      if (kind !== 'additive') assert.deepEqual(picture(folder.path), before);
      checkReturn(kind, folder, kind === 'additive' ? 66_000 : 65_000);
    }
  });

  test(`a newer version's database (${kind}) that is behind its snapshot file is healed if it may be`, (t) => {
    const folder = newerStore(t, kind);
    copyFileSync(folder.file(), folder.file('old.db'));
    writtenBy(kind, folder.file());
    renameSync(folder.file('old.db'), folder.file());
    const before = picture(folder.path);
    if (kind === 'readers') assert.throws(() => open(folder), tooNew);
    else {
      const store = open(folder);
      assert.equal(store.recovery?.found, kind === 'additive' ? 'behind' : undefined);
      const isFound = store.health().findings.some((finding) => finding.kind === 'behind');
      assert.equal(isFound, kind === 'writers');
      store.close();
    }
    if (kind !== 'additive') return assert.deepEqual(picture(folder.path), before);
    assert.match(readFileSync(folder.file('store.snapshot.json'), 'utf8'), /"profile":"child"/); // the state's own
    checkReturn(kind, folder, 120_000);
  });

  test(`recover never moves a newer version's database (${kind}) aside, not even a damaged one`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    writtenBy(kind, folder.file());
    const bytes = readFileSync(folder.file());
    bytes.fill(0xa5, 100, 4_000); // the schema; the header stays
    writeFileSync(folder.file(), bytes);
    for (const options of [{}, { recover: true }]) {
      assert.throws(() => open(folder, options), { code: 'ERR_STORE_CORRUPT' });
      assert.deepEqual(readFileSync(folder.file()), bytes);
    }
    assert.deepEqual(readdirSync(folder.path).filter((name) => name.includes('damaged')), []);
  });

  test(`a newer version's backup (${kind}) is restored where the store can be written to then`, async (t) => {
    const folder = newerStore(t, kind);
    renameSync(folder.file(), folder.file('backup.db'));
    renameSync(folder.file('store.snapshot.json'), folder.file('backup.snapshot.json'));
    open(folder).close();
    const before = picture(folder.path);
    if (kind === 'additive') {
      await restore(folder.file('backup.db'), folder.file(), { clock });
      const store = open(folder);
      checkReads(store);
      store.close();
      // The file beside it was made by this version, from the database alone: the newer one writes it with its fields.
      return assert.deepEqual(foundAgainBy(kind, folder.file()).files, [null, [['minecraft', 70]]]);
    }
    await assert.rejects(restore(folder.file('backup.db'), folder.file(), { clock }), tooNew);
    assert.deepEqual(picture(folder.path), before);
  });

  test(`a backup of this version takes the place of a newer version's store (${kind}), which is kept`, async (t) => {
    const folder = new TestFolder(t);
    writtenBy(kind, folder.file());
    const newer = readFileSync(folder.file());
    using store = SqliteStore.open(folder.file('mine.db'), { clock });
    store.addUsage('mine', day, 1);
    await backup(store, folder.file('backup.db'));
    const { moved } = await restore(folder.file('backup.db'), folder.file(), { clock });
    assert.equal(open(folder).getUsage('mine', day), 1);
    assert.ok(moved.some((path) => path.includes('.db.replaced') && readFileSync(path).equals(newer)));
  });
}

test('the ledger of a newer version is written on, and the newer version finds both equal', async (t) => {
  const folder = newerStore(t, 'additive', true);
  const path = folder.file('audit.jsonl');
  assert.throws(() => open(folder), { code: 'ERR_STORE_CONFLICT' });
  const store = open(folder, { ledger: Ledger.open(path) });
  for (const [name, write] of Object.entries(writes)) assert.doesNotThrow(() => write(store), name);
  assert.ok((await verifyParity(store, Ledger.open(path))).isConsistent);
  assert.ok((await Ledger.open(path).verify()).ok);
  store.close();
  checkReturn('additive', folder, 62_000, path);
});

test('events that only the ledger of a newer version has come back, and one whose lines are missing gets them', (t) => {
  const folder = newerStore(t, 'additive', true);
  const path = folder.file('audit.jsonl');
  for (const name of ['store.db', 'audit.jsonl']) copyFileSync(folder.file(name), folder.file(`${name}.old`));
  const store = open(folder, { ledger: Ledger.open(path) });
  store.addUsage('minecraft', day, 7_000);
  store.close();
  const lines = readFileSync(path, 'utf8');
  renameSync(folder.file('audit.jsonl.old'), path); // the ledger is behind
  open(folder, { ledger: Ledger.open(path) }).close();
  assert.equal(readFileSync(path, 'utf8'), lines);
  renameSync(folder.file('store.db.old'), folder.file()); // the database is behind
  const again = open(folder, { ledger: Ledger.open(path) });
  assert.equal(again.getUsage('minecraft', day), 67_000);
  again.close();
  assert.ok(readFileSync(path, 'utf8').startsWith(lines.slice(0, lines.indexOf('\n')))); // the header is still there
  checkReturn('additive', folder, 67_000, path);
});

test('a ledger is begun and ended with a store of a version that only adds, and refused where none is written', (t) => {
  const folder = newerStore(t, 'additive');
  const path = folder.file('audit.jsonl');
  const store = open(folder, { ledger: Ledger.open(path) });
  store.addUsage('minecraft', day, 500);
  store.detachLedger();
  store.close();
  assert.equal(open(folder).getUsage('minecraft', day), 60_500);
  const other = newerStore(t, 'writers', true);
  const before = picture(other.path);
  const read = other.open({ ledger: Ledger.open(other.file('audit.jsonl')) });
  assert.throws(() => read.detachLedger(), tooNew);
  assert.throws(() => read.addUsage('minecraft', day, 1), tooNew);
  read.close();
  assert.deepEqual(picture(other.path), before);
});

test('a foreign store is imported into one of a version that only adds, and not where none is written', async (t) => {
  const folder = newerStore(t, 'additive');
  await importStore(foreign, folder.file());
  assert.ok(open(folder).getUsageForDay(day).length >= 1);
  const other = newerStore(t, 'writers');
  const before = picture(other.path);
  await assert.rejects(importStore(foreign, other.file()), tooNew);
  assert.deepEqual(picture(other.path), before);
});

test("a newer version's fields of another store's snapshot file are not taken over", (t) => {
  const folder = newerStore(t, 'additive');
  const other = new TestFolder(t);
  open(other).close();
  copyFileSync(folder.file('store.snapshot.json'), other.file('store.snapshot.json'));
  const store = open(other, { recover: true });
  store.saveSnapshot({ timestamp: clock() });
  assert.ok(!readFileSync(other.file('store.snapshot.json'), 'utf8').includes('brightness'));
});

test('a field that a newer version adds to a day of a session is ignored', (t) => {
  const folder = new TestFolder(t);
  const days = [{ day, durationMs: 1_000 }];
  const began = { sessionId: 's', entryId: 'minecraft', startedAt: clock() };
  const session = { ...began, warningsIssued: [], elapsedMs: 1_000, days };
  open(folder).saveSnapshot({ timestamp: clock(), activeSession: session });
  const db = folder.raw();
  db.exec(`UPDATE snapshot SET data = replace(data, '"durationMs":', '"device":"tablet","durationMs":')`);
  renameSync(folder.file('store.snapshot.json'), folder.file('kept'));
  assert.deepEqual(open(folder).loadSnapshot()?.activeSession?.days, days);
});

for (const kind of kinds) {
  test(`a database (${kind}) that is gone, or lost its first page, is made anew from the snapshot file, whose fields `
    + 'stay', (t) => {
    for (const lose of [
      (path: string) => renameSync(path, `${path}.gone`),
      (path: string) => writeFileSync(path, Buffer.concat([Buffer.alloc(4_096), readFileSync(path).subarray(4_096)])),
    ]) {
      const folder = newerStore(t, kind);
      lose(folder.file());
      const store = open(folder, { recover: true });
      assert.equal(store.loadSnapshot()?.activeSession?.sessionId, 's1');
      assert.equal(store.getUsage('minecraft', day), 60_000);
      assert.deepEqual(store.health().findings, []);
      store.saveSnapshot({ timestamp: newerClock() });
      assert.match(readFileSync(folder.file('store.snapshot.json'), 'utf8'), /"brightness":\[\["minecraft",70\]\]/);
    }
  });

  test(`from a newer version's store (${kind}) a ledger is rebuilt where it can be read, and a database from its `
    + 'ledger', async (t) => {
    const folder = newerStore(t, kind, true);
    const ledger = Ledger.open(folder.file('audit.jsonl'));
    const { events } = await rebuildDatabase(ledger, folder.file('rebuilt.db'));
    const rebuilt = folder.closing(SqliteStore.openReadOnly(folder.file('rebuilt.db'), { clock }));
    assert.equal(rebuilt.getUsage('minecraft', day), 60_000);
    assert.equal(rebuilt.auditHead()?.id, events);
    assert.equal(rebuilt.health().schemaVersion, schemaVersion);
    if (kind === 'readers') return assert.throws(() => SqliteStore.openReadOnly(folder.file()), tooNew);
    const store = folder.closing(SqliteStore.openReadOnly(folder.file(), { clock }));
    assert.deepEqual(await rebuildLedger(store, folder.file('rebuilt.jsonl')), { events });
    assert.equal((await Ledger.open(folder.file('rebuilt.jsonl')).verify()).ok, true);
  });
}

test('status says which version wrote the store, and what this one does with it', async (t) => {
  for (const [kind, does] of [['additive', `writes to it as version ${schemaVersion}`],
    ['writers', `only reads it: version ${schemaVersion + 2} or later can write to it`]] as const) {
    const folder = newerStore(t, kind);
    const version = schemaVersion + ahead[kind];
    const { code, out } = await shepherd(['status', folder.file()]);
    assert.equal(code, 1); // there is a finding
    const line = `version ${version}, written by a newer version; this one ${does}`;
    assert.ok(out.split('\n').includes(`schema    ${line}`), out);
    const { findings, schemaVersion: told } = JSON.parse((await shepherd(['status', folder.file(), '--json'])).out);
    assert.deepEqual([findings[0].kind, findings[0].message, told], ['schema-newer', `schema ${line}`, version]);
    assert.equal((await shepherd(['verify', folder.file()])).code, 0);
  }
});
