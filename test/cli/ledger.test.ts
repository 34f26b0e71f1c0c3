// The commands of the ledger: verify with both files, anchor, replay, rebuild-ledger, rebuild-database, detach-ledger,
// keygen.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import {
  chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { settled } from '../../lib/cli/parity.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, type ParityReport } from '../../lib/ledger/index.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { type Calling, pattern, type Said, shepherd } from '../support/command.ts';
import { modeOf, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, dump, plant, plantInBoth } from '../support/ledger.ts';

const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const now = new Date('2026-11-21T17:00:00Z');
const clock = (): Date => now;
const hostile = 'evil\x1b[31m\x07\u202e\n日本';

/** A folder with a store and its ledger, and what calls the command on them. */
class Kiosk extends TestFolder {
  readonly db = this.file();
  readonly ledger = this.file('audit.jsonl');
  readonly both = ['--db', this.db, '--ledger', this.ledger];

  /** The store with its ledger; `use` is its life. */
  live(use: (store: SqliteStore) => void, keyFile?: string): void {
    const ledger = Ledger.open(this.ledger, keyFile === undefined ? {} : { signingKey: readFileSync(keyFile, 'utf8') });
    const store = SqliteStore.open(this.db, { ledger, clock });
    try {
      use(store);
    } finally {
      store.close();
      ledger.close();
    }
  }

  async run(name: string, args: readonly string[] = this.both, options: Calling = {}): Promise<Said> {
    return shepherd([name, ...args], { clock, ...options });
  }

  harm(sql: string): void {
    using db = new DatabaseSync(this.db);
    db.exec(sql);
  }

  /** The lines of the ledger, changed. */
  edit(change: (lines: string[]) => string[]): void {
    writeFileSync(this.ledger, change(readFileSync(this.ledger, 'utf8').split('\n')).join('\n'));
  }
}

/** Nine rows: ledger_attached, and what a day brings. */
function day(store: SqliteStore): void {
  store.appendAudit({ type: 'service_started' });
  store.transaction(() => {
    store.appendAudit({ type: 'policy_loaded', entryCount: 3 });
    store.addUsage('minecraft', '2026-11-21', 90_500);
    store.setCooldownUntil('minecraft', new Date(now.getTime() + 600_000));
  });
  store.setCooldownUntil('tuxmath', now);
  store.clearCooldown('tuxmath');
  store.addUsage('tuxmath', '2026-11-21', 60_000);
  store.appendAudit({ type: 'service_stopped' });
}

function kiosk(t: TestContext, { checked = true } = {}): Kiosk {
  const folder = new Kiosk(t, { checked });
  folder.live(day);
  return folder;
}

const json = (said: Said): Record<string, unknown> => JSON.parse(said.out) as Record<string, unknown>;

function assertLine(said: Said, code: number, pattern: RegExp): void {
  assert.deepEqual([said.code, said.out], [code, ''], said.err);
  assert.match(said.err, pattern);
  assert.match(
    said.err,
    code === 2 && /\nUsage/.test(said.err) ? /^shepherd-store: [^\n]*\nUsage: [^\n]*\n$/ : /^shepherd-store: [^\n]*\n$/,
  );
}

test('each command of the ledger explains itself, and takes its files by name', async (t) => {
  const folder = kiosk(t);
  const needed: Record<string, string> = {
    verify: ' [FILE]', anchor: ' [FILE]', replay: ' [FILE] --ledger FILE', 'rebuild-ledger': ' [FILE] --ledger NEWFILE',
    'rebuild-database': ' --ledger FILE --db NEWFILE', 'detach-ledger': ' [FILE] --ledger FILE', keygen: ' --key FILE',
  };
  const general = await shepherd(['--help']);
  for (const [name, usage] of Object.entries(needed)) {
    assert.match(general.out, new RegExp(`^  ${name} +[A-Z]`, 'm'));
    const help = await shepherd([name, '--help']);
    assert.deepEqual([help.code, help.err], [0, '']);
    const call = `${name}${usage.replaceAll(/[[\]]/g, '\\$&')}`;
    assert.match(
      help.out,
      new RegExp(
        `^Usage: shepherd-store ${call} \\[options\\]$[^]*^  --json [^]*^Examples?\n  shepherd-store ${name} `,
        'm',
      ),
    );
    for (const line of help.out.split('\n')) assert.ok(line.length <= 80, line);
    if (usage.includes('--')) assertLine(await shepherd([name]), 2, /--(db|ledger|key) is missing/);
    assertLine(await shepherd([name, '--anker', 'x']), 2, /Unknown option '--anker'/);
    const options = usage.split(' ').filter((word) => word.startsWith('--'));
    for (const option of options) {
      assertLine(
        await shepherd([name, ...options.flatMap((each) => [each, each === option ? '' : folder.file(`no ${each}`)])]),
        2,
        / is empty|there is no ledger/,
      );
    }
  }
});

test('verify holds the ledger and the balances against the log, and leaves no trace', async (t) => {
  const folder = kiosk(t);
  const before = picture(folder.path);
  const said = await folder.run('verify');
  assert.deepEqual([said.code, said.err], [0, '']);
  assert.match(
    said.out,
    pattern(
      /^log +ok: 9 events checked, every hash fits\npages +ok: [\d,]+ pages checked\n/,
      /ledger +ok: 9 lines checked, every hash fits\nparity +ok: 9 events, the same in both files\n/,
      /balances +ok: [^\n]*\n\nanchor 9:[0-9a-f]{64}\n$/,
    ),
  );
  assert.partialDeepStrictEqual(json(await folder.run('verify', [...folder.both, '--json'])), {
    ok: true,
    checked: 9,
    head: { id: 9 },
    findings: [],
    hasLedger: true,
    ledger: { path: folder.ledger, ok: true, checked: 9 },
    parity: { isConsistent: true, ledgerCount: 9, sqliteCount: 9 },
  });
  const alone = await folder.run('verify', ['--db', folder.db]);
  assert.equal(alone.code, 0);
  assert.match(alone.out, /^log +ok: 9 events checked, every hash fits\npages +ok: [\d,]+ pages checked\n\n/);
  const unchecked = (path: string): string => {
    return `\nThe store has a ledger, which was not checked: --ledger ${path} does it.\n`;
  };
  assert.ok(alone.out.includes(unchecked(folder.ledger)), alone.out);
  assert.equal(json(await folder.run('verify', ['--db', folder.db, '--json']))['hasLedger'], true);
  assert.deepEqual(picture(folder.path), before);
  renameSync(folder.ledger, folder.file("it's \x1b.jsonl"));
  const quoted = `'${folder.path}/it'\\''s \\x1b.jsonl'`;
  assert.ok((await folder.run('verify', ['--db', folder.db])).out.includes(unchecked(quoted)));
  mkdirSync(folder.file('elsewhere'));
  renameSync(folder.file("it's \x1b.jsonl"), folder.file('elsewhere/audit.jsonl'));
  assert.ok((await folder.run('verify', ['--db', folder.db])).out.includes(unchecked('FILE')));
});

test('verify names what was done to either file, each with its place', async (t) => {
  const cases: [name: string, harm: (folder: Kiosk) => void, said: RegExp][] = [
    [
      'a changed line',
      (folder) =>
        folder.edit((lines) =>
          lines.map((line, at) => (at === 3 ? line.replace('"entryCount\\":3', '"entryCount\\":4') : line)),
        ),
      /\nledger +1 finding in 9 lines\n  tampered +line 4: /,
    ],
    [
      'a removed line',
      (folder) => folder.edit((lines) => lines.toSpliced(3, 1)),
      /\n  gap +line 4: row 4 does not follow row 2\n/,
    ],
    [
      'a cut tail',
      (folder) => folder.edit((lines) => lines.toSpliced(-3, 2)),
      /\nledger +ok[^]*\nparity +2 differences between 9 events and 7 lines\n  only in the database +rows 8-9\n/,
    ],
    [
      'a torn end',
      (folder) => writeFileSync(folder.ledger, '{"id":10', { flag: 'a' }),
      /\n  torn-line +line 11: [^]*replay does\.\nparity +ok/,
    ],
    [
      'a changed row',
      (folder) => folder.harm("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{}' WHERE id = 3"),
      pattern(
        /^log +1 finding in 9 events\n  tampered +row 3 [^]*\nparity +1 difference between 9 events and 9 lines\n/,
        /  not the same +row 3\n/,
      ),
    ],
    [
      'removed rows',
      (folder) => folder.harm('DROP TRIGGER audit_log_no_delete; DELETE FROM audit_log WHERE id IN (3, 8, 9)'),
      /  only in the ledger +rows 3, 8-9\n/,
    ],
    [
      'a lowered total',
      (folder) => folder.harm("UPDATE usage SET duration_secs = 1 WHERE entry_id = 'minecraft'"),
      pattern(
        /\nbalances +1 difference from what the events add up to\n/,
        /  minecraft, usage of 2026-11-21: 1\.500 s, by the events 1 min 30 s\n/,
      ),
    ],
    [
      'a cleared cooldown',
      (folder) => folder.harm('DELETE FROM cooldowns'),
      /\nbalances +1 difference [^]*\n  minecraft, cooldown: nothing, by the events 2026-11-21T17:10:00/,
    ],
  ];
  for (const [name, harm, pattern] of cases) {
    const folder = kiosk(t, { checked: false });
    harm(folder);
    const before = picture(folder.path);
    const said = await folder.run('verify');
    assert.deepEqual([said.code, said.err], [1, ''], name);
    assert.match(said.out, pattern, name);
    for (const line of said.out.replaceAll(folder.path, '').split('\n')) assert.ok(line.length <= 80, line);
    assert.deepEqual(picture(folder.path), before, name);
  }
});

test('verify tells what the one file is worth where the other is lost or no store', async (t) => {
  const folder = kiosk(t, { checked: false });
  const other = kiosk(t);
  const foreign = await folder.run('verify', ['--db', folder.db, '--ledger', other.ledger]);
  assert.equal(foreign.code, 2);
  assert.match(
    foreign.out,
    /^log +ok: [^]*ledger +ok: [^]*parity +cannot be checked\n  ERR_STORE_CONFLICT: [^]*ledger\s+of another store/,
  );
  assert.partialDeepStrictEqual(
    json(await folder.run('verify', ['--db', folder.db, '--ledger', other.ledger, '--json'])),
    { ok: false, checked: 9, parity: { error: { code: 'ERR_STORE_CONFLICT' } } },
  );

  writeFileSync(folder.file('text'), 'no ledger\n');
  assert.match(
    (await folder.run('verify', ['--db', folder.db, '--ledger', folder.file('text')])).out,
    /^log +ok[^]*\nledger +cannot be checked\n  ERR_STORE_NOT_A_STORE[^]*\nparity +not compared\n/,
  );
  const absent = ['--db', folder.db, '--ledger', folder.file('absent')];
  assert.match(
    (await folder.run('verify', absent)).out,
    /^log +ok[^]*\nledger +cannot be checked\n  ERR_STORE_CORRUPT: there is no ledger at\s/,
  );
  assert.equal((await folder.run('verify', absent)).code, 1);

  writeFileSync(folder.db, readFileSync(folder.db).fill(0x5a, 4096));
  const torn = await folder.run('verify');
  assert.equal(torn.code, 1);
  assert.match(torn.out, /^log +cannot be checked\n  ERR_STORE_CORRUPT[^]*\nledger +ok: 9 lines/);
  rmSync(folder.db);
  const lost = await folder.run('verify');
  assert.equal(lost.code, 1);
  assert.match(
    lost.out,
    /^log +cannot be checked\n  ERR_STORE_CORRUPT: [^]* is\s+missing[^]*\nledger +ok: 9 lines[^]*\n\nanchor 9:/,
  );
  rmSync(folder.ledger);
  assertLine(await folder.run('verify'), 2, /\(ERR_STORE_NOT_FOUND\)/);

  const plain = new TestFolder(t);
  plain.open().close();
  assertLine(
    await shepherd(['verify', '--db', plain.file(), '--ledger', plain.file('absent')]),
    2,
    /there is no ledger at .*\(ERR_STORE_NOT_FOUND\)/,
  );
  assert.deepEqual(namesIn(plain.path), ['store.db']);
});

test('anchor prints what verify takes, and both files are held against it', async (t) => {
  const folder = kiosk(t, { checked: false });
  const said = await folder.run('anchor', ['--db', folder.db]);
  assert.deepEqual([said.code, said.err], [0, '']);
  assert.match(said.out, /^9:[0-9a-f]{64}\n$/);
  const anchor = said.out.trim();
  assert.deepEqual(json(await folder.run('anchor', ['--db', folder.db, '--json'])), {
    id: 9,
    hash: anchor.slice(2),
    anchor,
  });
  assert.match(
    (await folder.run('verify', [...folder.both, '--anchor', anchor])).out,
    /^log +ok: [^\n]*row 9 is the anchor's\npages +ok: [\d,]+ pages checked\nledger +ok: [^\n]*row 9 is the anchor's\n/,
  );
  // The end of both is gone: only the anchor can tell.
  folder.edit((lines) => lines.toSpliced(-3, 2));
  folder.harm(`
    DROP TRIGGER audit_log_no_delete;
    DELETE FROM audit_log WHERE id > 7;
    DELETE FROM usage WHERE entry_id = 'tuxmath'`);
  assert.equal((await folder.run('verify')).code, 0);
  const { code, out } = await folder.run('verify', [...folder.both, '--anchor', anchor]);
  assert.equal(code, 1);
  assert.equal(out.match(/  truncated +(line 8: )?the log ends at row 7 and the anchor/g)?.length, 2, out);

  const empty = new TestFolder(t);
  empty.open().close();
  assertLine(await shepherd(['anchor', '--db', empty.file()]), 1, /the log is empty/);
  const { code: none, out: nothing, err } = await shepherd(['anchor', '--db', empty.file(), '--json']);
  assert.deepEqual(
    [none, nothing, JSON.parse(err)],
    [1, '', { error: { code: 'ERR_COMMAND_FAILED', message: 'the log is empty: there is no row to keep yet' } }],
  );
});

test('keygen makes a pair once, the private key for this user alone, whatever the umask', async (t) => {
  const folder = new TestFolder(t);
  const key = folder.file('ledger.key');
  const umask = process.umask(0o277);
  try {
    assert.match(
      (await shepherd(['keygen', '--key', key])).out,
      /^made: .*ledger\.key, to sign with; keep it secret\n +.*ledger\.key\.pub, to verify with\n$/,
    );
  } finally {
    process.umask(umask);
  }
  assert.deepEqual([modeOf(key), modeOf(`${key}.pub`)], ['600', '644']);
  assert.match(readFileSync(key, 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);
  assert.match(readFileSync(`${key}.pub`, 'utf8'), /^-----BEGIN PUBLIC KEY-----\n/);
  const before = picture(folder.path);
  assertLine(await shepherd(['keygen', '--key', key]), 2, /ledger\.key is there already/);
  copyFileSync(`${key}.pub`, folder.file('other.pub'));
  assertLine(await shepherd(['keygen', '--key', folder.file('other')]), 2, /other\.pub is there already/);
  assertLine(await shepherd(['keygen', '--key', folder.file('no/such')]), 2, /\(ERR_STORE_NOT_FOUND\)/);
  rmSync(folder.file('other.pub'));
  assert.deepEqual(picture(folder.path), before);
  assert.deepEqual(json(await shepherd(['keygen', '--key', folder.file('two'), '--json'])), {
    key: folder.file('two'),
    publicKey: folder.file('two.pub'),
  });
  assert.notEqual(readFileSync(folder.file('two'), 'utf8'), readFileSync(key, 'utf8'));
});

test('a key whose public half cannot be made is not made either', async (t) => {
  const folder = new TestFolder(t);
  const original = fs.fsyncSync;
  let calls = 0;
  fs.fsyncSync = (fd) => {
    if (++calls === 2) throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'fsync' });
    original(fd);
  };
  syncBuiltinESMExports();
  try {
    assertLine(await shepherd(['keygen', '--key', folder.file('ledger.key')]), 1, /\(ERR_STORE_IO\)/);
  } finally {
    fs.fsyncSync = original;
    syncBuiltinESMExports();
  }
  assert.deepEqual(namesIn(folder.path), []);
});

test('a store that signs is written to with its key only, and verified with the public one', async (t) => {
  const folder = new Kiosk(t);
  const [key, other] = [folder.file('key'), folder.file('other')];
  for (const file of [key, other]) await shepherd(['keygen', '--key', file]);
  folder.live(day, key);
  const said = await folder.run('verify', [...folder.both, '--public-key', `${key}.pub`]);
  assert.equal(said.code, 0, said.out);
  assert.match(
    said.out,
    pattern(
      /^log +ok: 10 events checked, every hash and signature fits\npages +ok: [\d,]+ pages checked\n/,
      /ledger +ok: 10 lines checked, every hash and signature fits\n/,
    ),
  );
  assert.match(
    (await folder.run('verify', ['--db', folder.db, '--public-key', `${key}.pub`])).out,
    /^log +ok: 10 events checked, every hash and signature fits\n/,
  );
  const wrong = await folder.run('verify', [...folder.both, '--public-key', `${other}.pub`]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.out, /bad-signature/);
  assertLine(await folder.run('verify', [...folder.both, '--public-key', key]), 2, /holds a private key/);
  assertLine(await folder.run('verify', [...folder.both, '--public-key', folder.db]), 2, /holds no Ed25519 public key/);
  assertLine(
    await folder.run('verify', [...folder.both, '--public-key', folder.file('none')]),
    2,
    /\(ERR_STORE_NOT_FOUND\)/,
  );

  const before = picture(folder.path);
  for (const name of ['replay', 'detach-ledger']) {
    assertLine(await folder.run(name), 2, /the store signs its events: give its private key by --key/);
    assertLine(
      await folder.run(name, [...folder.both, '--key', other]),
      2,
      /--key is not the key that the store signs/,
    );
    assertLine(await folder.run(name, [...folder.both, '--key', `${key}.pub`]), 2, /holds no Ed25519 private key/);
  }
  assert.deepEqual(picture(folder.path), before);
  assert.equal((await folder.run('replay', [...folder.both, '--key', key])).code, 0);
  assert.equal((await folder.run('detach-ledger', [...folder.both, '--key', key])).code, 0);
  assert.equal((await folder.run('verify', [...folder.both, '--public-key', `${key}.pub`])).code, 0);

  const unsigned = kiosk(t);
  const untouched = picture(unsigned.path);
  assertLine(
    await unsigned.run('replay', [...unsigned.both, '--key', key]),
    2,
    /the store does not sign its events, and --key would begin it/,
  );
  assert.deepEqual(picture(unsigned.path), untouched);
});

test('a key that cannot be read where signing starts is told by its row, in either file', async (t) => {
  for (const data of ['null', 'oops', '{}', '{"publicKey":7}']) {
    const ahead = kiosk(t);
    const before = readFileSync(ahead.ledger);
    plant(ahead.ledger, { type: 'signing_started', data });
    assertLine(await ahead.run('replay'), 1, /\brow 10\b.*\(ERR_STORE_CORRUPT\)/);
    writeFileSync(ahead.ledger, before);
    const both = kiosk(t);
    plantInBoth(both.db, both.ledger, { type: 'signing_started', data });
    assertLine(await both.run('replay'), 1, /\brow 10\b.*\(ERR_STORE_CORRUPT\)/);
  }
});

test('verify tells which events of usage and cooldowns cannot be read', async (t) => {
  const folder = kiosk(t);
  plantInBoth(folder.db, folder.ledger, { type: 'usage_added', data: 'null' });
  const { code, out } = await folder.run('verify');
  assert.equal(code, 1);
  assert.match(out, /\nparity +1 difference between 10 events and 10 lines\n  cannot be read +row 10\nbalances +ok/);
});

test('replay brings the file that is behind to the other\'s state, and says what it did', async (t) => {
  const folder = kiosk(t);
  const early = { db: folder.file('early.db'), ledger: folder.file('early.jsonl') };
  copyFileSync(folder.db, early.db);
  copyFileSync(folder.ledger, early.ledger);
  folder.live((store) => {
    store.addUsage('minecraft', '2026-11-21', 1_000);
    store.appendAudit({ type: 'service_started' });
  });
  const nothing = await folder.run('replay');
  assert.deepEqual([nothing.code, nothing.err], [0, '']);
  assert.match(
    nothing.out,
    /^replay +nothing: neither file lacked anything\nparity +ok: 11 events, the same in both files\nbalances +ok/,
  );

  const ahead = ['--db', early.db, '--ledger', folder.ledger];
  const behind = json(await folder.run('replay', [...ahead, '--json']));
  assert.partialDeepStrictEqual(behind, {
    replayed: 2,
    written: 0,
    setAside: [],
    parity: { isConsistent: true, sqliteCount: 11 },
  });
  using store = SqliteStore.openReadOnly(early.db);
  assert.equal(store.getUsage('minecraft', '2026-11-21'), 91_500);

  writeFileSync(early.ledger, '{"id":10,"x', { flag: 'a' });
  const { code, out } = await folder.run('replay', ['--db', folder.db, '--ledger', early.ledger]);
  assert.equal(code, 0);
  assert.match(
    out,
    pattern(
      /^written +2 lines that the ledger lacked\nset aside the torn end of the ledger: .*early\.jsonl\.torn-[^\n]*\n/,
      /parity +ok: 12 events/,
    ),
  );
  checkBoth(folder.db, early.ledger);
});

test('replay and detach-ledger begin no ledger: not with a wrong path, nor for a store that has none', async (t) => {
  const folder = kiosk(t);
  const plain = new TestFolder(t);
  const store = plain.open();
  store.appendAudit({ type: 'service_started' });
  store.close();
  await shepherd(['rebuild-ledger', '--db', plain.file(), '--ledger', plain.file('audit.jsonl')]);
  const ended = kiosk(t, { checked: false });
  ended.live(day);
  await ended.run('detach-ledger', ['--db', ended.db, '--ledger', ended.ledger]);
  const before = [picture(folder.path), picture(plain.path)];
  for (const name of ['replay', 'detach-ledger']) {
    assertLine(
      await folder.run(name, ['--db', folder.db, '--ledger', folder.file('absent')]),
      1,
      /there is no ledger at .*absent.*\(ERR_STORE_CORRUPT\)/,
    );
    assertLine(await shepherd([name, '--db', plain.file(), '--ledger', plain.file('audit.jsonl')]), 2, /has no ledger/);
    assertLine(
      await folder.run(name, ['--db', folder.file('absent.db'), '--ledger', folder.ledger]),
      1,
      /absent\.db is missing, and .* says that there was a store \(ERR_STORE_CORRUPT\)/,
    );
    for (const ledger of [plain.file('audit.jsonl'), ended.ledger]) { // the second says at its end that it is no more
      const said = await folder.run(name, ['--db', folder.db, '--ledger', ledger]);
      assertLine(said, 2, /ledger of another store.*\(ERR_STORE_CONFLICT\)/);
    }
  }
  assert.deepEqual([picture(folder.path), picture(plain.path)], before);
});

test('replay overwrites nothing where both have a row and not the same', async (t) => {
  const folder = kiosk(t, { checked: false });
  folder.harm("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_hash = upper(event_hash) WHERE id = 9");
  const before = readFileSync(folder.ledger, 'utf8');
  assertLine(await folder.run('replay'), 1, /row 9 .*neither is overwritten \(ERR_STORE_PARITY\)/);
  assert.equal(readFileSync(folder.ledger, 'utf8'), before);
  assert.deepEqual(namesIn(folder.path), ['audit.jsonl', 'store.db']);
});

test('replay ends with 1 where the balances are not what the events add up to, and mends none', async (t) => {
  const folder = kiosk(t);
  folder.harm("UPDATE usage SET duration_secs = 1 WHERE entry_id = 'minecraft'");
  for (let round = 0; round < 2; round++) {
    const { code, out } = await folder.run('replay');
    assert.equal(code, 1);
    assert.match(out, /^replay +nothing[^]*\nparity +ok[^]*\nbalances +1 difference /);
  }
});

test('each file is made anew from the other, with everything in it, and none is overwritten', async (t) => {
  const folder = kiosk(t);
  const kept = { db: folder.file('kept.db'), ledger: folder.file('kept.jsonl') };
  copyFileSync(folder.db, kept.db);
  copyFileSync(folder.ledger, kept.ledger);
  for (const [name, file] of [['rebuild-ledger', folder.ledger], ['rebuild-database', folder.db]] as const) {
    const before = picture(folder.path);
    assertLine(await folder.run(name), 2, new RegExp(`${file} is there already, and is not overwritten`));
    assert.deepEqual(picture(folder.path), before);
    rmSync(file);
    const said = await folder.run(name);
    assert.deepEqual([said.code, said.err], [0, ''], said.out);
    assert.match(said.out, new RegExp(`^made: ${file}, 9 (lines|events)\n`));
    assert.equal(modeOf(file), '600');
    assert.equal((await folder.run('verify')).code, 0);
  }
  checkBoth(folder.db, folder.ledger);
  using before = SqliteStore.openReadOnly(kept.db);
  using after = SqliteStore.openReadOnly(folder.db);
  assert.deepEqual(dump(after), dump(before));
  const machine = json(
    await folder.run('rebuild-database', ['--ledger', kept.ledger, '--db', folder.file('new.db'), '--json']),
  );
  assert.partialDeepStrictEqual(machine, {
    ok: true,
    path: folder.file('new.db'),
    events: 9,
    leftOut: false,
    head: { id: 9 },
  });
  assert.partialDeepStrictEqual(
    json(await folder.run('rebuild-ledger', ['--db', kept.db, '--ledger', folder.file('new.jsonl'), '--json'])),
    { ok: true, events: 9, hasLedger: true },
  );
});

test('nothing is made from a file that is damaged, lost or no store', async (t) => {
  const folder = kiosk(t, { checked: false });
  const target = folder.file('new');
  folder.edit((lines) => lines.map((line, at) => (at === 4 ? line.replace('minecraft', 'minecrafd') : line)));
  folder.harm("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{}' WHERE id = 4");
  writeFileSync(folder.file('text'), 'no ledger\n');
  const before = picture(folder.path);
  const { code, out } = await folder.run('rebuild-ledger', ['--db', folder.db, '--ledger', target]);
  assert.equal(code, 1);
  assert.match(out, /^1 finding in 9 events\n  tampered +row 4 [^]*\nNothing was made: /);
  assert.partialDeepStrictEqual(
    json(await folder.run('rebuild-ledger', ['--db', folder.db, '--ledger', target, '--json'])),
    { ok: false, events: 0, log: { findings: [{ id: 4 }] } },
  );
  assertLine(
    await folder.run('rebuild-database', ['--ledger', folder.ledger, '--db', target]),
    1,
    /damaged.*\(ERR_STORE_(CORRUPT|PARITY)\)/,
  );
  assertLine(
    await folder.run('rebuild-database', ['--ledger', folder.file('text'), '--db', target]),
    1,
    /\(ERR_STORE_NOT_A_STORE\)/,
  );
  assertLine(
    await folder.run('rebuild-database', ['--ledger', folder.file('absent'), '--db', target]),
    2,
    /there is no ledger at /,
  );
  assertLine(
    await folder.run('rebuild-ledger', ['--db', folder.file('absent'), '--ledger', target]),
    2,
    /\(ERR_STORE_NOT_FOUND\)/,
  );
  assert.deepEqual(picture(folder.path), before);
  writeFileSync(`${target}-wal`, 'what a crash left');
  assertLine(
    await folder.run('rebuild-database', ['--ledger', folder.ledger, '--db', target]),
    2,
    /new-wal is there already/,
  );
});

test('rebuild-database leaves a torn end out, and says so', async (t) => {
  const folder = kiosk(t);
  writeFileSync(folder.ledger, '{"id":10,"at', { flag: 'a' });
  rmSync(folder.db);
  const { code, out } = await folder.run('rebuild-database');
  assert.equal(code, 1);
  assert.match(
    out,
    /^made: .*, 9 events\nleft out: what follows row 9 in the ledger: it is torn or was never committed\n\nanchor 9:/,
  );
  folder.edit((lines) => lines.with(-1, '')); // the torn line
  assert.equal((await folder.run('verify')).code, 0);
});

test('rebuild-database leaves a group out that was never committed', async (t) => {
  const folder = kiosk(t);
  // Rows 3 to 5 are one transaction.
  folder.edit((lines) => [...lines.slice(0, 5), '']);
  rmSync(folder.db);
  assert.partialDeepStrictEqual(json(await folder.run('rebuild-database', [...folder.both, '--json'])), {
    ok: false,
    events: 2,
    leftOut: true,
    head: { id: 2 },
  });
});

test('detach-ledger ends the ledger in both files, and the store goes on without it', async (t) => {
  const folder = kiosk(t);
  assert.throws(() => SqliteStore.open(folder.db), { code: 'ERR_STORE_CONFLICT' });
  const { code, out, err } = await folder.run('detach-ledger');
  assert.deepEqual([code, err], [0, '']);
  assert.match(
    out,
    pattern(
      /^detached: .*audit\.jsonl ends with row 10\n/,
      /The store is opened without it from here on\. The file stays where it is\.\n\nanchor 10:[0-9a-f]{64}\n$/,
    ),
  );
  checkBoth(folder.db, folder.ledger);
  const compared = await folder.run('verify');
  assert.equal(compared.code, 0);
  assert.match(compared.out, /\nparity +ok: 10 events[^\n]*\nbalances +not compared: /);
  assert.doesNotMatch((await folder.run('verify', ['--db', folder.db])).out, /has a ledger/);
  assertLine(await folder.run('detach-ledger'), 2, /has no ledger/);
  const store = SqliteStore.open(folder.db);
  store.addUsage('minecraft', '2026-11-21', 1);
  store.close();
});

test('detach-ledger heals both files first, and --json says what it did', async (t) => {
  const folder = kiosk(t);
  folder.edit((lines) => [...lines.slice(0, -3), '']);
  const said = json(await folder.run('detach-ledger', [...folder.both, '--json']));
  assert.partialDeepStrictEqual(said, {
    replayed: 0,
    written: 2,
    setAside: [],
    ledger: folder.ledger,
    head: { id: 10 },
  });
  checkBoth(folder.db, folder.ledger);
});

test('beside a service that writes, verify finds nothing, and replay and both rebuilds do no harm', async (t) => {
  const folder = new Kiosk(t);
  const service = new Worker(t, 'cli', ['write', folder.db, folder.ledger], { env: plainEnvironment() });
  await service.told(3);
  for (let round = 0; round < 5; round++) {
    const { code, out, err } = await folder.run('verify', folder.both, { clock: () => new Date() });
    assert.deepEqual([code, err], [0, ''], out);
  }
  const replayed = await folder.run('replay', folder.both, { clock: () => new Date() });
  assert.equal(replayed.code, 0, replayed.out + replayed.err);
  assert.match((await folder.run('anchor', ['--db', folder.db])).out, /^\d+:[0-9a-f]{64}\n$/);
  assert.equal(
    (await folder.run('rebuild-ledger', ['--db', folder.db, '--ledger', folder.file('copy.jsonl')])).code,
    0,
  );
  assert.equal(
    (await folder.run('rebuild-database', ['--ledger', folder.ledger, '--db', folder.file('copy.db')])).code,
    0,
  );
  const told = service.lines.length;
  await service.told(told + 3);
  service.kill();
  await service.end();
  const healed = await folder.run('replay', folder.both, { clock: () => new Date() });
  assert.equal(healed.code, 0, healed.out);
  checkBoth(folder.db, folder.ledger);
  assert.equal((await folder.run('replay', ['--db', folder.db, '--ledger', folder.file('copy.jsonl')])).code, 0);
});

/** The folder's database as it is, beside a ledger that has two groups of 2,500 events more. */
function behind(folder: Kiosk): string[] {
  copyFileSync(folder.db, folder.file('before.db'));
  folder.live((store) => {
    for (let group = 0; group < 2; group++) {
      store.appendAudits(
        Array.from({ length: 2_500 }, () => ({ event: { type: 'launch_denied', entryId: 'x', reasons: [] } })),
      );
    }
  });
  return ['--db', folder.file('before.db'), '--ledger', folder.ledger];
}

test('verify waits for a group of any size that a service has in the ledger and not yet in the database', async (t) => {
  const folder = kiosk(t);
  const said = folder.run('verify', behind(folder));
  setTimeout(
    () => SqliteStore.open(folder.file('before.db'), { ledger: Ledger.open(folder.ledger), clock }).close(),
    300,
  );
  assert.deepEqual((await said).code, 0, (await said).out);
});

test('verify tells how far the ledger is ahead, by its first and last line', async (t) => {
  const folder = kiosk(t);
  const { code, out } = await folder.run('verify', behind(folder));
  assert.equal(code, 1);
  assert.match(
    out,
    /\nparity +5,000 differences between 9 events and 5,009 lines\n  only in the ledger +rows 10-5009\nbalances/,
  );
  // With a gap the first thousand are told, and how many more there are.
  folder.edit((lines) => lines.toSpliced(12, 1));
  const gap = await folder.run('verify', ['--db', folder.file('before.db'), '--ledger', folder.ledger]);
  assert.match(gap.out, /only in the ledger +rows 10-11, 13-1010\n  and 3,999 more\n/);
});

test('what is behind the database twice, and was not the same, was on its way', async () => {
  const none = {
    isConsistent: false,
    ledgerCount: 9,
    sqliteCount: 9,
    missingInSqlite: [],
    missingInLedger: [],
    mismatched: [],
    unreadable: [],
    state: [],
    more: 0,
  };
  const aheadOf = (from: number, to: number, more: Partial<ParityReport> = {}): ParityReport => {
    const count = to - from + 1;
    const missingInSqlite = Array.from({ length: Math.min(1_000, count) }, (_, index) => from + index);
    return { ...none, missingInSqlite, more: count - missingInSqlite.length, ahead: { from, to, count }, ...more };
  };
  const after = async (
    ...reports: ParityReport[]
  ): Promise<[isConsistent: boolean, listed: number, more: number, ahead: ParityReport['ahead'], compared: number]> => {
    let compared = 0;
    const { isConsistent, missingInSqlite, more, ahead } = await settled(
      { stdout: process.stdout, stderr: process.stderr },
      async () => reports[compared++]!,
    );
    return [isConsistent, missingInSqlite.length, more, ahead, compared];
  };
  assert.deepEqual(await after(aheadOf(10, 5_009), aheadOf(5_010, 9_009)), [true, 0, 0, undefined, 2]);
  assert.deepEqual(
    await after(aheadOf(10, 5_009, { missingInSqlite: [], more: 5_000 }), { ...none, isConsistent: true }),
    [true, 0, 0, undefined, 2],
  );
  assert.deepEqual(await after({ ...none, missingInLedger: [3] }, aheadOf(5_010, 9_009)), [true, 0, 0, undefined, 2]);
  assert.deepEqual(await after(aheadOf(10, 5_009), aheadOf(10, 5_009)), [
    false,
    1_000,
    4_000,
    { from: 10, to: 5_009, count: 5_000 },
    2,
  ]);
  assert.deepEqual(await after(aheadOf(10, 2_009), aheadOf(10, 5_009)), [
    false,
    1_000,
    1_000,
    { from: 10, to: 2_009, count: 2_000 },
    2,
  ]);
  assert.deepEqual(await after(aheadOf(10, 5_009), aheadOf(4_010, 6_009)), [
    false,
    1_000,
    0,
    { from: 4_010, to: 5_009, count: 1_000 },
    2,
  ]);
  assert.deepEqual(await after(aheadOf(10, 12), { ...none, missingInSqlite: [5] }), [true, 0, 0, undefined, 2]);
  const gap: ParityReport = { ...none, missingInSqlite: [10, 30], ahead: { from: 10, to: 30, count: 2 } };
  assert.deepEqual(await after(gap, gap), [false, 2, 0, gap.ahead, 2]);
  assert.deepEqual(await after({ ...none, missingInLedger: [3] }, { ...none, unreadable: [3] }), [
    false,
    0,
    0,
    undefined,
    2,
  ]);
  // Others beyond the lists are differences for good.
  assert.deepEqual(await after(aheadOf(10, 5_009, { more: 4_007 }), aheadOf(5_010, 9_009, { more: 3_005 })), [
    false,
    0,
    5,
    undefined,
    2,
  ]);
  assert.deepEqual(await after({ ...none, unreadable: [3] }), [false, 0, 0, undefined, 1]);
});

test('a user who may only read can verify both files', async (t) => {
  const folder = kiosk(t);
  chmodSync(folder.path, 0o755);
  for (const file of [folder.db, folder.ledger]) chmodSync(file, 0o644);
  const before = picture(folder.path);
  const reader = new Worker(t, 'cli', ['look', JSON.stringify(['verify', ...folder.both])], {
    env: plainEnvironment(),
  });
  const [said] = (await reader.result()).map((line) => JSON.parse(line) as Said);
  assert.deepEqual([said!.code, said!.err], [0, ''], said!.out);
  assert.deepEqual(picture(folder.path), before);
});

test('progress is one line on a terminal, removed at the end, and interrupting leaves nothing half made', async (t) => {
  const folder = new Kiosk(t);
  folder.live((store) =>
    store.transaction(() => {
      for (let count = 0; count < 12_000; count++)
        store.appendAudit({ type: 'launch_denied', entryId: 'x'.repeat(50), reasons: [] });
    }),
  );
  const { code, out, err } = await folder.run('verify', folder.both, { terminal: 80 });
  assert.equal(code, 0, out);
  assert.match(
    err,
    pattern(
      /^(\r\x1b\[K[\d,]+ of [\d,]+ pages checked)+\r\x1b\[K(\r\x1b\[K[\d,]+ of 12,001 events checked)+\r\x1b\[K/,
      /(\r\x1b\[K[\d,]+ of [\d,]+ bytes of the ledger checked)+\r\x1b\[K/,
      /(\r\x1b\[K[\d,]+ of 12,001 lines compared)+\r\x1b\[K$/,
    ),
  );
  assert.equal((await folder.run('verify')).err, '');
  const [ledger, db] = [folder.file('new.jsonl'), folder.file('new.db')];
  assert.match(
    (await folder.run('rebuild-ledger', ['--db', folder.db, '--ledger', ledger], { terminal: 80 })).err,
    /of 12,001 lines written\r\x1b\[K$/,
  );
  assert.match(
    (await folder.run('rebuild-database', ['--ledger', folder.ledger, '--db', db], { terminal: 80 })).err,
    /of 12,001 events replayed\r\x1b\[K$/,
  );
  rmSync(ledger);
  rmSync(db);
  const before = picture(folder.path);
  const signal = AbortSignal.abort();
  for (const [name, args] of [
    ['verify', folder.both],
    ['rebuild-ledger', ['--db', folder.db, '--ledger', ledger]],
    ['rebuild-database', ['--ledger', folder.ledger, '--db', db]],
  ] as const) {
    assert.deepEqual(await folder.run(name, args, { signal }), { code: 130, out: '', err: '' }, name);
  }
  assert.deepEqual(picture(folder.path), before);
});

test('no text of a store, a ledger or a path has power over the terminal', async (t) => {
  const folder = new Kiosk(t, { checked: false });
  folder.live((store) => {
    store.addUsage(hostile, '2026-11-21', 1_000);
    store.setCooldownUntil(hostile, now);
  });
  folder.harm("UPDATE usage SET duration_secs = 9; UPDATE cooldowns SET until = entry_id");
  mkdirSync(folder.file(hostile));
  copyFileSync(folder.ledger, folder.file(`${hostile}/audit.jsonl`));
  const calls: string[][] = [
    ['verify', ...folder.both],
    ['verify', ...folder.both, '--json'],
    ['verify', '--db', folder.db, '--ledger', folder.file(`${hostile}/none`)],
    ['replay', ...folder.both],
    ['replay', ...folder.both, '--json'],
    ['rebuild-ledger', '--db', folder.db, '--ledger', folder.file(`${hostile}/audit.jsonl`)],
    ['rebuild-ledger', '--db', folder.db, '--ledger', folder.file(`${hostile}/b`)],
    ['rebuild-database', '--ledger', folder.ledger, '--db', folder.file(`${hostile}/c`)],
    ['keygen', '--key', folder.file(`${hostile}/k`)],
    ['detach-ledger', '--db', folder.db, '--ledger', folder.file(`${hostile}/audit.jsonl`)],
  ];
  for (const argv of calls) {
    const { out, err } = await shepherd(argv, { clock, terminal: 80 });
    const text = stripVTControlCharacters((out + err).replaceAll(/\r\x1b\[K/g, '').replaceAll(/\x1b\[\d+m/g, ''));
    assert.match(text, /\S/, argv.join(' '));
    assert.equal((out + err).includes('\x1b[31m\x07'), false, argv.join(' '));
    assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\u202a-\u202e]/u, argv.join(' '));
  }
  assert.equal(existsSync(folder.file(`${hostile}/k.pub`)), true);
});

test('as processes the commands work together in a script', (t) => {
  const folder = kiosk(t);
  const script = `set -e
    store() { "$NODE" "$MAIN" "$@"; }
    store keygen --key "$DIR/key" >/dev/null
    ANCHOR=$(store anchor --db "$DB")
    store verify --db "$DB" --ledger "$LEDGER" --anchor "$ANCHOR" | head -1
    mv "$DB" "$DIR/gone.db"
    store rebuild-database --ledger "$LEDGER" --db "$DB" >/dev/null
    [ "$ANCHOR" = "$(store anchor --db "$DB")" ]
    store detach-ledger --db "$DB" --ledger "$LEDGER" | tail -1
    store replay --db "$DB" --ledger "$LEDGER" || echo "exit $?"`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    encoding: 'utf8',
    env: {
      ...plainEnvironment(),
      NODE: process.execPath,
      MAIN: program,
      DIR: folder.path,
      DB: folder.db,
      LEDGER: folder.ledger,
    },
  });
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    /^log +ok: 9 events checked, every hash fits, and row 9 is the anchor's\nanchor 10:[0-9a-f]{64}\nexit 2\n$/,
  );
  assert.match(stderr, /^shepherd-store: the store .* has no ledger[^\n]*\nUsage: [^\n]*\n$/);
});
