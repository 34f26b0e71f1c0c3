// Relative paths lead from the working folder, which may have been deleted under a service.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { TestFolder } from '../support/folder.ts';
import { run } from '../support/process.ts';

const lib = new URL('../../lib/', import.meta.url).href;

test('a relative path in a working folder that was deleted is ERR_STORE_NOT_FOUND, wherever a path is taken', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  mkdirSync(folder.file('gone'));
  const codes = run(folder.file(), `
    const { Ledger, rebuildLedger, rebuildDatabase } = await import('${lib}ledger/index.ts');
    const { backup, restore } = await import('${lib}modules/backup/backup.ts');
    const { ProjectStore } = await import('${lib}modules/projects/projects.ts');
    const { importStore } = await import('${lib}import/index.ts');
    const codeOfAsync = async (fn) => {
      try { await fn(); return 'no error'; } catch ({ name, code }) { return name + ' ' + code; }
    };
    const store = SqliteStore.open(path);
    const gone = path.replace('store.db', 'gone');
    process.chdir(gone);
    fs.rmdirSync(gone); // Node remembers where it is once process.cwd() was called
    for (const fn of [
      () => SqliteStore.open('a.db'), () => SqliteStore.openReadOnly('a.db'), () => SqliteStore.migrate('a.db', 1),
      () => SqliteStore.open(path, { snapshotPath: 'a.json' }), () => Ledger.open('a.jsonl'),
      () => backup(store, 'a.db'), () => restore('a.db', path), () => restore(path, 'a.db'),
      () => rebuildLedger(store, 'a.jsonl'),
      () => rebuildDatabase(Ledger.open(path + '.jsonl'), 'a.db'),
      () => importStore('a.db', path), () => importStore(path, 'a.db'),
      () => new ProjectStore(store).getProject('project'),
    ]) report(await codeOfAsync(fn));
    report(store.addUsage('a', '2026-11-21', 1));
    SqliteStore.open(path).close();`);
  assert.deepEqual(codes, [...Array.from({ length: 13 }, () => 'StoreError ERR_STORE_NOT_FOUND'), 1]);
});

test('what needs no working folder works without one, and no command shows an error of Node\'s own', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.close();
  mkdirSync(folder.file('gone'));
  const said = run(folder.file(), `
    const { shepherd } = await import('${new URL('../support/command.ts', import.meta.url).href}');
    const { backup } = await import('${lib}modules/backup/backup.ts');
    const call = async (...argv) => {
      const { code, out, err } = await shepherd(argv).catch((error) => ({ code: String(error) }));
      report([code, err]);
      return out;
    };
    const codeOfAsync = async (fn) => {
      try { await fn(); return 'no error'; } catch ({ code, message }) { return [code, message]; }
    };
    const gone = path.replace('store.db', 'gone');
    process.chdir(gone);
    fs.rmdirSync(gone);
    for (const name of ['status', 'audit', 'anchor']) await call(name, path);
    await call('verify', '--quick', path);
    report((await call('demo', path.replace('store.db', 'demo')))?.includes('Look into it'));
    await call('verify', path);
    await call('rebuild-ledger', '--db', path, '--ledger', 'a.jsonl');
    const store = SqliteStore.open(path);
    report(await codeOfAsync(() => backup(store, path + '.copy')));
    store.close();
    report(fs.readdirSync(path.replace('store.db', '')).filter((name) => /copy|tmp/.test(name)));`);
  const well = [0, ''];
  const missing = 'the working folder has been deleted';
  const noThread = `failed to check the pages: ${missing}, and Node starts no thread there`;
  assert.deepEqual(said, [
    well, well, well, well, well, true,
    [2, `shepherd-store: ${noThread} (ERR_STORE_NOT_FOUND)\n`],
    [2, `shepherd-store: failed to find "a.jsonl": ${missing} (ERR_STORE_NOT_FOUND)\n`],
    ['ERR_STORE_NOT_FOUND', noThread],
    [],
  ]);
});
