// Where a user's own store lies, by the XDG base directory specification, and who may look into it.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { defaultPath } from '../lib/index.ts';
import { modeOf } from './support/files.ts';
import { TestFolder } from './support/folder.ts';
import { run } from './support/process.ts';
import { badTexts } from './support/values.ts';

/** Sets a variable of the environment, or takes it away, until the test ends. */
function setEnvironment(t: TestContext, name: string, value: string | undefined): void {
  const before = process.env[name];
  const set = (to: string | undefined): void => {
    if (to === undefined) delete process.env[name];
    else process.env[name] = to;
  };
  set(value);
  t.after(() => set(before));
}

test('the file is below $XDG_DATA_HOME where that is an absolute path, else below ~/.local/share', (t) => {
  setEnvironment(t, 'HOME', '/home/kiosk');
  const below = (dataHome: string | undefined): string => {
    setEnvironment(t, 'XDG_DATA_HOME', dataHome);
    return defaultPath('nightly');
  };
  assert.equal(below('/data'), '/data/nightly/nightly.db');
  assert.equal(below('/data//x/../'), '/data/nightly/nightly.db');
  for (const ignored of [undefined, '', '.', 'data', './data', '../data', '~/data', ' /data'])
    assert.equal(below(ignored), '/home/kiosk/.local/share/nightly/nightly.db', ignored);
  setEnvironment(t, 'HOME', undefined);
  assert.equal(defaultPath('a.b'), join(homedir(), '.local/share/a.b/a.b.db'));
});

test('a home folder that is no absolute path is an error, and no folder below the working one', (t) => {
  setEnvironment(t, 'XDG_DATA_HOME', undefined);
  for (const home of ['home', '.', '~']) {
    setEnvironment(t, 'HOME', home);
    assert.throws(() => defaultPath('nightly'), { code: 'ERR_STORE_INVALID_ARGUMENT' }, home);
  }
});

test('a name that is not that of one folder is refused', () => {
  for (const name of [
    ...badTexts.map(([, value]) => value),
    '.',
    '..',
    '../a',
    'a/b',
    '/a',
    'a/',
    'a\\b',
    'a..b',
    'a/../b',
  ]) {
    assert.throws(() => defaultPath(name as string), { code: 'ERR_STORE_INVALID_ARGUMENT' }, String(name));
  }
});

test('a store at the default path has private folders and files under any umask, while it is open too', (t) => {
  const folder = new TestFolder(t, { checked: false });
  for (const umask of [0o000, 0o022, 0o077, 0o277, 0o777]) {
    const dataHome = folder.file(`umask-${umask.toString(8)}/share`);
    const code = `
      const { defaultPath } = await import(${JSON.stringify(new URL('../lib/index.ts', import.meta.url).href)});
      process.env.XDG_DATA_HOME = path;
      const store = SqliteStore.open(defaultPath('nightly'));
      store.saveSnapshot({ timestamp: new Date() });
      const file = defaultPath('nightly');
      const modeOf = (name) => (fs.statSync(name).mode & 0o7777).toString(8);
      report([file.slice(0, file.lastIndexOf('/')), path, path.slice(0, path.lastIndexOf('/'))].map(modeOf));
      report(fs.readdirSync(path + '/nightly').map((name) => name + ' ' + modeOf(path + '/nightly/' + name)));
      store.close();`;
    assert.deepEqual(
      run(dataHome, code, { umask }),
      [
        ['700', '700', '700'],
        ['nightly.db 600', 'nightly.db-shm 600', 'nightly.db-wal 600', 'nightly.snapshot.json 600'],
      ],
      umask.toString(8),
    );
  }
});

test('folders that are there keep their modes', (t) => {
  const folder = new TestFolder(t, { checked: false });
  for (const mode of [0o755, 0o750, 0o777, 0o1777]) {
    const dataHome = folder.file(mode.toString(8));
    mkdirSync(join(dataHome, 'nightly'), { recursive: true });
    for (const path of [dataHome, join(dataHome, 'nightly')]) chmodSync(path, mode);
    const code = `
      const { defaultPath } = await import(${JSON.stringify(new URL('../lib/index.ts', import.meta.url).href)});
      process.env.XDG_DATA_HOME = path;
      SqliteStore.open(defaultPath('nightly')).close();`;
    run(dataHome, code, { umask: 0 });
    assert.deepEqual([dataHome, join(dataHome, 'nightly'), join(dataHome, 'nightly/nightly.db')].map(modeOf), [
      mode.toString(8),
      mode.toString(8),
      '600',
    ]);
  }
});
