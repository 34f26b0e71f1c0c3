// What a power cut can have left at the end of a ledger is set aside and written again; any other damage is refused, by
// its line, or set aside with `recover`. Whatever was set aside is told, in `store.recovery` and by an event.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import * as system from 'node:fs';
import fs from 'node:fs';
import {
  appendFileSync, chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, filesWith, ledgerIn, linesOf, openBoth, systemError } from '../support/ledger.ts';
import { nobody, run } from '../support/process.ts';

const day = '2026-11-21';
const page = 4_096;
const ledgerPath = (folder: TestFolder): string => folder.file('audit.jsonl');

/** A closed store with a ledger of `count` events of about 250 bytes behind the first. */
function filled(t: TestContext, count = 239): TestFolder {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  for (let number = 1; number <= count; number++) store.appendAudit({ type: 'policy_loaded', entryCount: number });
  store.close();
  return folder;
}

/** The same, but that the last line ends with a page, which is the second one of a pair. */
function filledToAPage(t: TestContext): TestFolder {
  const folder = filled(t);
  const { size: before } = statSync(ledgerPath(folder));
  const store = openBoth(folder);
  const append = (reason: string): void =>
    void store.appendAudit({ type: 'launch_denied', entryId: 'game', reasons: [reason] });
  append('');
  const { size } = statSync(ledgerPath(folder));
  append('x'.repeat(2 * page - ((size + (size - before)) % (2 * page))));
  store.close();
  assert.equal(statSync(ledgerPath(folder)).size % (2 * page), 0);
  return folder;
}

/** Changes the bytes of a ledger. */
function change(folder: TestFolder, edit: (bytes: Buffer) => Buffer | void): void {
  const bytes = readFileSync(ledgerPath(folder));
  writeFileSync(ledgerPath(folder), edit(bytes) ?? bytes);
}

/** Where a line begins, the header being line 1. */
function startOf(bytes: Buffer, line: number): number {
  let at = 0;
  for (let count = 1; count < line; count++) at = bytes.indexOf('\n', at) + 1;
  return at;
}

/** Changes a character of an event in a line, as a hand does. */
function editLine(folder: TestFolder, line: number): void {
  change(folder, (bytes) => {
    const at = bytes.indexOf('policy_loaded', startOf(bytes, line));
    assert.ok(at > 0 && at < startOf(bytes, line + 1));
    bytes.write('P', at);
  });
}

/** What was set aside, by the store and by its log; both say the same of files that are there. */
function assertTold(store: SqliteStore, found: string): Buffer {
  const { setAside = [] } = store.recovery!;
  assert.equal(store.recovery!.found, found);
  const contents = setAside.map(({ path }) => readFileSync(path));
  assert.deepEqual(
    setAside.map(({ bytes, sha256 }) => [bytes, sha256]),
    contents.map((content) => [content.length, hash('sha256', content)]),
  );
  const events = store.getRecentAudits(9, { type: 'ledger_set_aside' }).slice(0, setAside.length).reverse();
  assert.deepEqual(
    events.map(({ event }) => event),
    setAside.map(({ path, bytes, sha256 }) => ({ file: basename(path), bytes, sha256, type: 'ledger_set_aside' })),
  );
  assert.equal(contents.length, 1);
  return contents[0]!;
}

/** Opening refuses, with the line, and changes neither file. */
function assertRefused(folder: TestFolder, line: number): void {
  const before = [readFileSync(ledgerPath(folder)), readFileSync(folder.file())];
  assert.throws(() => openBoth(folder), { code: 'ERR_STORE_PARITY', message: new RegExp(`line ${line} of `) });
  assert.deepEqual([readFileSync(ledgerPath(folder)), readFileSync(folder.file())], before);
}

test('a line changed long before the end is refused with its number, though the end is read as far as there', (t) => {
  for (const line of [5, 100, 200]) {
    const folder = filled(t);
    editLine(folder, line);
    assertRefused(folder, line);
  }
});

test('with recover, said to the store or the ledger, it is set aside and written again from the log, and told', (t) => {
  for (const who of ['the store', 'the ledger']) {
    const folder = filled(t);
    const whole = linesOf(ledgerPath(folder));
    editLine(folder, 5);
    const damaged = readFileSync(ledgerPath(folder));
    const recover = who === 'the ledger';
    const store = folder.open({ recover: !recover, ledger: ledgerIn(folder, { recover }) });
    assert.deepEqual(assertTold(store, 'ledger-damaged'), damaged.subarray(startOf(damaged, 5)));
    assert.match(basename(store.recovery!.setAside![0]!.path), /^audit\.jsonl\.damaged-/);
    store.close();
    checkBoth(folder.file(), ledgerPath(folder));
    assert.deepEqual(linesOf(ledgerPath(folder)).slice(0, whole.length), whole);
    assert.equal(openBoth(folder).recovery, undefined);
  }
});

test('damage from the page on that holds the end of the last row is a torn end, and a byte before it is none', (t) => {
  const cases = [filled, filledToAPage].flatMap((fill) => [
    { fill, before: 0, isTorn: true },
    { fill, before: 1, isTorn: false },
  ]);
  for (const { fill, before, isTorn } of cases) {
    const folder = fill(t);
    const whole = linesOf(ledgerPath(folder));
    const { size } = statSync(ledgerPath(folder));
    const from = size - 1 - ((size - 1) % page) - before;
    change(folder, (bytes) => void bytes.fill(0xa5, from));
    if (!isTorn) {
      const bytes = readFileSync(ledgerPath(folder));
      assertRefused(folder, bytes.subarray(0, from).toString('latin1').split('\n').length);
      continue;
    }
    const store = openBoth(folder);
    const aside = assertTold(store, 'ledger-torn');
    assert.ok(aside.subarray(-(size - from)).every((byte) => byte === 0xa5));
    store.close();
    checkBoth(folder.file(), ledgerPath(folder));
    assert.deepEqual(linesOf(ledgerPath(folder)).slice(0, whole.length), whole);
  }
});

test('what is written again begins in that page, so that a power cut meanwhile leaves a torn end again', (t) => {
  const folder = filled(t);
  const { size } = statSync(ledgerPath(folder));
  const from = size - 1 - ((size - 1) % page);
  change(folder, (bytes) => void bytes.fill(0xa5, from));
  let lowest = Infinity;
  const note = (position: number): void => void (lowest = Math.min(lowest, position));
  const files = filesWith({
    writeSync: ((fd: number, data: Buffer, offset: number, length: number, position: number) => {
      if (readlinkSync(`/proc/self/fd/${fd}`) === ledgerPath(folder)) note(position);
      return system.writeSync(fd, data, offset, length, position);
    }) as typeof system.writeSync,
    ftruncateSync: (fd, length) => {
      note(length!);
      system.ftruncateSync(fd, length);
    },
  });
  openBoth(folder, { files }).close();
  assert.equal(lowest, from);
  checkBoth(folder.file(), ledgerPath(folder));
});

test('missing from before that page on, it is written under another name first: a power cut leaves old or new', (t) => {
  const folder = filled(t);
  const lines = readFileSync(ledgerPath(folder), 'utf8').split(/(?<=\n)/);
  for (const [what, bytes] of [
    ['lines', lines.slice(0, 50).join('')],
    ['half a line', lines.slice(0, 50).join('').slice(0, -50)],
    ['all', ''],
  ] as const) {
    writeFileSync(ledgerPath(folder), bytes);
    const { ino } = statSync(ledgerPath(folder));
    // The disk fails in the middle: what stands there is as it was.
    const files = filesWith({
      fsyncSync: () => {
        throw systemError('EIO', 'fsync');
      },
    });
    assert.throws(() => openBoth(folder, { files }), { code: 'ERR_STORE_IO' });
    assert.equal(readFileSync(ledgerPath(folder), 'utf8'), bytes, what);
    openBoth(folder).close();
    assert.notEqual(statSync(ledgerPath(folder)).ino, ino);
    assert.equal(readFileSync(ledgerPath(folder), 'utf8'), lines.join(''), what);
    assert.deepEqual(namesIn(folder.path), ['audit.jsonl', 'store.db'], what);
  }
});

test('ends that a power cut leaves behind the last row are set aside and told', (t) => {
  const folder = filled(t, 40);
  const last = readFileSync(ledgerPath(folder), 'utf8').trimEnd().split('\n').at(-1)!;
  const cases: Record<string, () => void> = {
    'zeros behind it': () => appendFileSync(ledgerPath(folder), Buffer.alloc(5_000)),
    'zeros without a newline, longer than the look': () => appendFileSync(ledgerPath(folder), Buffer.alloc(300_000)),
    'the last line twice': () => appendFileSync(ledgerPath(folder), `${last}\n`),
    'half a line': () => appendFileSync(ledgerPath(folder), last.slice(0, 30)),
  };
  for (const [what, harm] of Object.entries(cases)) {
    const { size } = statSync(ledgerPath(folder));
    harm();
    const end = readFileSync(ledgerPath(folder)).subarray(size);
    const store = openBoth(folder);
    assert.deepEqual(assertTold(store, 'ledger-torn'), end, what);
    store.close();
    checkBoth(folder.file(), ledgerPath(folder));
  }
});

test('a whole group that the database has not is never set aside as a torn end, however near the damage', (t) => {
  const folder = filled(t, 5);
  copyFileSync(folder.file(), folder.file('older'));
  const store = openBoth(folder);
  store.transaction(() => [store.addUsage('a', day, 1_500), store.addUsage('b', day, 1)]);
  for (let count = 0; count < 2; count++) store.addUsage('a', day, 7);
  store.close();
  const whole = readFileSync(ledgerPath(folder));
  // All of it in the page of the last row: the damage is in a row that both have, in the last one of these, in the
  // first group.
  for (const [line, lostTo] of [[6, undefined], [7, undefined], [9, 10]] as const) {
    writeFileSync(ledgerPath(folder), whole);
    copyFileSync(folder.file('older'), folder.file());
    change(folder, (bytes) => void bytes.write('!', startOf(bytes, line) + 40));
    assertRefused(folder, line);
    const recovered = openBoth(folder, { recover: true });
    // What only the ledger had comes into the database where it follows its last row, and is told as lost where it does
    // not.
    assert.deepEqual(recovered.recovery?.lost, lostTo === undefined ? undefined : { from: 7, to: lostTo });
    assert.equal(recovered.getUsage('a', day), lostTo === undefined ? 1_514 : 0);
    recovered.close();
    checkBoth(folder.file(), ledgerPath(folder));
  }
});

test('a group whose beginning was destroyed is none that is whole, and its rest is a torn end', (t) => {
  const folder = filled(t, 5);
  copyFileSync(folder.file(), folder.file('older'));
  const store = openBoth(folder);
  store.transaction(() => [store.addUsage('a', day, 1_500), store.addUsage('b', day, 1), store.addUsage('b', day, 1)]);
  store.close();
  copyFileSync(folder.file('older'), folder.file());
  change(folder, (bytes) => void bytes.fill(0, startOf(bytes, 8), startOf(bytes, 9)));
  const healed = openBoth(folder);
  assertTold(healed, 'ledger-torn');
  assert.equal(healed.getUsage('a', day), 0);
  healed.close();
  checkBoth(folder.file(), ledgerPath(folder));
});

test('a torn end is on the disk as a copy before it is cut, the cut before the rest, and that before an event', (t) => {
  const folder = filled(t, 5);
  const { size } = statSync(ledgerPath(folder));
  change(folder, (bytes) => void bytes.fill(0xa5, size - 300));
  const steps: string[] = [];
  const note = (what: string, fd: number): void => {
    const step = `${what} ${basename(readlinkSync(`/proc/self/fd/${fd}`)).replace(/\.torn-.*/, '.torn')}`;
    if (steps.at(-1) !== step) steps.push(step);
  };
  const files = filesWith({
    fsyncSync: (fd) => {
      note('sync', fd);
      system.fsyncSync(fd);
    },
    ftruncateSync: (fd, length) => {
      note('cut', fd);
      system.ftruncateSync(fd, length);
    },
    writeSync: ((fd: number, data: Buffer, offset: number, length: number, position: number) => {
      if (length > 0) note('write', fd);
      return system.writeSync(fd, data, offset, length, position);
    }) as typeof system.writeSync,
  });
  openBoth(folder, { files }).close();
  const whole = ['write audit.jsonl', 'sync audit.jsonl'];
  assert.deepEqual(steps, [
    'write audit.jsonl.torn',
    'sync audit.jsonl.torn',
    'cut audit.jsonl',
    'sync audit.jsonl',
    ...whole,
    ...whole,
  ]);
});

test('a new ledger is durable with its name, also in a folder that nothing else syncs', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const path = folder.file('logs/audit.jsonl');
  mkdirSync(folder.file('logs'), { mode: 0o700 });
  const steps: string[] = [];
  const { fsyncSync, renameSync } = fs;
  fs.fsyncSync = (fd) => {
    steps.push(`sync ${basename(readlinkSync(`/proc/self/fd/${fd}`)).replace(/^\..*/, 'the new file')}`);
    fsyncSync(fd);
  };
  fs.renameSync = (from, to) => {
    if (to === path) steps.push('rename');
    renameSync(from, to);
  };
  syncBuiltinESMExports();
  try {
    folder.open({ ledger: Ledger.open(path) });
  } finally {
    Object.assign(fs, { fsyncSync, renameSync });
    syncBuiltinESMExports();
  }
  const at = steps.indexOf('rename');
  assert.deepEqual(steps.slice(at - 1, at + 3), ['sync the new file', 'rename', 'sync logs', 'sync audit.jsonl']);
});

test('what was set aside and may not be read by who opens the store keeps nobody out, and is told by who may', (t) => {
  const folder = filled(t, 5);
  const name = 'audit.jsonl.torn-2026-11-21T12-00-00.000Z';
  writeFileSync(folder.file(name), 'torn', { mode: 0o000 });
  if (process.getuid?.() === 0)
    for (const file of [folder.path, folder.file(), ledgerPath(folder)]) chownSync(file, nobody, nobody);
  const [recovery] = run(folder.file(), `
    const { Ledger } = await import('${new URL('../../lib/ledger/index.ts', import.meta.url).href}');
    const store = SqliteStore.open(path, { ledger: Ledger.open(path.replace('store.db', 'audit.jsonl')) });
    report(store.recovery?.found);
    store.close();`, { uid: nobody });
  assert.equal(recovery, null);
  chmodSync(folder.file(name), 0o600);
  assertTold(openBoth(folder), 'ledger-torn');
});

test('a file that was set aside before a crash could write its event is told by the next open, once', (t) => {
  const folder = filled(t, 5);
  const path = `${ledgerPath(folder)}.torn-2026-11-21T12-00-00.000Z`;
  writeFileSync(path, 'torn');
  writeFileSync(`${ledgerPath(folder)}.torn-notes`, 'somebody else\'s');
  const store = openBoth(folder);
  assert.equal(assertTold(store, 'ledger-torn').toString(), 'torn');
  store.close();
  assert.equal(openBoth(folder).recovery, undefined);
  checkBoth(folder.file(), ledgerPath(folder));
});

test('an end left by a killed process under a running one is set aside by its next write, and told in the log', (t) => {
  const folder = filled(t, 5);
  const store = openBoth(folder);
  appendFileSync(ledgerPath(folder), '{"id":7,');
  assert.throws(
    () =>
      store.transaction(() => {
        throw new RangeError('undone');
      }),
    RangeError,
  );
  store.addUsage('a', day, 5);
  assert.deepEqual(
    [...store.iterateAudits({ fromId: 7 })].map(({ event }) => event.type),
    ['ledger_set_aside', 'usage_added'],
  );
  store.close();
  checkBoth(folder.file(), ledgerPath(folder));
});

test('a rebuilt database has the events of what was set aside', async (t) => {
  const folder = filled(t, 5);
  appendFileSync(ledgerPath(folder), 'torn');
  openBoth(folder).close();
  rmSync(folder.file());
  const store = openBoth(folder, { recover: true });
  assert.equal(store.getRecentAudits(9, { type: 'ledger_set_aside' }).length, 1);
  assert.ok((await Ledger.open(ledgerPath(folder)).verify()).ok);
});
