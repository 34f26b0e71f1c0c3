// The commands that people use beside a running service: grant, deny, allow, balance, correct, cooldown clear.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { userInfo } from 'node:os';
import { basename, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brief } from '../../lib/cli/text.ts';
import { parseChange } from '../../lib/cli/times.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { plainEnvironment } from '../support/child.ts';
import { type Said, shepherd } from '../support/command.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth } from '../support/ledger.ts';
import { Companion } from '../support/process.ts';

process.env['TZ'] = 'Europe/Berlin';
const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const now = new Date('2026-11-21T23:30:00Z'); // the 22nd in Berlin
const clock = (): Date => now;
const hostile = 'evil\x1b[31m\x07\u202e\n日本';
const minute = 60_000;
const source = userInfo().username;

/** A folder with a store, and what calls the command on it. */
class Kiosk extends TestFolder {
  run(...argv: string[]): Promise<Said> {
    return shepherd([...argv, '--db', this.file()], { clock });
  }

  /** The line that a call wrote; it did what it was to do. */
  async line(...argv: string[]): Promise<string> {
    const { code, out, err } = await this.run(...argv);
    assert.deepEqual([code, err, out.split('\n').length], [0, '', 2], out + err);
    return out.trimEnd();
  }

  async document(...argv: string[]): Promise<Record<string, unknown>> {
    const { code, out, err } = await this.run(...argv, '--json');
    assert.deepEqual([code, err], [0, '']);
    return JSON.parse(out) as Record<string, unknown>;
  }

  /** What a call is refused with. */
  async refusal(...argv: string[]): Promise<string> {
    const { code, out, err } = await this.run(...argv);
    assert.deepEqual([code, out], [2, ''], err);
    return err;
  }

  /** What a look at the store gives; another process may have it open. */
  look<T>(see: (store: SqliteStore) => T): T {
    using store = SqliteStore.openReadOnly(this.file(), { clock });
    return see(store);
  }

  harm(sql: string, ...values: (string | number | null)[]): void {
    using db = new DatabaseSync(this.file());
    db.exec('PRAGMA ignore_check_constraints = ON');
    db.prepare(sql).run(...values);
  }
}

function kiosk(t: TestContext, options?: { checked: boolean }): Kiosk {
  const folder = new Kiosk(t, options);
  SqliteStore.open(folder.file(), { clock }).close();
  return folder;
}

/** A store with a ledger at a path in the folder, and its key where it signs. */
function withLedger(t: TestContext, ledgerPath = 'audit.jsonl', signed = false): { folder: Kiosk; key: string } {
  const folder = new Kiosk(t);
  const key = folder.file('ledger.key');
  if (signed) spawnSync(process.execPath, [program, 'keygen', '--key', key], { env: plainEnvironment() });
  const settings = signed ? { signingKey: readFileSync(key, 'utf8') } : {};
  const ledger = Ledger.open(folder.file(ledgerPath), settings);
  SqliteStore.open(folder.file(), { ledger, clock }).close();
  ledger.close();
  return { folder, key };
}

test('grant adds to what a day grants, takes away with a minus, and says what is granted in all', async (t) => {
  const folder = kiosk(t);
  const first = await folder.line('grant', 'minecraft', '30m');
  assert.equal(first, '30 min more for minecraft on 2026-11-22: 30 min granted in all');
  const line = await folder.line('grant', 'minecraft', '15', '--day', 'today', '--reason', 'homework is done');
  assert.match(line, /^15 min more for minecraft on 2026-11-22: 45 min granted in all$/);
  assert.match(await folder.line('grant', 'minecraft', '-1h'), /^1 h less .*: 15 min taken away in all$/);
  assert.match(await folder.line('grant', 'minecraft', '+15m'), /^15 min more .*: 0 min granted in all$/);
  const document = await folder.document('grant', 'group:games', '-90s', '--day', 'tomorrow', '--reason', 'r');
  assert.deepEqual(document, {
    subject: 'group:games', day: '2026-11-23', durationMs: -90_000, grantedMs: -90_000, source, reason: 'r',
  });
  const events = folder.look((store) => store.getRecentAudits(10));
  assert.equal(events.length, 5);
  assert.partialDeepStrictEqual(events[3], {
    source, event: { type: 'time_granted', subject: 'minecraft', grantedMs: 45 * minute, reason: 'homework is done' },
  });
});

test('deny and allow hold for a day, and --clear ends what the same command did', async (t) => {
  const folder = kiosk(t);
  const availability = (day = '2026-11-22'): unknown =>
    folder.look((store) => store.getOverride('minecraft', day).availability);
  assert.equal(await folder.line('deny', 'minecraft'), 'minecraft is denied on 2026-11-22');
  assert.equal(availability(), 'denied');
  assert.match(await folder.line('allow', 'minecraft', '--clear'), /was not allowed .*, but denied: nothing was/);
  assert.equal(availability(), 'denied');
  assert.match(await folder.line('allow', 'minecraft', '--reason', 'guests'), /^minecraft is allowed on 2026-11-22, /);
  assert.equal(availability(), 'allowed');
  assert.match(await folder.line('deny', 'minecraft', '--clear'), /was not denied .*, but allowed: nothing was/);
  assert.equal(await folder.line('allow', 'minecraft', '--clear'), 'minecraft follows its rules again on 2026-11-22');
  assert.equal(availability(), undefined);
  assert.match(await folder.line('allow', 'minecraft', '--clear'), /was not allowed on 2026-11-22: nothing was/);
  await folder.line('deny', 'minecraft', '--day', '2026-12-24');
  assert.deepEqual([availability(), availability('2026-12-24')], [undefined, 'denied']);
  assert.deepEqual(await folder.document('deny', 'minecraft', '--clear', '--day', '2026-12-24'), {
    subject: 'minecraft', day: '2026-12-24', source, availability: null, cleared: true,
  });
  const events = folder.look((store) => store.getRecentAudits(10, { type: 'availability_set' }));
  assert.equal(events.length, 5);
  assert.partialDeepStrictEqual(events[3], { source, event: { reason: 'guests', availability: 'allowed' } });
});

test('a denied day can be denied and allowed although its override cannot be read', async (t) => {
  const folder = kiosk(t);
  await folder.line('deny', 'minecraft');
  folder.harm("UPDATE overrides SET availability = 'maybe'");
  const status = await folder.run('status');
  assert.equal(status.code, 1);
  assert.match(status.out, /\nLimits\n  minecraft  cannot be read\n/);
  assert.equal((await folder.run('deny', 'minecraft', '--clear')).code, 1);
  await folder.line('deny', 'minecraft');
  assert.match((await folder.run('status')).out, /\nLimits\n  minecraft  denied today\n/);
});

test('balance lists, shows and changes what was earned, and says what could not be applied', async (t) => {
  const folder = kiosk(t, { checked: false });
  assert.equal(await folder.line('balance'), 'No balances.');
  assert.equal(await folder.line('balance', 'minecraft'), 'minecraft has a balance of 0 min');
  assert.equal(await folder.line('balance', 'minecraft', '+30m'), '30 min more for minecraft: the balance is 30 min');
  const capped = await folder.line('balance', 'minecraft', '+1h', '--cap', '45m', '--reason', 'reading');
  assert.match(capped, /^15 min more, not 1 h, for minecraft: the balance is 45 min, and the cap /);
  assert.match(await folder.line('balance', 'minecraft', '+5', '--cap', '45m'), /^0 min more, not 5 min, .* is 45 min/);
  const taken = await folder.document('balance', 'minecraft', '-2h');
  assert.deepEqual(taken, {
    subject: 'minecraft', durationMs: -120 * minute, appliedMs: -45 * minute, balanceMs: 0, source,
  });
  assert.match(await folder.line('balance', 'minecraft', '-1'), /^0 min less, not 1 min, .* is 0 min, and there was /);
  await folder.line('balance', 'group:games', '+2h');
  const list = '  group:games  a balance of 2 h\n  minecraft    a balance of 0 min\n';
  assert.equal((await folder.run('balance')).out, list);
  assert.deepEqual(await folder.document('balance'), {
    balances: [{ subject: 'group:games', balanceMs: 120 * minute }, { subject: 'minecraft', balanceMs: 0 }],
  });
  const games = await folder.document('balance', 'group:games');
  assert.deepEqual(games, { subject: 'group:games', balanceMs: 120 * minute });
  assert.match((await folder.run('status')).out, /\nLimits\n  group:games  a balance of 2 h\n$/);
  folder.harm("UPDATE balances SET balance_ms = -1 WHERE subject = 'minecraft'");
  const { code, out } = await folder.run('balance');
  assert.equal(code, 1);
  assert.match(out, /\n  minecraft    cannot be read\n\nERR_STORE_CORRUPT: /);
});

test('correct takes a mistake back with its reason, and never more than was used', async (t) => {
  const folder = kiosk(t);
  folder.open({ clock }).addUsage('minecraft', '2026-11-21', 90 * minute);
  const line = await folder.line('correct', 'minecraft', 'yesterday', '-30m', '--reason', 'left open');
  assert.equal(line, '30 min less used of minecraft on 2026-11-21: 1 h in all');
  assert.deepEqual(await folder.document('correct', 'minecraft', '2026-11-21', '+90s', '--reason', 'r'), {
    entryId: 'minecraft', day: '2026-11-21', durationMs: 90_000, totalMs: 61.5 * minute, source, reason: 'r',
  });
  const tooMuch = await folder.refusal('correct', 'minecraft', 'yesterday', '-2h', '--reason', 'r');
  assert.match(tooMuch, /2 h cannot be taken off .*, which is 1 h 1 min 30 s \(ERR_STORE_INVALID_ARGUMENT\)/);
  assert.equal(folder.look((store) => store.getUsage('minecraft', '2026-11-21')), 61.5 * minute);
});

test('cooldown clear ends a cooldown, also one that cannot be read, and says when there was none', async (t) => {
  const folder = kiosk(t);
  const none = await folder.line('cooldown', 'clear', 'minecraft');
  assert.equal(none, 'minecraft was in no cooldown: nothing was changed');
  folder.open({ clock }).setCooldownUntil('minecraft', new Date(now.getTime() + 10 * minute));
  assert.match(
    await folder.line('cooldown', 'clear', 'minecraft'),
    /^cleared: the cooldown of minecraft, which was to last until Sun 2026-11-22 00:40:00 \+01:00$/,
  );
  assert.deepEqual(folder.look((store) => store.listCooldowns()), []);
  folder.open({ clock }).setCooldownUntil('minecraft', now);
  folder.harm("UPDATE cooldowns SET until = 'later'");
  assert.match(await folder.line('cooldown', 'clear', 'minecraft'), /which could not be read$/);
  assert.deepEqual(await folder.document('cooldown', 'clear', 'minecraft'), { entryId: 'minecraft', cleared: false });
});

test('durations are read as people write them, and nothing else is taken for one', () => {
  const good: [text: string, ms: number, isSigned?: boolean][] = [
    ['90', 90 * minute], ['30m', 30 * minute], ['1h30m', 90 * minute], ['90s', 90_000], ['2h', 120 * minute],
    ['1h30m15s', 90 * minute + 15_000], ['1h15s', 60 * minute + 15_000], ['0h5m', 5 * minute], ['007', 7 * minute],
    ['+30m', 30 * minute, true], ['-30m', -30 * minute, true], ['-1h30m', -90 * minute, true],
    ['-90', -90 * minute, true], ['9999999h', 9_999_999 * 60 * minute],
  ];
  for (const [text, ms, isSigned = false] of good) assert.deepEqual(parseChange(text), { ms, isSigned }, text);
  const bad = [
    '', '0', '0m', '-0', '+', '-', 'm', 'h', '30min', '30 m', '1h 30m', ' 30m', '30m\n', '1.5h', '1,5h', '1h30',
    '30m1h', '1m1m', '1H', '30M', '1d', '1e3', '0x10', '--30m', '+-30m', '−30m', '３０m', '30m-', '12345678',
    '12345678s', 'NaN', 'all', hostile,
  ];
  for (const text of bad) assert.equal(parseChange(text), undefined, text);
  assert.deepEqual(
    [0, 1, 999, 1_000, 60_000, 61_500, 3_600_000, 5_400_000, 86_400_000_000].map(brief),
    ['0 min', '0.001 s', '0.999 s', '1 s', '1 min', '1 min 1.5 s', '1 h', '1 h 30 min', '24,000 h'],
  );
});

test('wrong use is refused by name before the store is touched', async (t) => {
  const folder = kiosk(t);
  const before = readFileSync(folder.file());
  for (const [argv, said] of [
    [['grant', 'minecraft'], /DURATION is missing/],
    [['grant', 'minecraft', '1.5h'], /"1\.5h" is no duration: write 30m, 1h30m, 2h or 90s; a number alone is minutes/],
    [['grant', 'minecraft', '0m'], /"0m" is no duration/],
    [['grant', 'minecraft', '-0'], /"-0" is no duration/],
    [['grant', 'minecraft', '-m'], /Unknown option '-m'/],
    [['grant', 'minecraft', '30m', '20m'], /unexpected argument "20m"/],
    [['grant', '', '30m'], /an argument is empty/],
    [['grant', 'group:', '30m'], /a group is group:NAME/],
    [['grant', 'a', '30m', '--day', '2026-02-30'], /--day must be a day .* got "2026-02-30"/],
    [['grant', 'a', '30m', '--day', '-1'], /--day must be a day .* got "-1"/],
    [['grant', 'a', '30m', '--reason', ''], /--reason is empty/],
    [['grant', 'a', '30m', '--key', folder.file('none')], /none/],
    [['grant', 'a', '30m', '--ledger', folder.file('none')], /there is no ledger at .*none/],
    [['deny'], /ENTRY is missing/],
    [['allow', 'group:'], /a group is group:NAME/],
    [['balance', 'minecraft', '30m'], /"30m" is what the balance changes by: write \+30m or -30m/],
    [['balance', 'minecraft', '-30m', '--cap', '1h'], /--cap goes with a duration that is added/],
    [['balance', 'minecraft', '+30m', '--cap', '-1h'], /--cap must be a duration, got "-1h"/],
    [['balance', 'minecraft', '--cap', '1h'], /--cap goes with a change/],
    [['balance', '+30m'], /ENTRY is missing: write balance ENTRY \+30m/],
    [['balance', '--reason', 'r'], /--reason goes with a change/],
    [['correct', 'minecraft', 'today'], /DURATION is missing/],
    [['correct', 'minecraft', 'today', '-30m'], /--reason is missing/],
    [['correct', 'minecraft', 'today', '30m', '--reason', 'r'], /"30m" is what the total changes by/],
    [['correct', 'minecraft', '-30m', 'today', '--reason', 'r'], /DAY must be a day .* got "-30m"/],
    [['correct', 'group:games', 'today', '-30m', '--reason', 'r'], /a group has no usage of its own/],
    [['cooldown', 'minecraft'], /ENTRY is missing/],
    [['cooldown', 'end', 'minecraft'], /"clear", got "end"/],
    [['cooldown', 'clear', 'group:games'], /a group has no cooldown of its own/],
  ] as [string[], RegExp][]) {
    assert.match(await folder.refusal(...argv), said);
  }
  assert.deepEqual(readFileSync(folder.file()), before);
  assert.deepEqual(folder.look((store) => store.getRecentAudits(1)), []);
});

test('a command never makes a store, nor moves one up under its service', async (t) => {
  const folder = new Kiosk(t, { checked: false });
  const changes = [
    ['grant', 'a', '30m'], ['deny', 'a'], ['allow', 'a'], ['balance', 'a', '+1'], ['cooldown', 'clear', 'a'],
    ['correct', 'a', 'today', '+1', '--reason', 'r'],
  ];
  for (const argv of changes) assert.match(await folder.refusal(...argv), /\(ERR_STORE_NOT_FOUND\)/);
  assert.deepEqual(namesIn(folder.path), []);
  SqliteStore.open(folder.file()).close();
  SqliteStore.migrate(folder.file(), 7);
  for (const argv of changes) {
    const { code, err } = await folder.run(...argv);
    assert.equal(code, 1);
    assert.match(err, /shepherd-store migrate .*\(ERR_STORE_SCHEMA_TOO_OLD\)/);
  }
});

/** A service that has the store open, with its ledger where one is given, and answers for it. */
const service = (ledger?: string): string => `
  import { Ledger } from '${new URL('../../lib/ledger/index.ts', import.meta.url).href}';
  const ledger = ${ledger === undefined ? 'undefined' : `Ledger.open(${JSON.stringify(ledger)})`};
  const store = SqliteStore.open(path, ledger ? { ledger } : {});
  report('open');
  for (let line = await told(); line !== 'end'; line = await told()) {
    store.addUsage('minecraft', '2026-11-21', 1_000);
    report([store.getOverride('minecraft', '2026-11-22'), store.getBalance('minecraft')]);
  }
  store.close();
  ledger?.close();`;

test('beside a running service, with and without a ledger, each change is there at its next read', async (t) => {
  for (const name of [undefined, 'audit.jsonl']) {
    const folder = name === undefined ? kiosk(t) : withLedger(t, name).folder;
    const path = name === undefined ? undefined : folder.file(name);
    const running = new Companion(t, folder.file(), service(path));
    assert.equal(await running.next(), 'open');
    const env = { ...plainEnvironment(), TZ: 'Europe/Berlin' };
    for (const argv of [
      ['grant', 'minecraft', '-30m', '--day', '2026-11-22'], ['deny', 'minecraft', '--day', '2026-11-22'],
      ['balance', 'minecraft', '+30m'], ['correct', 'minecraft', '2026-11-21', '+30m', '--reason', 'r'],
    ]) {
      const { status, stderr } = spawnSync(process.execPath, [program, ...argv, '--db', folder.file()], { env });
      assert.equal(status, 0, String(stderr));
      await running.ask('go on');
    }
    assert.deepEqual(await running.ask('and'), [{ grantedMs: -30 * minute, availability: 'denied' }, 30 * minute]);
    running.tell('end');
    await running.end();
    assert.equal(folder.look((store) => store.getUsage('minecraft', '2026-11-21')), 30 * minute + 5_000);
    if (path !== undefined) checkBoth(folder.file(), path);
  }
});

test('a copy of a store does not write to the ledger that the service of the store writes to', async (t) => {
  const { folder } = withLedger(t, 'audit.jsonl');
  copyFileSync(folder.file(), folder.file('copy.db'));
  const running = new Companion(t, folder.file(), service(folder.file('audit.jsonl')));
  assert.equal(await running.next(), 'open');
  const before = readFileSync(folder.file('audit.jsonl'), 'utf8');
  const { code, out, err } = await shepherd(['grant', 'minecraft', '30m', '--db', folder.file('copy.db')], { clock });
  assert.deepEqual([code, out], [2, '']);
  assert.match(err, /process \d+ writes to .*audit\.jsonl for another database, of which .*copy\.db is a copy/);
  assert.equal(readFileSync(folder.file('audit.jsonl'), 'utf8'), before);
  assert.match(await folder.line('grant', 'minecraft', '30m'), /30 min granted/);
  running.tell('end');
  await running.end();
});

test('the ledger is found where the store remembers it, also after the folder was moved', async (t) => {
  const { folder } = withLedger(t, 'audit.jsonl');
  assert.match(await folder.line('grant', 'minecraft', '30m'), /30 min granted/);
  checkBoth(folder.file(), folder.file('audit.jsonl'));
  const moved = new Kiosk(t);
  mkdirSync(moved.file('log'));
  renameSync(folder.file('audit.jsonl'), moved.file('log/audit.jsonl'));
  mkdirSync(moved.file('data'));
  renameSync(folder.file(), moved.file('data/kiosk.db'));
  const grant = (path: string, ...rest: string[]): Promise<Said> =>
    shepherd(['grant', 'minecraft', '30m', '--db', path, ...rest], { clock });
  const lost = await grant(moved.file('data/kiosk.db'));
  assert.deepEqual([lost.code, lost.out], [2, '']);
  assert.match(lost.err, /the store has a ledger, and it is not at .*data\/audit\.jsonl: give its path by --ledger/);
  const named = await grant(moved.file('data/kiosk.db'), '--ledger', moved.file('log/audit.jsonl'));
  assert.match(named.out, /1 h granted in all/, named.err);
  // Both have moved together, and are reached by links besides.
  mkdirSync(moved.file('whole'));
  for (const name of ['data', 'log']) renameSync(moved.file(name), moved.file(`whole/${name}`));
  mkdirSync(moved.file('deep/er'), { recursive: true });
  for (const name of ['data', 'log']) symlinkSync(moved.file(`whole/${name}`), moved.file(`deep/er/${name}-link`));
  const link = ['--ledger', moved.file('deep/er/log-link/audit.jsonl')];
  assert.match((await grant(moved.file('whole/data/kiosk.db'))).out, /: 1 h 30 min granted/);
  assert.match((await grant(moved.file('deep/er/data-link/kiosk.db'))).out, /: 2 h granted/);
  assert.match((await grant(moved.file('deep/er/data-link/kiosk.db'), ...link)).out, /: 2 h 30 min granted/);
  assert.match((await grant(moved.file('whole/data/kiosk.db'))).out, /: 3 h granted/);
  checkBoth(moved.file('whole/data/kiosk.db'), moved.file('whole/log/audit.jsonl'));
});

test('a signed ledger is written to with its key alone', async (t) => {
  const { folder, key } = withLedger(t, 'audit.jsonl', true);
  assert.match(await folder.refusal('deny', 'minecraft'), /the store signs its events: give its private key by --key/);
  const other = withLedger(t, 'audit.jsonl', true);
  assert.match(await folder.refusal('deny', 'minecraft', '--key', other.key), /--key is not the key/);
  await folder.line('deny', 'minecraft', '--key', key);
  const verified = await folder.run('verify', '--ledger', folder.file('audit.jsonl'), '--public-key', `${key}.pub`);
  assert.equal(verified.code, 0, verified.out);
  const plain = kiosk(t);
  assert.match(await plain.refusal('deny', 'minecraft', '--key', key), /does not sign its events/);
});

/** The paths that are opened without following a link from here on, as the command looks for a ledger. */
function openedPaths(t: TestContext): string[] {
  const paths: string[] = [];
  const { openSync } = fs;
  t.mock.method(fs, 'openSync', (...args: Parameters<typeof openSync>) => {
    const careful = fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
    if ((Number(args[1]) & careful) === careful) paths.push(String(args[0]));
    return openSync(...args);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  return paths;
}

test('a planted place of the ledger makes no file, and is no way to write to another one', async (t) => {
  const { folder } = withLedger(t);
  const other = withLedger(t);
  copyFileSync(folder.file('audit.jsonl'), folder.file('real.jsonl'));
  symlinkSync('real.jsonl', folder.file('link.jsonl'));
  writeFileSync(folder.file('text'), 'text\n');
  writeFileSync(folder.file('empty'), '');
  const before = readFileSync(other.folder.file('audit.jsonl'), 'utf8');
  const names = namesIn(folder.path);
  const opened = openedPaths(t);
  for (const planted of [
    'made.jsonl', `no/such/${hostile}`, 'text', 'empty', 'link.jsonl', '.', '..', '', 'store.db', 'store.db-wal',
    other.folder.file('audit.jsonl'), `../${basename(other.folder.path)}/audit.jsonl`,
    folder.file('audit.jsonl'), '/dev/zero', '../../dev/zero', 'x'.repeat(5_000), 7, null,
  ]) {
    folder.harm('UPDATE store_meta SET ledger_path = ?', planted);
    const said = await folder.refusal('deny', 'minecraft');
    assert.match(said, /the store has a ledger, and .*: give its path by --ledger FILE\nUsage: /, String(planted));
    assert.deepEqual(namesIn(folder.path), names);
  }
  // To open a device can make it act, and to close a file of the database drops this process's locks on it.
  for (const path of ['/dev/zero', 'store.db', 'store.db-wal', 'link.jsonl']) {
    assert.equal(opened.includes(resolve(folder.path, path)), false, path);
  }
  assert.equal(opened.includes(folder.file('text')), true);
  assert.equal(readFileSync(other.folder.file('audit.jsonl'), 'utf8'), before);
  assert.equal(existsSync(folder.file('made.jsonl')), false);
  await folder.line('deny', 'minecraft', '--ledger', folder.file('audit.jsonl'));
  await folder.line('allow', 'minecraft');
});

test('no name has power over the terminal', async (t) => {
  const folder = kiosk(t);
  const db = ['--db', folder.file()];
  for (const argv of [
    ['grant', hostile, '30m', '--reason', hostile], ['deny', hostile], ['deny', hostile, '--clear'],
    ['allow', hostile], ['balance', hostile, '+30m'], ['balance', hostile], ['balance'], ['cooldown', 'clear', hostile],
    ['correct', hostile, 'today', '+1', '--reason', hostile], ['correct', hostile, 'today', '-1h', '--reason', 'r'],
    ['grant', 'a', hostile], ['correct', 'a', hostile, '-1', '--reason', 'r'], ['cooldown', hostile, 'a'], ['status'],
  ]) {
    for (const json of [[], ['--json']]) {
      const { out, err } = await shepherd([...argv, ...json, ...db], { clock, terminal: 60 });
      const text = (out + err).replaceAll(/\x1b\[\d+m/g, '').replaceAll('\n', '');
      assert.doesNotMatch(text, /[\p{Cc}\u202e]/u, argv.join(' '));
    }
  }
});

test('a change that found something amiss when it opened the store says so', async (t) => {
  const { folder } = withLedger(t);
  const lines = readFileSync(folder.file('audit.jsonl'), 'utf8');
  writeFileSync(folder.file('audit.jsonl'), lines.slice(0, -5));
  const { code, out, err } = await folder.run('deny', 'minecraft');
  assert.equal(code, 0, err);
  assert.match(out, /^recovered: the ledger was found behind; the event store_recovered says more\nminecraft is /);
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});
