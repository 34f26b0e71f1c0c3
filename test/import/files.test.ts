// The files of an import: which are taken, that the source stays what it is, and all or nothing whatever happens.
import assert from 'node:assert/strict';
import {
  chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { main } from '../../lib/cli/program.ts';
import { importStore } from '../../lib/import/index.ts';
import { SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';
import { abortAt, importModule, runModule as run, runService, timeless } from '../support/import.ts';
import { addEvents, dump, filesOf, makeSource } from '../support/shepherdd.ts';
import { badOptions, badTexts } from '../support/values.ts';

const refused: [what: string, code: string, make: (folder: TestFolder) => string][] = [
  ['a file that is not there', 'ERR_STORE_NOT_FOUND', (folder) => folder.file('none.db')],
  ['a folder', 'ERR_STORE_NOT_A_STORE', (folder) => folder.path],
  ['an empty file', 'ERR_STORE_NOT_A_STORE', (folder) => made(folder, '')],
  ['a text', 'ERR_STORE_NOT_A_STORE', (folder) => made(folder, 'x'.repeat(5000))],
  ["another program's database", 'ERR_STORE_NOT_A_STORE', (folder) => makeSource(folder, 'DROP TABLE snapshot')],
  [
    'a database with other columns',
    'ERR_STORE_NOT_A_STORE',
    (folder) => makeSource(folder, 'ALTER TABLE usage RENAME COLUMN duration_secs TO minutes'),
  ],
  [
    'a store of this package',
    'ERR_STORE_INVALID_ARGUMENT',
    (folder) => {
      SqliteStore.open(folder.file('own.db')).close();
      return folder.file('own.db');
    },
  ],
  [
    'the four tables that open adopts',
    'ERR_STORE_INVALID_ARGUMENT',
    (folder) => {
      SqliteStore.open(folder.file('four.db')).close();
      SqliteStore.migrate(folder.file('four.db'), 0, { force: true });
      return folder.file('four.db');
    },
  ],
  [
    'a database that was cut off',
    'ERR_STORE_CORRUPT',
    (folder) => {
      const path = makeSource(folder, addEvents(2000));
      return made(folder, readFileSync(path).subarray(0, 100_000));
    },
  ],
];

function made(folder: TestFolder, content: string | Buffer): string {
  writeFileSync(folder.file('made.db'), content);
  return folder.file('made.db');
}

for (const [what, code, make] of refused) {
  test(`${what} is refused with ${code}, and no store is made`, async (t) => {
    const folder = new TestFolder(t);
    await assert.rejects(importStore(make(folder), folder.file()), { code });
    assert.ok(!existsSync(folder.file()));
  });
}

test('the source itself is no target, by whatever name', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const source = makeSource(folder);
  linkSync(source, folder.file('link.db'));
  symlinkSync(source, folder.file('symlink.db'));
  const before = filesOf(source);
  for (const to of [source, folder.file('link.db'), folder.file('symlink.db'), `${folder.path}/./shepherdd.db`]) {
    await assert.rejects(importStore(source, to), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  }
  assert.deepEqual(filesOf(source), before);
});

test('a bad argument is refused before anything is done', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder);
  const refusal = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  for (const [, bad] of badTexts) {
    await assert.rejects(importStore(bad as string, folder.file()), refusal);
    await assert.rejects(importStore(source, bad as string), refusal);
  }
  for (const [, bad] of [...badOptions, ['', { signal: {} }], ['', { onProgress: 5 }]])
    await assert.rejects(importStore(source, folder.file(), bad as object), refusal);
  assert.ok(!existsSync(folder.file()));
});

test('the source stays byte for byte what it was, and nothing is left beside it', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder, addEvents(1000));
  const before = filesOf(source);
  await importStore(source, folder.file());
  assert.deepEqual(filesOf(source), before);
  assert.deepEqual(openFiles(folder.path), []);
  await assert.rejects(importStore(source, folder.file(), { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.deepEqual(openFiles(folder.path), []);
});

/** The files of a folder that this process has open. */
function openFiles(folder: string): string[] {
  const targets = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the one that reads this list
    }
  });
  return targets.filter((target) => target.startsWith(folder));
}

test('a source is read where its folder and file may not be written to', async (t) => {
  const folder = new TestFolder(t);
  mkdirSync(folder.file('old'));
  mkdirSync(folder.file('new'));
  const source = makeSource(folder, 'PRAGMA journal_mode = WAL', 'old/shepherdd.db');
  SqliteStore.open(folder.file('new/store.db')).close();
  chmodSync(source, 0o444);
  chmodSync(folder.file('old'), 0o555);
  // The superuser may write everywhere: this process becomes somebody else, to whom the new folder belongs.
  const nobody = process.getuid?.() === 0 ? 65534 : undefined;
  chmodSync(folder.path, 0o711);
  if (nobody !== undefined) for (const name of ['new', 'new/store.db']) chownSync(folder.file(name), nobody, nobody);
  const before = filesOf(source);
  const { status, stderr } = run(`
    import { writeFileSync } from 'node:fs';
    import { importStore } from ${JSON.stringify(importModule)};
    ${nobody === undefined ? '' : `process.seteuid(${nobody});`}
    try { writeFileSync(${JSON.stringify(folder.file('old/probe'))}, ''); process.exit(9); } catch {}
    await importStore(${JSON.stringify(source)}, ${JSON.stringify(folder.file('new/store.db'))});
  `);
  assert.equal(status, 0, stderr);
  assert.deepEqual(filesOf(source), before);
  chmodSync(folder.file('old'), 0o755);
  assert.equal(dump(folder.file('new/store.db'))['usage']!.length, 9);
});

const liveUsage = "INSERT INTO usage VALUES ('live', '2026-03-15', 77)";

test('a source whose service is running is read with its latest commit, and not touched', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder);
  const service = await runService(source, liveUsage);
  try {
    const before = filesOf(source);
    assert.equal(before.length, 3); // -wal and -shm
    const report = await importStore(source, folder.file());
    assert.equal(report.taken.usage, 10);
    assert.deepEqual(filesOf(source), before);
  } finally {
    await service.kill();
  }
});

for (const [what, lost] of [['', []], [' and whose -shm is gone', ['-shm']]] as const) {
  test(`a source whose service was killed${what} is read with what its WAL holds, also by way of a link`, async (t) => {
    const folder = new TestFolder(t);
    const source = makeSource(folder);
    await (await runService(source, liveUsage)).kill();
    for (const suffix of lost) rmSync(source + suffix);
    mkdirSync(folder.file('links'));
    symlinkSync(source, folder.file('links/old.db'));
    const before = filesOf(source);
    const report = await importStore(folder.file('links/old.db'), folder.file());
    assert.equal(report.taken.usage, 10);
    assert.deepEqual(filesOf(source), before);
  });
}

test('what the service writes during the import is taken, or left whole for the next one', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder, addEvents(3000));
  const service = folder.closing(new DatabaseSync(source));
  let written = 0;
  const onProgress = (): void => {
    service.exec(`
      INSERT INTO audit_log (timestamp, event_json)
      VALUES ('2026-03-16T10:00:00.${written++}Z', '{"type":"written_meanwhile"}')`);
  };
  const first = await importStore(source, folder.file(), { onProgress });
  const second = await importStore(source, folder.file());
  assert.ok(written > 10 && first.taken.events > 3024);
  assert.equal(first.taken.events + second.taken.events, 3024 + written);
});

test('progress is told page by page to the end, and the event loop turns while the source is checked', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder, addEvents(3000));
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const seen: { done: number; total: number }[] = [];
  await importStore(source, folder.file(), { onProgress: (progress) => seen.push(progress) });
  running = false;
  assert.ok(seen.length >= 14 && turns >= 7);
  assert.ok(seen.every(({ done, total }, index) => total === 6072 && done >= (seen[index - 1]?.done ?? 0)));
  assert.equal(seen.at(-1)!.done, 6072);
});

for (const [when, share] of [
  ['before anything is read', -1],
  ['while the source is checked', 0.1],
  ['at the end of the check', 0.5],
  ['while it is written', 0.75],
  ['at the last row', 1],
] as const) {
  test(`aborted ${when}, an import has written nothing and rejects with the reason`, async (t) => {
    const folder = new TestFolder(t);
    const source = makeSource(folder, addEvents(3000));
    const store = folder.open();
    store.addUsage('own', '2026-03-14', 1);
    store.close();
    const before = dump(folder.file());
    const reason = Object.assign(new Error('the disk of the caller is full'), { code: 'ENOSPC', syscall: 'write' });
    const options = share < 0 ? { signal: AbortSignal.abort(reason) } : abortAt(share, reason);
    await assert.rejects(importStore(source, folder.file(), options), (error) => error === reason);
    assert.deepEqual(dump(folder.file()), before);
  });
}

test('aborted between two pages, up to the last one of the check, an import makes no store', async (t) => {
  const folder = new TestFolder(t);
  const controller = new AbortController();
  const onProgress = ({ done, total }: { done: number; total: number }): void => {
    if (done === total / 2) setImmediate(() => controller.abort(new Error('enough')));
  };
  await assert.rejects(importStore(makeSource(folder), folder.file(), { signal: controller.signal, onProgress }), {
    message: 'enough',
  });
  assert.ok(!existsSync(folder.file()));
});

test('a signal while the import writes is heard when done: the command says so and ends by the signal', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder, addEvents(3000));
  const controller = new AbortController();
  process.once('SIGWINCH', () => controller.abort());
  const texts = { out: '', err: '' };
  let isSent = false;
  const write = (name: 'out' | 'err', text: string): void => {
    texts[name] += text;
    const [, done, total] = /([\d,]+) of ([\d,]+) rows/.exec(text.replaceAll(',', '')) ?? [];
    if (isSent || !(Number(done) > Number(total) * 0.6)) return;
    isSent = true;
    process.kill(process.pid, 'SIGWINCH');
  };
  const stream = (name: 'out' | 'err'): Writable =>
    new Writable({
      write: (chunk: Buffer, _, done) => {
        write(name, chunk.toString());
        done();
      },
    });
  const io = {
    stdout: stream('out'),
    stderr: Object.assign(stream('err'), { isTTY: true, columns: 80 }),
    signal: controller.signal,
  };
  const code = await main(['import', source, folder.file()], io);
  assert.deepEqual([isSent, code, texts.out], [true, 130, '']);
  assert.match(texts.err, /the import was finished all the same/);
  assert.equal((await importStore(source, folder.file())).taken.events, 0);
});

test('what onProgress throws ends the import without a trace', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder);
  folder.open().close();
  const before = dump(folder.file());
  for (const share of [0.1, 0.9]) {
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      if (done >= total * share) throw new TypeError('a bug of the caller');
    };
    await assert.rejects(importStore(source, folder.file(), { onProgress }), TypeError);
  }
  assert.deepEqual(dump(folder.file()), before);
});

for (const share of [0, 0.3, 0.5, 0.55, 0.8, 1]) {
  test(`killed at ${share * 100} % and run again, an import has done what it does at once`, async (t) => {
    const folder = new TestFolder(t);
    const source = makeSource(folder, addEvents(3000));
    const killed = run(`
      import { importStore } from ${JSON.stringify(importModule)};
      const onProgress = ({ done, total }) => { if (done >= total * ${share}) process.kill(process.pid, 'SIGKILL'); };
      await importStore(${JSON.stringify(source)}, ${JSON.stringify(folder.file())}, { onProgress });
    `);
    assert.equal(killed.signal, 'SIGKILL', killed.stderr);
    const report = await importStore(source, folder.file());
    assert.equal(report.taken.events, 3024);
    await importStore(source, folder.file('at-once.db'));
    assert.deepEqual(timeless(folder.file()), timeless(folder.file('at-once.db')));
  });
}

test('killed after it has ended, an import is whole', (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder);
  const { signal } = run(`
    import { importStore } from ${JSON.stringify(importModule)};
    await importStore(${JSON.stringify(source)}, ${JSON.stringify(folder.file())});
    process.kill(process.pid, 'SIGKILL');
  `);
  assert.equal(signal, 'SIGKILL');
  assert.equal(dump(folder.file())['audit_log']!.length, 26);
});
