// A ledger that may not be written is refused when the store is opened, with its path, and before anything is made or
// changed.
import assert from 'node:assert/strict';
import * as system from 'node:fs';
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { filesWith, ledgerIn, openBoth, systemError } from '../support/ledger.ts';
import { nobody, run } from '../support/process.ts';

const ledgerModule = new URL('../../lib/ledger/index.ts', import.meta.url).href;

for (const [refusal, code] of [
  ['EACCES', 'ERR_STORE_PERMISSION'],
  ['EPERM', 'ERR_STORE_PERMISSION'],
  ['EROFS', 'ERR_STORE_READ_ONLY'],
] as const) {
  test(`a ledger that the system does not open to be written (${refusal}) is refused: ${code}`, async (t) => {
    const folder = new TestFolder(t);
    const store = openBoth(folder);
    store.addUsage('a', '2026-11-21', 5);
    store.close();
    const before = picture(folder.path);
    const openSync = ((path: string, flags: number, mode?: number) => {
      if ((flags & system.constants.O_RDWR) !== 0) throw systemError(refusal, 'open');
      return system.openSync(path, flags, mode);
    }) as typeof system.openSync;
    const ledger = ledgerIn(folder, { files: filesWith({ openSync }) });
    assert.deepEqual([ledger.length, (await ledger.verify()).ok], [2, true]);
    for (const recover of [false, true]) {
      assert.throws(() => folder.open({ ledger, recover }), { code, message: new RegExp(ledger.path) });
      // Not even a new store beside it is made.
      assert.throws(() => SqliteStore.open(folder.file('new/store.db'), { ledger, recover }), { code });
    }
    assert.deepEqual(picture(folder.path), before);
  });
}

test("somebody else's ledger, and a folder in which none can be made, are refused to who may not write there", (t) => {
  const folder = new TestFolder(t);
  openBoth(folder).close();
  chmodSync(folder.file('audit.jsonl'), 0o444);
  mkdirSync(folder.file('logs'), { mode: 0o555 });
  chmodSync(folder.file('logs'), 0o555);
  if (process.getuid?.() === 0) for (const file of [folder.path, folder.file()]) chownSync(file, nobody, nobody);
  const before = readFileSync(folder.file());
  const codes = run(folder.file(), `
    const { Ledger } = await import('${ledgerModule}');
    const open = (at, name) => codeOf(() => {
      SqliteStore.open(at, { ledger: Ledger.open(path.replace('store.db', name)) });
    });
    report(open(path, 'audit.jsonl'));
    report(open(path + '-new', 'logs/audit.jsonl'));
    report(open(path + '-new', 'logs/deeper/audit.jsonl'));`, { uid: nobody });
  assert.deepEqual(codes, Array(3).fill('ERR_STORE_PERMISSION'));
  assert.deepEqual(readFileSync(folder.file()), before);
  assert.deepEqual(namesIn(folder.path), ['audit.jsonl', 'logs', 'store.db']);
});

test('a ledger on a file system that is mounted read-only is refused as that', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('logs/audit.jsonl');
  folder.open({ ledger: Ledger.open(path) }).close();
  const codes = run(folder.file(), `
    const { Ledger } = await import('${ledgerModule}');
    const { execFileSync } = await import('node:child_process');
    const folder = path.replace('store.db', 'logs');
    execFileSync('mount', ['--bind', folder, folder]);
    execFileSync('mount', ['-o', 'remount,bind,ro', folder]);
    for (const name of ['audit.jsonl', 'new.jsonl']) {
      report(codeOf(() => SqliteStore.open(path, { ledger: Ledger.open(folder + '/' + name) })));
    }`, { unshared: true });
  assert.deepEqual(codes, Array(2).fill('ERR_STORE_READ_ONLY'));
});
