// What would stop a running service is refused while one has the store open: another schema, the end of its ledger.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { renewIdentity } from '../../lib/modules/identity/identity.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { connect } from '../../lib/store.ts';
import { shepherd } from '../support/command.ts';
import { namesIn } from '../support/files.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { checkBoth, ledgerIn, openBoth } from '../support/ledger.ts';
import { Companion } from '../support/process.ts';

const ledgerModule = new URL('../../lib/ledger/index.ts', import.meta.url).href;

/** A process that has the folder's store open, and tries to write to it each time it is told something. */
async function serviceOf(t: TestContext, folder: TestFolder, hasLedger = false): Promise<Companion> {
  const service = new Companion(t, folder.file(), `
    const { Ledger } = await import('${ledgerModule}');
    const options = ${hasLedger} ? { ledger: Ledger.open(path.replace('store.db', 'audit.jsonl')) } : {};
    const store = SqliteStore.open(path, options);
    report('open');
    for (;;) { await told(); report(codeOf(() => store.appendAudit({ type: 'service_started' }))); }`);
  assert.equal(await service.next(), 'open');
  return service;
}

test('migrate is refused beside a process with the store open, idle or not, which goes on; force stops '
  + 'it', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const service = await serviceOf(t, folder);
  assert.throws(() => SqliteStore.migrate(folder.file(), schemaVersion - 1, { force: false }), {
    code: 'ERR_STORE_BUSY',
    message: /stop the service first; with force/,
  });
  assert.equal(await service.ask('write'), 'no error');
  assert.deepEqual(SqliteStore.migrate(folder.file(), schemaVersion).steps, []); // nothing to do stops nobody
  assert.equal(SqliteStore.migrate(folder.file(), schemaVersion - 1, { force: true }).to, schemaVersion - 1);
  assert.equal(await service.ask('write'), 'ERR_STORE_MIGRATION');
  await service.kill();
  assert.equal(SqliteStore.migrate(folder.file(), schemaVersion).from, schemaVersion - 1);
  await checkStore(folder.file());
});

test('migrate is refused beside a store that this process has open, and not beside one that is only looked at', (t) => {
  const folder = new TestFolder(t);
  const store = SqliteStore.open(folder.file());
  assert.throws(() => SqliteStore.migrate(folder.file(), 1), { code: 'ERR_STORE_BUSY' });
  store.appendAudit({ type: 'service_started' });
  store.close();
  using reader = SqliteStore.openReadOnly(folder.file());
  assert.equal(reader.auditHead()!.id, 1);
  assert.equal(SqliteStore.migrate(folder.file(), schemaVersion - 1).to, schemaVersion - 1);
  SqliteStore.migrate(folder.file(), schemaVersion);
});

test('a ledger is not detached beside a process with the store open, which goes on; force stops it', async (t) => {
  const folder = new TestFolder(t);
  const service = await serviceOf(t, folder, true);
  const store = openBoth(folder, { busyTimeoutMs: 100 });
  assert.throws(() => store.detachLedger(), { code: 'ERR_STORE_BUSY', message: /stop the service first; with force/ });
  assert.equal(await service.ask('write'), 'no error');
  store.appendAudit({ type: 'service_stopped' }); // still with the ledger
  assert.equal(ledgerIn(folder).refresh().head!.id, store.auditHead()!.id);
  store.detachLedger({ force: true });
  assert.equal(await service.ask('write'), 'ERR_STORE_CONFLICT');
  await service.kill();
  store.close();
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

test('a store gets no ledger beside a process with it open, which goes on; then each of many at once '
  + 'does', async (t) => {
  const folder = new TestFolder(t);
  const service = await serviceOf(t, folder);
  assert.equal(await service.ask('write'), 'no error');
  assert.throws(() => openBoth(folder, { busyTimeoutMs: 100 }), {
    code: 'ERR_STORE_BUSY',
    message: /stop the service first/,
  });
  assert.equal(await service.ask('write'), 'no error');
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal']);
  await service.kill();
  const services = await Promise.all(Array.from({ length: 4 }, () => serviceOf(t, folder, true)));
  for (const each of services) assert.equal(await each.ask('write'), 'no error');
  for (const each of services) await each.kill();
  assert.equal(
    openBoth(folder)
      .getRecentAudits(100)
      .filter(({ event: { type } }) => type === 'ledger_attached').length,
    1,
  );
});

test('a store in which only a module has written gets no ledger beside a process with it open either', async (t) => {
  for (const write of [
    (store: SqliteStore) => new FactStore(store).upsertFact({ targetId: 'a', namespace: 'b', key: 'c', value: 1 }),
    (store: SqliteStore) => new ProjectStore(store).recordProjectRun('/srv/a'),
    (store: SqliteStore) => new RunStore(store).createRun({ id: randomUUID(), planPath: '/srv/plan' }),
  ]) {
    const folder = new TestFolder(t);
    const store = folder.open();
    write(store);
    store.close();
    const service = await serviceOf(t, folder);
    assert.throws(() => openBoth(folder, { busyTimeoutMs: 100 }), { code: 'ERR_STORE_BUSY' });
    assert.equal(await service.ask('write'), 'no error');
    await service.kill();
  }
});

test('a store that has detached its ledger alone lets others in again, and so does one that was refused', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder, { busyTimeoutMs: 100 });
  const other = openBoth(folder);
  assert.throws(() => store.detachLedger(), { code: 'ERR_STORE_BUSY' });
  other.appendAudit({ type: 'service_started' });
  store.appendAudit({ type: 'service_started' });
  other.close();
  store.detachLedger();
  const service = await serviceOf(t, folder);
  assert.equal(await service.ask('write'), 'no error');
  store.appendAudit({ type: 'service_stopped' });
  assert.deepEqual(store.health().findings, []);
  assert.equal(await service.ask('write'), 'no error');
});

test('the commands refuse beside a service and name --force, which does it', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const service = await serviceOf(t, folder, true);
  for (const [command, ...options] of [
    ['migrate', '--to', String(schemaVersion - 1)],
    ['detach-ledger', '--ledger', folder.file('audit.jsonl')],
  ]) {
    const refused = await shepherd([command!, '--db', folder.file(), ...options]);
    assert.match(refused.err, /stop the service first; with force .*ERR_STORE_BUSY/, command);
    assert.notEqual(refused.code, 0);
    assert.equal(await service.ask('write'), 'no error', command);
  }
  const detached = await shepherd([
    'detach-ledger',
    '--db',
    folder.file(),
    '--ledger',
    folder.file('audit.jsonl'),
    '--force',
  ]);
  assert.equal(detached.code, 0, detached.err);
  assert.equal(await service.ask('write'), 'ERR_STORE_CONFLICT');
  assert.equal(Ledger.open(folder.file('audit.jsonl')).refresh().torn, false);
  await service.kill();
  await checkStore(folder.file());
});

test('an identity is not renewed beside a store that is open elsewhere, in a transaction neither', (t) => {
  const folder = new TestFolder(t);
  const [store, other] = [folder.open({ busyTimeoutMs: 100 }), folder.open()];
  const { uuid } = connect(store);
  assert.throws(() => renewIdentity(store), { code: 'ERR_STORE_BUSY', message: /stop the service first/ });
  assert.throws(() => store.transaction(() => renewIdentity(store)), { code: 'ERR_STORE_CONFLICT' });
  assert.equal(other.appendAudit({ type: 'service_started' }).id, 1);
  other.close();
  assert.throws(() => store.transaction(() => renewIdentity(store)), { code: 'ERR_STORE_CONFLICT' });
  assert.equal(renewIdentity(store).from, uuid);
});

for (const [what, act] of [
  ['migrate', ({ path }) => Promise.resolve(SqliteStore.migrate(path, schemaVersion - 1))],
  ['restore', ({ path, source }) => restore(source, path)],
] as [string, (files: { path: string; source: string }) => Promise<unknown>][]) {
  test(`${what} is refused where the database is exchanged before its lock, and touches neither file`, async (t) => {
    const folder = new TestFolder(t);
    const [path, source] = [folder.file(), folder.file('backup.db')];
    const store = SqliteStore.open(path);
    await backup(store, source);
    store.close();
    SqliteStore.open(folder.file('restored.db')).close();
    const { exec } = DatabaseSync.prototype;
    let isExchanged = false;
    t.mock.method(DatabaseSync.prototype, 'exec', function (this: DatabaseSync, sql: string) {
      if (sql === 'PRAGMA locking_mode = EXCLUSIVE' && !isExchanged) {
        isExchanged = true;
        renameSync(path, folder.file('old.db'));
        renameSync(folder.file('restored.db'), path);
      }
      exec.call(this, sql);
    });
    await assert.rejects(async () => act({ path, source }), { code: 'ERR_STORE_BUSY' });
    assert.ok(isExchanged);
    for (const name of ['old.db', 'store.db']) {
      using left = SqliteStore.openReadOnly(folder.file(name));
      assert.equal(left.health().schemaVersion, schemaVersion);
    }
  });
}
