// Restoring: a backup takes the place of a store, which is kept aside; whatever happens on the way, no state is lost.
import assert from 'node:assert/strict';
import {
  chownSync, copyFileSync, cpSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync,
  symlinkSync, truncateSync, writeFileSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { readSnapshotFile } from '../../lib/core/snapshot-file.ts';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { flipBit, modeOf, namesIn, picture } from '../support/files.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { newerSchema } from '../support/foreign.ts';
import { noLinks } from '../support/linkless.ts';
import { Companion, nobody, run } from '../support/process.ts';
import { badCounts, badFunctions, badOptions, badPaths, badTexts, given } from '../support/values.ts';

const day = '2026-11-21';
const module = new URL('../../lib/modules/backup/backup.ts', import.meta.url).href;
const clock = (): Date => new Date('2026-11-21T12:00:00.000Z');
const stamp = '.replaced-2026-11-21T12-00-00.000Z';
const oldState = { timestamp: new Date('2026-11-21T11:00:00Z') };
const newState = { timestamp: new Date('2026-11-21T10:00:00Z') };

/**
 * A store with a backup of yesterday: 1 s of usage in the backup, 3 s in the store, which has a -wal of a killed
 * process.
 */
async function withBackup(
  t: TestContext,
  { checked = true, killed = false, options = {} as OpenOptions } = {},
): Promise<TestFolder> {
  const folder = new TestFolder(t, { checked });
  const store = SqliteStore.open(folder.file(), { clock, ...options });
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', day, 1_000);
  store.saveSnapshot(newState);
  mkdirSync(folder.file('archive'));
  await backup(store, folder.file('archive/backup.db'));
  store.addUsage('minecraft', day, 1_000);
  store.appendAudit({ type: 'service_stopped' });
  store.saveSnapshot(oldState);
  store.close();
  const last = `
    const store = SqliteStore.open(path, { clock: () => new Date('2026-11-21T11:30:00Z') });
    store.appendAudit({ type: 'service_started' });
    store.addUsage('minecraft', '${day}', 1_000);`;
  if (killed) run(folder.file(), `${last} die();`);
  else if (!options.ledger) run(folder.file(), `${last} store.close();`);
  return folder;
}

/** What tells the two apart. */
function told(path: string, options: OpenOptions = {}): object {
  using store = SqliteStore.open(path, { clock, ...options });
  assert.equal(store.recovery, undefined);
  assert.deepEqual(store.health().findings, []);
  return { events: store.auditHead()!.id, usage: store.getUsage('minecraft', day), state: store.loadSnapshot() };
}
const before = { events: 3, usage: 3_000, state: oldState };
const after = { events: 1, usage: 1_000, state: newState };

for (const killed of [false, true]) {
  const replaced = `what it replaces${killed ? ', with the -wal of a killed service,' : ''}`;
  test(`a restored store opens, verifies and is the backup; ${replaced} is kept aside, to be put back`, async (t) => {
    const folder = await withBackup(t, { killed });
    const archive = picture(folder.file('archive'));
    const restored = await restore(folder.file('archive/backup.db'), folder.file(), { clock });
    assert.deepEqual(picture(folder.file('archive')), archive);
    const snapshotPath = folder.file('store.snapshot.json');
    assert.deepEqual(
      { ...restored, head: restored.head!.id },
      {
        path: folder.file(),
        head: 1,
        snapshotPath,
        replaced: 'same-store',
        moved: [`${snapshotPath}${stamp}`, `${folder.file()}${stamp}`],
      },
    );
    assert.deepEqual(namesIn(folder.path), [
      'archive',
      'store.db',
      `store.db${stamp}`,
      'store.snapshot.json',
      `store.snapshot.json${stamp}`,
    ]);
    for (const name of ['store.db', 'store.snapshot.json']) assert.equal(modeOf(folder.file(name)), '600');
    await checkStore(folder.file());
    assert.deepEqual(told(folder.file()), after);

    const undone = await restore(`${folder.file()}${stamp}`, folder.file(), { clock: () => new Date(0) });
    assert.equal(undone.moved.length, 2);
    assert.deepEqual(told(folder.file()), before);
  });
}

test('a backup is restored where there is nothing, also no folder', async (t) => {
  const folder = await withBackup(t);
  const path = folder.file('new/folder/kiosk.db');
  const { replaced, moved } = await restore(folder.file('archive/backup.db'), path, { clock });
  assert.deepEqual([replaced, moved], ['nothing', []]);
  assert.deepEqual(told(path), after);
  for (const [name, mode] of [
    ['new', '700'],
    ['new/folder', '700'],
    ['new/folder/kiosk.db', '600'],
    ['new/folder/kiosk.snapshot.json', '600'],
  ] as const)
    assert.equal(modeOf(folder.file(name)), mode);
});

test('an empty backup replaces a state by none', async (t) => {
  const folder = await withBackup(t);
  const empty = SqliteStore.inMemory();
  await backup(empty, folder.file('archive/empty.db'));
  const restored = await restore(folder.file('archive/empty.db'), folder.file(), { clock });
  assert.deepEqual(Object.keys(restored), ['path', 'replaced', 'moved']);
  assert.equal(restored.replaced, 'other-store');
  const store = folder.open();
  assert.deepEqual([store.recovery, store.loadSnapshot(), store.auditHead()], [undefined, undefined, undefined]);
});

test('a backup of another store is restored, and said to be one', async (t) => {
  const [folder, other] = [await withBackup(t), await withBackup(t)];
  const { replaced } = await restore(other.file('archive/backup.db'), folder.file(), { clock });
  assert.equal(replaced, 'other-store');
  assert.deepEqual(told(folder.file()), after);
});

test('a damaged, an empty and a missing database are replaced, and all of them that is there is kept', async (t) => {
  const harms: Record<string, (path: string) => void> = {
    damaged: (path) => writeFileSync(path, Buffer.alloc(100, 7), { flag: 'r+' }),
    'damaged, without its -wal': (path) => [rmSync(`${path}-wal`), truncateSync(path, 5_000)],
    empty: (path) => truncateSync(path, 0),
    missing: (path) => rmSync(path),
  };
  for (const [name, harm] of Object.entries(harms)) {
    const folder = await withBackup(t, { killed: true });
    harm(folder.file());
    const kept = picture(folder.path);
    const { replaced, moved } = await restore(folder.file('archive/backup.db'), folder.file(), { clock });
    assert.equal(replaced, name.startsWith('damaged') ? 'damaged' : 'nothing');
    assert.deepEqual(
      moved.map((path) => path.slice(folder.path.length + 1)).sort(),
      Object.keys(kept)
        .filter((each) => each.startsWith('store'))
        .map((each) => each + stamp)
        .sort(),
      name,
    );
    const now = picture(folder.path);
    for (const each of Object.keys(kept).filter((key) => key.startsWith('store')))
      assert.equal(now[each + stamp], kept[each], `${name}: ${each}`);
    assert.deepEqual(told(folder.file()), after);
  }
});

test('the end of a -wal that a damaged place hides is kept before the -wal goes', async (t) => {
  const folder = await withBackup(t, { killed: true });
  run(folder.file(), `
    const store = SqliteStore.open(path);
    store.addUsage('a', '2026-11-21', 1);
    store.saveSnapshot({ timestamp: new Date(0) });
    die();`);
  flipBit(folder.file('store.db-wal'), 32 + 24 + 100);
  const wal = readFileSync(folder.file('store.db-wal'));
  const { moved } = await restore(folder.file('archive/backup.db'), folder.file(), { clock });
  assert.deepEqual(readFileSync(folder.file('store.db-wal.behind-2026-11-21T12-00-00.000Z')), wal);
  assert.equal(moved.length, 3);
  assert.deepEqual(told(folder.file()), after);
});

test('a store with a ledger gets what came later back, unless the ledger is moved aside', async (t) => {
  for (const isMoved of [false, true]) {
    const folder = new TestFolder(t);
    const path = folder.file('audit.jsonl');
    const store = SqliteStore.open(folder.file(), { ledger: Ledger.open(path) });
    store.addUsage('minecraft', day, 1_000);
    await backup(store, folder.file('backup.db'));
    store.addUsage('minecraft', day, 1_000);
    store.close();
    await restore(folder.file('backup.db'), folder.file());
    if (isMoved) renameSync(path, `${path}.old`);
    using again = SqliteStore.open(folder.file(), { ledger: Ledger.open(path) });
    assert.equal(again.getUsage('minecraft', day), isMoved ? 1_000 : 2_000);
  }
});

test('the snapshot file is where the store has it', async (t) => {
  const folder = new TestFolder(t);
  const options = { snapshotPath: folder.file('state/kiosk.json') };
  const store = SqliteStore.open(folder.file(), { clock, ...options });
  store.saveSnapshot(newState);
  await backup(store, folder.file('backup.db'));
  store.addUsage('minecraft', day, 1_000);
  store.saveSnapshot(oldState);
  store.close();
  const { moved, snapshotPath } = await restore(folder.file('backup.db'), folder.file(), { clock, ...options });
  assert.deepEqual([snapshotPath, moved[0]], [options.snapshotPath, options.snapshotPath + stamp]);
  using again = SqliteStore.open(folder.file(), options);
  assert.deepEqual([again.recovery, again.loadSnapshot(), again.getUsage('minecraft', day)], [undefined, newState, 0]);
  await assert.rejects(restore(folder.file('backup.db'), folder.file('x.db'), { snapshotPath: folder.file('x.db') }), {
    code: 'ERR_STORE_INVALID_ARGUMENT',
  });
});

test('a store that is open here or elsewhere, busy or idle, is not replaced', async (t) => {
  const folder = await withBackup(t, { checked: false });
  const attempt = async (why: string): Promise<void> => {
    const names = namesIn(folder.path);
    await assert.rejects(
      restore(folder.file('archive/backup.db'), folder.file(), { busyTimeoutMs: 50 }),
      { code: 'ERR_STORE_BUSY' },
      why,
    );
    assert.deepEqual(namesIn(folder.path), names, why);
  };
  const own = SqliteStore.open(folder.file());
  await attempt('open here');
  own.close();
  // By another name of the same file, and opened while the copy was made.
  symlinkSync(folder.path, `${folder.path}-link`);
  t.after(() => rmSync(`${folder.path}-link`));
  const linked = SqliteStore.open(`${folder.path}-link/store.db`);
  await attempt('open here by another path');
  linked.close();
  let late: SqliteStore | undefined;
  await assert.rejects(
    restore(folder.file('archive/backup.db'), folder.file(), {
      onProgress: () => (late ??= SqliteStore.open(folder.file())),
    }),
    { code: 'ERR_STORE_BUSY' },
  );
  late!.close();

  const service = new Companion(t, folder.file(), `
    let store = SqliteStore.open(path);
    for (let word = 'idle'; ; word = await told()) {
      if (word === 'write') store.appendAudit({ type: 'service_started' });
      if (word === 'look') { store.close(); store = SqliteStore.openReadOnly(path); store.auditHead(); }
      if (word === 'close') { store.close(); break; }
      report(word);
    }`);
  assert.equal(await service.next(), 'idle');
  await attempt('idle elsewhere');
  assert.equal(await service.ask('write'), 'write');
  await attempt('after a write elsewhere');
  writeFileSync(folder.file(), Buffer.alloc(100, 7), { flag: 'r+' });
  await attempt('damaged and open elsewhere');
});

test('a service that waits for a store while it is replaced does not go on with the file moved aside', async (t) => {
  const folder = await withBackup(t);
  rmSync(folder.file('store.snapshot.json')); // with it, it would wait while it only looks
  const held = new DatabaseSync(folder.file());
  held.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT');
  const service = new Companion(t, folder.file(), `
    report('trying');
    report(codeOf(() => {
      using store = SqliteStore.open(path, { busyTimeoutMs: 60_000 });
      store.addUsage('waited', '2026-11-21', 5);
    }));`);
  assert.equal(await service.next(), 'trying');
  // It has looked at the file and waits for its lock once it holds a descriptor of it.
  const isOpened = (): boolean => run(folder.file(), `
    const others = fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && name !== '${process.pid}');
    report(others.some((pid) => {
      try {
        const descriptors = '/proc/' + pid + '/fd/';
        return fs.readdirSync(descriptors).some((fd) => fs.readlinkSync(descriptors + fd) === path);
      } catch {
        return false;
      }
    }));`)[0] as boolean;
  while (!isOpened());
  linkSync(folder.file(), folder.file('aside.db'));
  copyFileSync(folder.file('archive/backup.db'), folder.file('temporary'));
  renameSync(folder.file('temporary'), folder.file());
  held.close();
  assert.equal(await service.next(), 'no error');
  await service.end();
  rmSync(folder.file('aside.db'));
  assert.equal(folder.open().getUsage('waited', '2026-11-21'), 5);
});

test('a backup that is not whole is refused, and nothing has changed', async (t) => {
  const harms: [string, string, (path: string) => void][] = [
    ['missing', 'ERR_STORE_NOT_FOUND', (path) => rmSync(path)],
    ['empty', 'ERR_STORE_NOT_A_STORE', (path) => truncateSync(path, 0)],
    ['a text', 'ERR_STORE_NOT_A_STORE', (path) => writeFileSync(path, 'garbage'.repeat(3_000))],
    ['half of it', 'ERR_STORE_CORRUPT', (path) => truncateSync(path, statSync(path).size / 2)],
    [
      'a damaged page',
      'ERR_STORE_CORRUPT',
      (path) => writeFileSync(path, readFileSync(path).fill(0xff, 40 * 4096, 41 * 4096)),
    ],
    [
      "another program's",
      'ERR_STORE_NOT_A_STORE',
      (path) => {
        rmSync(path);
        using db = new DatabaseSync(path);
        db.exec('CREATE TABLE notes (a)');
      },
    ],
    [
      'a changed row',
      'ERR_STORE_CORRUPT',
      (path) => {
        using db = new DatabaseSync(path);
        db.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '[]'");
      },
    ],
    [
      'a newer schema',
      'ERR_STORE_SCHEMA_TOO_NEW',
      (path) => {
        using db = new DatabaseSync(path);
        db.exec(newerSchema(schemaVersion + 1));
      },
    ],
    ['a torn snapshot file', 'ERR_STORE_CORRUPT', (path) => truncateSync(path.replace('.db', '.snapshot.json'), 100)],
    [
      'a snapshot file of a later time',
      'ERR_STORE_CORRUPT',
      (path) =>
        copyFileSync(path.replace('archive/backup.db', 'store.snapshot.json'), path.replace('.db', '.snapshot.json')),
    ],
  ];
  for (const [name, code, harm] of harms) {
    const folder = await withBackup(t);
    harm(folder.file('archive/backup.db'));
    const kept = picture(folder.path);
    await assert.rejects(restore(folder.file('archive/backup.db'), folder.file(), { clock }), { code }, name);
    assert.deepEqual(picture(folder.path), kept, name);
  }
  const [folder, other] = [await withBackup(t), await withBackup(t)];
  copyFileSync(other.file('archive/backup.snapshot.json'), folder.file('archive/backup.snapshot.json'));
  await assert.rejects(restore(folder.file('archive/backup.db'), folder.file()), { code: 'ERR_STORE_CONFLICT' });
});

test('what is not known to be a store stays where it is', async (t) => {
  const harms: [string, string, (path: string) => void][] = [
    [
      "another program's",
      'ERR_STORE_NOT_A_STORE',
      (path) => {
        using db = new DatabaseSync(path);
        db.exec('CREATE TABLE notes (a)');
      },
    ],
    ['a text', 'ERR_STORE_NOT_A_STORE', (path) => writeFileSync(path, 'garbage'.repeat(3_000))],
    ['a folder', 'ERR_STORE_NOT_A_STORE', (path) => mkdirSync(path)],
    ['a symbolic link', 'ERR_STORE_PERMISSION', (path) => symlinkSync(`${path}-elsewhere`, path)],
  ];
  for (const [name, code, make] of harms) {
    const folder = await withBackup(t);
    mkdirSync(folder.file('place'));
    make(folder.file('place/x.db'));
    const kept = picture(folder.path);
    await assert.rejects(restore(folder.file('archive/backup.db'), folder.file('place/x.db')), { code }, name);
    assert.deepEqual(picture(folder.path), kept, name);
  }
  const folder = await withBackup(t);
  await assert.rejects(restore(folder.file('archive/backup.db'), folder.file('archive/backup.db')), {
    code: 'ERR_STORE_INVALID_ARGUMENT',
  });
  linkSync(folder.file('archive/backup.db'), folder.file('same.db'));
  await assert.rejects(restore(folder.file('archive/backup.db'), folder.file('same.db')), {
    code: 'ERR_STORE_INVALID_ARGUMENT',
  });
});

test('a backup of an older schema is restored, and migrated when it is opened', async (t) => {
  const folder = await withBackup(t);
  for (let version = 3; version >= 1; version--) {
    SqliteStore.migrate(folder.file('archive/backup.db'), version);
    const restored = await restore(folder.file('archive/backup.db'), folder.file(`of-version-${version}.db`));
    assert.equal(restored.head!.id, 1);
    assert.deepEqual(told(restored.path), after);
  }
  SqliteStore.migrate(folder.file('archive/backup.db'), 0, { force: true });
  await assert.rejects(restore(folder.file('archive/backup.db'), folder.file('of-version-0.db')), {
    code: 'ERR_STORE_SCHEMA_TOO_OLD',
  });
});

test('an aborted restore rejects with the reason and changes nothing', async (t) => {
  const folder = await withBackup(t);
  const kept = picture(folder.path);
  const reason = new Error('enough');
  await assert.rejects(
    restore(folder.file('archive/backup.db'), folder.file(), { signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  );
  const controller = new AbortController();
  const onProgress = (): void => controller.abort(reason);
  await assert.rejects(
    restore(folder.file('archive/backup.db'), folder.file(), { signal: controller.signal, onProgress }),
    (error) => error === reason,
  );
  assert.deepEqual(picture(folder.path), kept);
});

test('what root restores is the service\'s own', async (t) => {
  const folder = await withBackup(t, { checked: false });
  if (process.getuid?.() !== 0) return;
  for (const name of ['', 'store.db', 'store.snapshot.json']) chownSync(folder.file(name), nobody, nobody);
  await restore(folder.file('archive/backup.db'), folder.file(), { clock });
  await restore(folder.file('archive/backup.db'), folder.file('another.db'), { clock });
  const code = `
    const stores = [path, path.replace('store.db', 'another.db')].map((name) => SqliteStore.open(name));
    report(stores.map((store) => {
      store.appendAudit({ type: 'service_started' });
      return store.health().findings;
    }));`;
  assert.deepEqual(run(folder.file(), code, { uid: nobody }), [[[], []]]);
});

/** Counts the changes that restoring makes to the folder, and at one of them does something else. */
const steps = (at: number, instead: string, before = ''): string => `
  ${before}
  const { syncBuiltinESMExports } = await import('node:module');
  let count = 0;
  for (const name of ['linkSync', 'renameSync', 'rmSync', 'fsyncSync']) {
    const original = fs[name];
    fs[name] = (...args) => {
      if (++count === ${at}) ${instead};
      return original(...args);
    };
  }
  syncBuiltinESMExports();
  const { restore } = await import('${module}');
  const outcome = await restore(path.replace('store.db', 'archive/backup.db'), path)
    .then(() => 'restored', (error) => error.code);
  report(count < ${at} ? outcome : 'met');`;

const fail = "throw Object.assign(new Error('no'), { code: 'EIO', syscall: name })";

for (const [how, instead, setting] of [
  ['killed', 'die()', ''],
  ['stopped by an error', fail, ''],
  ['killed, without hard links,', 'die()', noLinks],
] as const) {
  test(`a restore that is ${how} at any step leaves the old store or the new one, whole`, async (t) => {
    const template = await withBackup(t, { killed: true });
    const seen = new Set<unknown>();
    let step = 1;
    for (let isOver = false; !isOver; step++) {
      const folder = new TestFolder(t);
      cpSync(template.path, folder.path, { recursive: true });
      isOver = run(folder.file(), steps(step, instead, setting))[0] === 'restored';
      const found = told(folder.file());
      const isNew = 'usage' in found && found.usage === 1_000;
      assert.deepEqual(found, isNew ? after : before, `step ${step}`);
      seen.add(isNew);
      // Nothing of the old store is gone with the new one in its place.
      const aside = namesIn(folder.path).find((name) => name.startsWith('store.db.replaced-'));
      if (isNew)
        assert.partialDeepStrictEqual(await asideOf(folder, aside!), { events: 3, usage: 3_000 }, `step ${step}`);
    }
    t.diagnostic(`${step - 1} steps`);
    assert.deepEqual([...seen], [false, true]);
  });
}

async function asideOf(folder: TestFolder, name: string): Promise<object> {
  await restore(folder.file(name), folder.file('undone.db'));
  return told(folder.file('undone.db'));
}

test('a restore over a damaged store, killed anywhere, leaves it refused but recoverable, or the new '
  + 'one', async (t) => {
  const template = await withBackup(t, { checked: false, killed: true });
  writeFileSync(template.file(), Buffer.alloc(4096, 7), { flag: 'r+' });
  const seen = new Set<string>();
  for (let step = 1, isOver = false; !isOver; step++) {
    const folder = new TestFolder(t, { checked: false });
    cpSync(template.path, folder.path, { recursive: true });
    isOver = run(folder.file(), steps(step, 'die()'))[0] === 'restored';
    const code = codeOf(() => SqliteStore.open(folder.file()).close());
    seen.add(code);
    using store = SqliteStore.open(folder.file(), { recover: code !== 'none' });
    // The identity and the limits of the last snapshot survive, whichever way it went.
    assert.ok(store.getUsage('minecraft', day) >= (code === 'none' ? 1_000 : 2_000), `step ${step}: ${code}`);
    assert.ok(store.loadSnapshot(), `step ${step}`);
    const file = readSnapshotFile(folder.file('store.snapshot.json'));
    assert.ok(file.state === 'whole' && existsSync(folder.file()));
  }
  assert.deepEqual([...seen].sort(), ['ERR_STORE_CORRUPT', 'none']);
});

function codeOf(fn: () => unknown): string {
  try {
    fn();
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('restore refuses every bad value of every argument, and makes nothing', async (t) => {
  const folder = await withBackup(t);
  const kept = picture(folder.path);
  const from = folder.file('archive/backup.db');
  const refused = async (promise: Promise<unknown>, what: string): Promise<void> =>
    assert.rejects(promise, { code: 'ERR_STORE_INVALID_ARGUMENT' }, what);
  for (const [name, bad] of badPaths) {
    await refused(restore(bad as never, folder.file()), name);
    await refused(restore(from, bad as never), name);
  }
  for (const [name, bad] of badOptions) await refused(restore(from, folder.file(), bad as never), name);
  for (const bad of [{ recover: true }, { ledger: undefined }, { signal: {} }])
    await refused(restore(from, folder.file(), bad as never), Object.keys(bad)[0]!);
  for (const [option, table] of [
    ['onProgress', badFunctions],
    ['clock', badFunctions],
    ['busyTimeoutMs', given(badCounts)],
    ['snapshotPath', given(badTexts)],
  ] as const) {
    for (const [name, bad] of table)
      await refused(restore(from, folder.file(), { [option]: bad }), `${option}: ${name}`);
  }
  assert.deepEqual(picture(folder.path), kept);
});
