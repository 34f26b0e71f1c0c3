// The diagnostics channel `shepherd-store:write`: each outermost write, once, when it has ended.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { type EndedWrite, SqliteStore, type StoreError } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { sources } from '../support/imports.ts';
import { root } from '../support/project.ts';

const day = '2026-11-21';

/** What is published from now on to the end of the test. */
function listen(t: TestContext, alsoDo: (ended: EndedWrite) => void = () => {}): EndedWrite[] {
  const heard: EndedWrite[] = [];
  const listener = (message: unknown): void => {
    heard.push(message as EndedWrite);
    alsoDo(message as EndedWrite);
  };
  subscribe('shepherd-store:write', listener);
  t.after(() => unsubscribe('shepherd-store:write', listener));
  return heard;
}

const operations = (heard: readonly EndedWrite[]): string[] => heard.map(({ operation }) => operation);

test('each write is published once, by the public name of what wrote', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const heard = listen(t);
  store.addUsage('minecraft', day, 1_000);
  store.appendAudit({ type: 'service_started' });
  store.appendAudits([{ event: { type: 'service_started' } }]);
  store.setCooldownUntil('minecraft', new Date());
  store.clearCooldown('minecraft');
  store.saveSnapshot({ timestamp: new Date() });
  store.grantTime({ subject: 'minecraft', day, durationMs: 1 });
  store.setAvailability({ subject: 'minecraft', day, availability: 'denied' });
  store.adjustBalance({ subject: 'minecraft', durationMs: 1 });
  store.correctUsage({ entryId: 'minecraft', day, durationMs: 1, reason: 'a test' });
  new SessionTracker(store).start({ entryId: 'minecraft' });
  new FactStore(store).upsertFact({ targetId: 'a', namespace: 'b', key: 'c', value: 1 });
  store.getUsage('minecraft', day);
  store.health();
  assert.deepEqual(operations(heard), [
    'addUsage', 'appendAudit', 'appendAudits', 'setCooldownUntil', 'clearCooldown', 'saveSnapshot', 'grantTime',
    'setAvailability', 'adjustBalance', 'correctUsage', 'SessionTracker.start', 'FactStore.upsertFact',
  ]);
  for (const { path, durationMs, waitedMs, ...rest } of heard) {
    assert.equal(path, folder.file());
    assert.ok(durationMs > 0 && durationMs < 10_000, String(durationMs));
    assert.equal(waitedMs, 0);
    assert.deepEqual(Object.keys(rest), ['operation']);
  }
});

test('a transaction is one write, whatever nests in it, and one that fails is published with what it threw', (t) => {
  using store = SqliteStore.inMemory();
  const heard = listen(t);
  store.transaction(() => {
    store.addUsage('minecraft', day, 1_000);
    store.transaction(() => store.addUsage('tuxmath', day, 1_000));
    assert.deepEqual(heard, []);
  });
  const thrown = { thrown: 'by the caller' };
  assert.throws(() => store.transaction(() => {
    store.addUsage('minecraft', day, 1_000);
    throw thrown;
  }), (error) => error === thrown);
  const [{ error: none, ...done }, { error }] = heard as [EndedWrite, EndedWrite];
  assert.deepEqual([done.operation, done.path, none], ['transaction', ':memory:', undefined]);
  assert.equal(error, thrown);
  assert.equal(heard.length, 2);
});

test('what is refused before it begins is no write', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const heard = listen(t);
  assert.throws(() => store.addUsage('', day, 1), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  store.close();
  assert.throws(() => store.addUsage('minecraft', day, 1), { code: 'ERR_STORE_CLOSED' });
  using reading = SqliteStore.openReadOnly(folder.file());
  assert.throws(() => reading.addUsage('minecraft', day, 1), { code: 'ERR_STORE_READ_ONLY' });
  assert.deepEqual(heard, []);
});

test('a subscriber may write, and may close the store, and finds what was written', (t) => {
  const store = new TestFolder(t).open();
  const totals: number[] = [];
  const heard = listen(t, ({ operation }) => {
    if (operation !== 'addUsage') return;
    totals.push(store.getUsage('minecraft', day));
    store.appendAudit({ type: 'service_started' });
    store.close();
  });
  assert.equal(store.addUsage('minecraft', day, 1_000), 1_000);
  assert.deepEqual([totals, operations(heard)], [[1_000], ['addUsage', 'appendAudit']]);
});

test('what a subscriber throws does not reach who wrote', async (t) => {
  const store = new TestFolder(t).open();
  const error = new Error('of the subscriber');
  const thrown = new Promise<unknown>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  listen(t, () => {
    throw error;
  });
  assert.equal(store.addUsage('minecraft', day, 1_000), 1_000);
  assert.equal(await thrown, error);
});

test('it says how long a write waited for another process, as long as one without a subscriber does', async (t) => {
  const folder = new TestFolder(t);
  const patient = folder.open();
  const impatient = folder.open({ busyTimeoutMs: 200 });
  const never = folder.open({ busyTimeoutMs: 0 });
  const heard = listen(t);
  const other = new Worker(t, 'store', ['hold', folder.file()]);
  await other.told(1);
  for (const store of [impatient, impatient, never]) {
    assert.throws(() => store.addUsage('minecraft', day, 1_000), { code: 'ERR_STORE_BUSY' });
    assert.equal((heard.at(-1)!.error as StoreError).code, 'ERR_STORE_BUSY');
  }
  for (const failed of heard.slice(0, 2)) {
    assert.ok(failed.waitedMs >= 150 && failed.waitedMs <= failed.durationMs, JSON.stringify(failed));
  }
  assert.equal(heard[2]!.waitedMs, 0);
  // The other process gives the lock back once this one has found it taken.
  const { exec } = DatabaseSync.prototype;
  t.mock.method(DatabaseSync.prototype, 'exec', function (this: DatabaseSync, sql: string) {
    exec.call(this, sql);
    if (sql === 'PRAGMA busy_timeout = 5000') other.go();
  });
  assert.equal(patient.addUsage('minecraft', day, 1_000), 1_000);
  t.mock.restoreAll();
  const { waitedMs, durationMs } = heard[3]!;
  assert.ok(waitedMs > 0 && waitedMs <= durationMs, `${waitedMs} of ${durationMs}`);
  await other.result();
  for (const store of [patient, impatient, never]) {
    store.addUsage('minecraft', day, 1_000);
    assert.equal(heard.at(-1)!.waitedMs, 0);
  }
});

test('what asks for its turn again and again has waited as well: an open that attaches a ledger', (t) => {
  const folder = new TestFolder(t);
  folder.open({ ledger: Ledger.open(folder.file('store.jsonl')) }).close();
  const heard = listen(t);
  const { run } = StatementSync.prototype;
  let refusals = 3;
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: Parameters<typeof run>) {
    if (this.sourceSQL !== 'BEGIN IMMEDIATE' || refusals-- <= 0) return run.apply(this, values);
    throw Object.assign(new Error('database is locked'), { code: 'ERR_SQLITE_ERROR', errcode: 5 });
  });
  folder.open({ ledger: Ledger.open(folder.file('store.jsonl')) });
  const [attached] = heard as [EndedWrite];
  assert.deepEqual([operations(heard), refusals < 0], [['open'], true]);
  assert.ok(attached.waitedMs >= 1 && attached.waitedMs < attached.durationMs, JSON.stringify(attached));
});

test('what an open repairs is published, and so is each step of a long operation', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('minecraft', day, 1_000);
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  folder.raw().exec('DELETE FROM usage; DELETE FROM snapshot');
  const heard = listen(t);
  let laterMs = 0;
  const healed = folder.open({ clock: () => new Date(Date.now() + laterMs) });
  assert.equal(healed.recovery?.restored.usage, 1);
  assert.deepEqual(new Set(operations(heard)), new Set(['open']));
  heard.length = 0;
  laterMs = 10 * 86_400_000;
  await archiveAudits(healed, { folder: folder.file('archives'), upTo: { id: healed.auditHead()!.id } });
  assert.ok(heard.length >= 2, String(heard.length));
  assert.deepEqual(new Set(operations(heard)), new Set(['archiveAudits']));
});

test('a COMMIT that fails is published when it is undone, and a write that could not begin as well', (t) => {
  const store = new TestFolder(t).open();
  const { run } = StatementSync.prototype;
  let failing: string | undefined = 'COMMIT';
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: Parameters<typeof run>) {
    if (this.sourceSQL !== failing) return run.apply(this, values);
    throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 });
  });
  const totals: number[] = [];
  const heard = listen(t, () => totals.push(store.getUsage('minecraft', day)));
  assert.throws(() => store.addUsage('minecraft', day, 1_000), { code: 'ERR_STORE_DISK_FULL' });
  failing = 'BEGIN IMMEDIATE';
  assert.throws(() => store.addUsage('minecraft', day, 1_000), { code: 'ERR_STORE_DISK_FULL' });
  failing = undefined;
  store.addUsage('minecraft', day, 1_000);
  assert.deepEqual(heard.map(({ error }) => (error as StoreError | undefined)?.code), [
    'ERR_STORE_DISK_FULL', 'ERR_STORE_DISK_FULL', undefined,
  ]);
  assert.deepEqual(totals, [0, 0, 1_000]);
});

test('no operation has a name with anything in it that it was called with', () => {
  const names = sources.flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    const own = path.endsWith('/runs.ts') ? '|this' : ''; // its `#write` passes the name on
    const callers = `(?:onnection|door|connect\\(store\\)${own})`;
    const calls = text.matchAll(new RegExp(`${callers}\\.#?write(?:AtOnce)?\\(([^,]*), `, 'g'));
    const turns = text.matchAll(/writeInTurn(?:Sync)?\((?:this\.#|[a-z.]*)connection, ([^,]*), /g);
    return [...calls, ...turns].map(([, name = '']) => name);
  });
  assert.ok(names.length > 50, String(names.length));
  const isFixed = (name: string): boolean => /^('[A-Za-z.]+'|operation)$/.test(name);
  assert.deepEqual(names.filter((name) => !isFixed(name)), []);
});
