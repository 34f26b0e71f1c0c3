// Jest, Vitest's vmThreads and whatever else runs code by node:vm give it built-ins of its own. Node's modules throw
// errors and read rows in theirs, of which `instanceof` knows nothing.
import assert from 'node:assert/strict';
import { globSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import type { CoreEvent } from '../lib/index.ts';
import { TestFolder } from './support/folder.ts';
import { run } from './support/process.ts';
import { makeSource } from './support/shepherdd.ts';
import { throwing } from './support/values.ts';

/** Runs `code` beside the package in a realm of its own: `load` gives its modules, and `inside` runs a text there. */
function runInside(path: string, code: string): unknown[] {
  const setUp = `
    import { runInContext } from 'node:vm';
    const { Realm } = await import('${new URL('./support/realm.ts', import.meta.url).href}');
    const realm = new Realm();
    const inside = (text) => runInContext(text, realm.context);
    const load = (name) => realm.import(new URL(name, '${new URL('../lib/', import.meta.url).href}'));
    const { SqliteStore: Store, StoreError } = await load('index.ts');
    const codes = async (fn) => {
      try { await fn(); return 'no error'; }
      catch (error) { return error instanceof StoreError ? error.code : String(error); }
    };`;
  return run(path, setUp + code, { nodeOptions: ['--no-warnings', '--experimental-vm-modules'] });
}

test('what the system and SQLite say has its code in another realm', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  assert.deepEqual(runInside(folder.file(), `
    report([
      await codes(() => Store.openReadOnly(path + '.nowhere')),
      await codes(() => Store.open(path + '/below.db')),
      await codes(() => Store.open('/dev/null/store.db')),
    ]);
    const store = Store.open(path, { busyTimeoutMs: 0 });
    const db = new DatabaseSync(path);
    db.exec('BEGIN IMMEDIATE');
    report(await codes(() => store.addUsage('a', '2026-11-21', 1)));
    db.exec("ROLLBACK; INSERT INTO usage VALUES ('a', '2026-11-21', 9007199254740992, 0)");
    report([await codes(() => store.getUsage('a', '2026-11-21')), store.health().lastError.code]);
    db.exec('DELETE FROM usage');`), [
    ['ERR_STORE_NOT_FOUND', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_NOT_FOUND'],
    'ERR_STORE_BUSY',
    ['ERR_STORE_CORRUPT', 'ERR_STORE_CORRUPT'],
  ]);
});

test('an open store is opened a second time in another realm, and both write', (t) => {
  const folder = new TestFolder(t);
  assert.deepEqual(runInside(folder.file(), `
    const first = Store.open(path);
    first.addUsage('a', '2026-11-21', 1);
    const second = Store.open(path);
    second.addUsage('a', '2026-11-21', 2);
    report(first.addUsage('a', '2026-11-21', 4));`), [7]);
});

test('a damaged database is recovered in another realm', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('a', '2026-11-21', 5);
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  truncateSync(folder.file(), 5_000);
  assert.deepEqual(runInside(folder.file(), `
    report(await codes(() => Store.open(path)));
    const store = Store.open(path, { recover: true });
    report([store.recovery.found, store.getUsage('a', '2026-11-21')]);`), ['ERR_STORE_CORRUPT', ['damaged', 5]]);
});

test('keys, BLOBs and signals are what they are in another realm', (t) => {
  const folder = new TestFolder(t);
  using db = new DatabaseSync(folder.file());
  db.exec(`CREATE TABLE audit_log (id INTEGER PRIMARY KEY, timestamp TEXT, event_type TEXT, event_data TEXT);
    CREATE TABLE usage (entry_id TEXT, day TEXT, duration_secs INTEGER, PRIMARY KEY (entry_id, day));
    CREATE TABLE cooldowns (entry_id TEXT PRIMARY KEY, until TEXT);
    CREATE TABLE snapshot (id INTEGER PRIMARY KEY, data TEXT);
    INSERT INTO audit_log VALUES (1, '2026-11-21T09:00:00Z', 'session', x'7b7d')`);
  db.close();
  const source = makeSource(folder);
  assert.deepEqual(runInside(folder.file(), `
    const { Ledger } = await load('ledger/index.ts');
    const { backup } = await load('modules/backup/backup.ts');
    const { importStore } = await load('import/index.ts');
    const { generateKeyPairSync } = await import('node:crypto');
    const { privateKey: signingKey, publicKey } = generateKeyPairSync('ed25519');
    const store = Store.open(path, { ledger: Ledger.open(path + '.jsonl', { signingKey }) });
    store.appendAudit({ type: 'service_started' });
    report((await store.verifyAudit({ publicKey, signal: new AbortController().signal })).ok);
    const reason = new Error('enough');
    report(await store.verifyAudit({ signal: AbortSignal.abort(reason) }).catch((error) => error === reason));
    const copy = await backup(store, path + '.copy', { signal: new AbortController().signal });
    report(copy.head.id === store.auditHead().id);
    store.close();
    const target = path + '.imported.db';
    const { kind, skipped } = await importStore('${source}', target, { signal: new AbortController().signal });
    report([kind, skipped]);`), [true, true, true, ['shepherdd', []]]);
});

/** What an expression gives in a realm of its own. */
function inside<T>(text: string): T {
  return runInContext(`(${text})`, createContext()) as T;
}

test('a store takes Dates, objects and arrays of another realm, and gives them back as its own', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(inside('{ clock: () => new Date(1234), busyTimeoutMs: 10 }'));
  const event = inside<CoreEvent>("{ type: 'launch_denied', entryId: 'a', reasons: ['b', 'c'] }");
  const written = store.appendAudit(event, inside("{ observedAt: new Date(5), tags: ['d'] }"));
  assert.ok(written.timestamp instanceof Date);
  assert.deepEqual(store.getRecentAudits(1, inside('{ since: new Date(0) }')), [{
    id: 1,
    timestamp: new Date(1234),
    event: { entryId: 'a', reasons: ['b', 'c'], type: 'launch_denied' },
    observedAt: new Date(5),
    tags: ['d'],
  }]);
  store.setCooldownUntil('a', inside('new Date(99)'));
  assert.deepEqual(store.getStatus(inside("['a']"), '2026-11-21'), [
    { entryId: 'a', durationMs: 0, cooldownUntil: new Date(99) },
  ]);
  const session = "{ sessionId: 's', entryId: 'a', startedAt: new Date(6), warningsIssued: [60] }";
  store.saveSnapshot(inside(`{ timestamp: new Date(7), activeSession: ${session} }`));
  assert.deepEqual(store.loadSnapshot()?.activeSession, {
    sessionId: 's', entryId: 'a', startedAt: new Date(6), warningsIssued: [60],
  });
});

test('what no event can carry is refused from another realm as well', (t) => {
  const store = new TestFolder(t).open();
  for (const value of ['new Date(5)', 'new Map()', 'new Set()', '/a/', 'new (class A {})()', 'Error()']) {
    const event = inside<CoreEvent>(`{ type: 'x', value: ${value} }`);
    assert.throws(() => store.appendAudit(event), { code: 'ERR_STORE_SERIALIZATION' }, value);
  }
  assert.throws(() => store.transaction(inside('async () => {}')), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  assert.equal(store.auditHead(), undefined);
});

test('a signal of a class of its own aborts, as that of a page in jsdom is one', async (t) => {
  const store = new TestFolder(t).open();
  store.appendAudits(Array.from({ length: 2_000 }, () => ({ event: { type: 'service_started' } as const })));
  class PageSignal extends EventTarget {
    aborted = false;
    readonly reason = new Error('the page was closed');
    throwIfAborted(): void {
      if (this.aborted) throw this.reason;
    }
  }
  const signal = new PageSignal();
  const options = { signal: signal as unknown as AbortSignal, onProgress: () => (signal.aborted = true) };
  await assert.rejects(store.verifyAudit(options), signal.reason);
  const without = { aborted: false, throwIfAborted: () => {} };
  for (const none of [{}, without, new EventTarget(), throwing('aborted'), 5, null]) {
    await assert.rejects(store.verifyAudit({ signal: none as never }), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  }
});

test('lib/ asks by instanceof for nothing but classes of its own', () => {
  const root = fileURLToPath(new URL('../lib/', import.meta.url));
  const texts = globSync('**/*.ts', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8'));
  const own = new Set(texts.flatMap((text) => [...text.matchAll(/\bclass (\w+)/g)].map(([, name]) => name)));
  const asked = texts.flatMap((text) => [...text.matchAll(/\binstanceof (\w+)/g)].map(([, name]) => name));
  assert.ok(asked.includes('StoreError'));
  assert.deepEqual(asked.filter((name) => !own.has(name)), []);
});
