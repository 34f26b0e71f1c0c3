import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { ago, bar, bytes, duration, fit, json, pad, plain, span, textWidth, wrap } from '../../lib/cli/text.ts';
import { parseSpan } from '../../lib/cli/times.ts';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { pattern, type Said, shepherd } from '../support/command.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

// A zone with an offset, so that local time and UTC cannot be mistaken for each other.
process.env['TZ'] = 'Europe/Berlin';

const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const now = new Date('2026-11-21T18:00:00+01:00');
const clock = (): Date => now;
const lookers = ['status', 'audit', 'usage', 'cooldowns', 'snapshot', 'verify', 'facts', 'projects'];
const writers = ['grant', 'deny', 'allow', 'balance', 'correct', 'cooldown'];
const commandNames = [...lookers, 'due', 'limits', ...writers, 'import', 'demo'];
const hostile = 'evil\x1b[31m\x07\x9b2J\u202e\n\r日本';

/** A store with a week of a kiosk: sessions, a denied launch, cooldowns, one session running. */
function fill(folder: TestFolder): string {
  let at = new Date('2026-11-16T10:00:00+01:00').getTime();
  const store = SqliteStore.open(folder.file(), { clock: () => new Date(at) });
  const tracker = new SessionTracker(store, { monotonicMs: () => at });
  store.appendAudit(
    { type: 'policy_loaded', entryCount: 3 },
    { source: 'admin', target: 'kiosk', tags: ['a', 'b'], observedAt: new Date(at - 1_000) },
  );
  for (const entryId of ['minecraft', 'tuxmath', 'minecraft', '日本語ゲーム', '🎮 retro']) {
    tracker.start({ entryId, sessionId: `of ${entryId} at ${at}`, label: 'A label' });
    at += 45 * 60_000;
    tracker.end({ type: 'user_stop' }, { cooldownMs: 30 * 60_000 });
    at += 23 * 3_600_000;
  }
  at = now.getTime() - 20 * 60_000;
  store.appendAudit({ type: 'launch_denied', entryId: 'minecraft', reasons: ['in cooldown', 'not at this hour'] });
  store.setCooldownUntil('tuxmath', new Date(now.getTime() + 5_400_000));
  tracker.start({ entryId: 'minecraft', sessionId: 'running', deadline: new Date(now.getTime() + 600_000) });
  at += 600_000;
  tracker.touch({ warningsIssued: [300] });
  store.addUsage('tiny', '2026-11-21', 500);
  new FactStore(store).upsertFact({
    targetId: 'host-001',
    namespace: 'hw.cpu',
    key: 'cpu_count',
    value: 4,
    ttlSeconds: 3_600,
  });
  new ProjectStore(store).recordProjectRun('/srv/kiosk');
  store.close();
  return folder.file();
}

function harm(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

/** Runs a command of a process of its own, as a shell would. */
function runProcess(
  command: string,
  env: NodeJS.ProcessEnv = {},
): { code: number | null; signal: string | null; out: string; err: string } {
  const { status, signal, stdout, stderr } = spawnSync('bash', ['-c', command], {
    encoding: 'utf8',
    env: { ...plainEnvironment(), NODE: process.execPath, MAIN: program, ...env },
  });
  return { code: status, signal, out: stdout, err: stderr };
}

/** Nothing that a terminal would obey, apart from the colours of this package. */
function assertHarmless(text: string, what: string): void {
  assert.doesNotMatch(
    text.replaceAll(/\x1b\[\d+m/g, '').replaceAll('\n', ''),
    /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u,
    what,
  );
}

function assertFits(text: string, what: string, width = 80): void {
  for (const line of stripVTControlCharacters(text).split('\n'))
    assert.ok(textWidth(line) <= width, `${what} is wider than ${width}: ${line}`);
}

test('--help lists each command on a line, and each command explains its options and shows an example', async () => {
  const { code, out, err } = await shepherd(['--help']);
  assert.deepEqual([code, err], [0, '']);
  for (const name of commandNames) assert.match(out, new RegExp(`^  ${name} +[A-Z]\\w+`, 'm'));
  assert.match(out, /Exit codes[^\n]*\n  0 .*\n  1 .*\n[^]*  2 [^]*  130 /);
  assertFits(out, '--help');
  assert.deepEqual(await shepherd(['-h']), { code, out, err });
  for (const name of commandNames) {
    const help = await shepherd([name, '--help']);
    assert.deepEqual([help.code, help.err], [0, '']);
    assert.match(
      help.out,
      new RegExp(
        `^Usage: shepherd-store ${name} [^]*Options[^]*  --json [^]*  --help [^]*Examples?\n  shepherd-store ${name}`,
        'm',
      ),
    );
    assert.equal(
      /--db FILE +the store; by default the user's own/.test(help.out),
      [...lookers, 'due', 'limits', ...writers].includes(name),
      name,
    );
    assertFits(help.out, `${name} --help`);
    assert.deepEqual(await shepherd([name, '-h']), help);
  }
});

test('--version is the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.deepEqual(await shepherd(['--version']), { code: 0, out: `${version}\n`, err: '' });
});

test('wrong use is named on stderr with a usage line, and the exit code is 2', async (t) => {
  const folder = new TestFolder(t);
  const db = ['--db', fill(folder)];
  const wrong: [argv: string[], said: RegExp][] = [
    [[], /no command given/],
    [['stauts'], /there is no command "stauts"; did you mean status\?\n/],
    [['qqqq'], /there is no command "qqqq"; there are status, audit, [^]* help, version\n/],
    [['help', 'audti'], /there is no command "audti"; did you mean audit\?/],
    [['help', 'audit', 'usage'], /unexpected argument "usage"/],
    [['--db', 'x', 'status'], /the command comes first, got "--db"/],
    [['bad\x1b[31m'], /"bad\\x1b\[31m"/],
    [['status', '--db', ''], /--db is empty/],
    [['status', '--db'], /--db/],
    [['status', '--dbb', 'x'], /Unknown option '--dbb'; did you mean --db\?/],
    [['verify', '--publickey', 'x'], /Unknown option '--publickey'; did you mean --public-key\?/],
    [['runs', '--status', 'runing', ...db], /--status must be one of [^\n]*, got "runing"; did you mean running\?/],
    [['status', ...db, '-x'], /Unknown option '-x'/],
    [['status', ...db, '--json=yes'], /--json/],
    [['status', 'x', ...db], /"x" and --db both name a store/],
    [['status', 'x', 'y'], /unexpected argument "y"/],
    [['usage', '', ...db], /an argument is empty/],
    [['demo', ''], /an argument is empty/],
    [['usage', 'minecraft', 'tuxmath', ...db], /unexpected argument "tuxmath"/],
    [['usage', '--day', '2026-02-30', ...db], /--day must be a day .* got "2026-02-30"/],
    [['usage', '--day', 'someday', ...db], /--day must be a day/],
    [['usage', '--days', '0', ...db], /--days must be a whole number from 1 to 36600, got "0"/],
    [['usage', '--days', '1e3', ...db], /--days must be/],
    [['usage', '--days', '3', '--day', '2026-11-21', ...db], /--day do not go with --days/],
    [['usage', '--from', '2026-11-21', '--days', '3', ...db], /--from and --to do not go with --days/],
    [['usage', '--to', '2026-11-21', ...db], /--to needs --from/],
    [['usage', '--from', '2026-11-22', '--to', '2026-11-21', ...db], /--from 2026-11-22 is after --to 2026-11-21/],
    [['usage', '--from', '2026-11-22', ...db], /--from 2026-11-22 is after today, 2026-11-21/],
    [['audit', '--limit', '-1', ...db], /--limit/],
    [['audit', '--limit', 'ten', ...db], /--limit must be a whole number/],
    [['audit', '--before-id', '0', ...db], /--before-id must be/],
    [['audit', '--since', 'lately', ...db], /--since must be a day or a time .* got "lately"/],
    [['audit', '--since', '2026-02-30', ...db], /--since must be/],
    [['audit', '--until', '2026-11-21T25:00', ...db], /--until must be/],
    [['verify', '--anchor', '5', ...db], /--anchor must be the ID:HASH/],
    [['verify', '--anchor', `0:${'a'.repeat(64)}`, ...db], /--anchor must be/],
    [['due', ...db], /TASKTYPE=INTERVAL… is missing/],
    ...['lint', 'lint=', '=24h', 'lint=24', 'lint=1.5h', 'lint=0h', 'lint=-1h', 'lint=99999999d', 'lint=1y'].map(
      (text): [string[], RegExp] => [
        ['due', 'docs=7d', text, ...db],
        new RegExp(`"${text}" must be a type of task and an interval`),
      ],
    ),
    [['due', 'lint=1h', 'docs=7d', 'lint=2h', ...db], /lint has two intervals/],
    [['import'], /FROM is missing/],
    [['import', 'a'], /TO is missing/],
    [['import', 'a', 'b', 'c'], /unexpected argument "c"/],
    [['demo', 'a', 'b'], /unexpected argument "b"/],
  ];
  for (const [argv, said] of wrong) {
    const { code, out, err } = await shepherd(argv, { clock });
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
    assert.match(err, said);
    assert.match(err, /^Usage: shepherd-store /m, argv.join(' '));
    assertHarmless(err, argv.join(' '));
  }
});

test('what is no store, not there or not readable is one line with its code', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  writeFileSync(
    folder.file('text'),
    'no database at all, but long enough to have a header of a hundred bytes '.repeat(4),
  );
  writeFileSync(folder.file('empty'), '');
  harm(folder.file('foreign.db'), 'CREATE TABLE t (a)');
  fill(folder);
  copyFileSync(folder.file(), folder.file('torn.db'));
  writeFileSync(folder.file('torn.db'), readFileSync(folder.file()).fill(0x5a, 4096, 8192 * 4));
  for (const name of ['lost', 'emptied', 'noise']) {
    mkdirSync(folder.file(name));
    copyFileSync(folder.file('store.snapshot.json'), folder.file(`${name}/store.snapshot.json`));
  }
  writeFileSync(folder.file('emptied/store.db'), '');
  writeFileSync(folder.file('noise/store.db'), readFileSync(folder.file()).fill(0x5a, 0, 4096));
  const before = picture(folder.path);
  const cases: [file: string, code: number, said: RegExp][] = [
    ['absent.db', 2, /no such file.*\(ERR_STORE_NOT_FOUND\)/],
    ['text/x.db', 2, /not a folder.*\(ERR_STORE_NOT_FOUND\)/],
    ['text', 1, /\(ERR_STORE_NOT_A_STORE\)/],
    ['empty', 1, /\(ERR_STORE_NOT_A_STORE\)/],
    ['foreign.db', 1, /another program|it holds tables t.*\(ERR_STORE_NOT_A_STORE\)/],
    [
      'emptied/store.db',
      1,
      /store\.db is empty, and .*store\.snapshot\.json says that there was a store \(ERR_STORE_CORRUPT\)/,
    ],
    [
      'noise/store.db',
      1,
      pattern(
        /store\.db is no database any more, and /,
        /.*store\.snapshot\.json says that there was a store \(ERR_STORE_CORRUPT\)/,
      ),
    ],
    [
      'lost/store.db',
      1,
      /store\.db is missing, and .*store\.snapshot\.json says that there was a store \(ERR_STORE_CORRUPT\)/,
    ],
  ];
  for (const name of lookers) {
    for (const [file, code, said] of cases) {
      const result = await shepherd([name, '--db', folder.file(file)]);
      assert.deepEqual([result.code, result.out], [code, ''], `${name} ${file}`);
      assert.match(result.err, said);
      assert.match(result.err, /^shepherd-store: [^\n]*\n$/);
    }
    const torn = await shepherd([name, '--db', folder.file('torn.db')], { clock });
    assert.equal(torn.code, 1, name);
    assert.match(torn.out + torn.err, /ERR_STORE_CORRUPT/);
  }
  assert.deepEqual(picture(folder.path), before);
});

test('each command that looks works on an empty and on a filled store, and leaves no trace', async (t) => {
  const empty = new TestFolder(t);
  empty.open().close();
  const filled = new TestFolder(t);
  fill(filled);
  const said: Record<string, RegExp[]> = {
    status: [
      /healthy[^]*events +none[^]*session +none[^]*nothing was used[^]*none is running/,
      pattern(
        /healthy[^]*events +13, the newest 20 min 00 s ago/,
        /[^]*session +minecraft, 10 min 00 s counted, saved 10 min 00 s ago/,
        /[^]*until Sat 2026-11-21 18:10:00 \+01:00\n +since Sat 2026-11-21 17:40:00 \+01:00\n/,
        / +warned 5 min 00 s before the end/,
        /[^]*tiny +0\.500 s[^]*tuxmath +Sat 2026-11-21 19:30:00 \+01:00 +1 h 30 min left/,
      ),
    ],
    audit: [
      /^No events\.\n$/,
      pattern(
        /^Sat 2026-11-21 \+01:00\n13 +17:40:00 +session_started +minecraft deadline=18:10:00\s+session=running\n/,
        /12 +17:40:00 +launch_denied +minecraft reasons=in cooldown, not at this hour\n\nFri 2026-11-20/,
      ),
    ],
    usage: [
      /Nothing was used/,
      pattern(
        /Sun 2026-11-15 +-\nMon 2026-11-16 +45 min 00 s +█+\n +minecraft 45 min 00 s\n/,
        /[^]*3 h 45 min 00 s in all on 6 days/,
      ),
    ],
    cooldowns: [/^No cooldowns\.\n$/, /^ +tuxmath +Sat 2026-11-21 19:30:00 \+01:00 +1 h 30 min left\n[^]*over for/],
    snapshot: [
      /saved +never\ncopies +row +absent\n +file +absent/,
      pattern(
        /saved +Sat 2026-11-21 17:50:00 \+01:00 \(10 min 00 s ago\)\nsession +minecraft[^]*id running\n/,
        /copies +row +whole, no\. \d+, 10 min 00 s ago\n +file +whole/,
      ),
    ],
    facts: [/^No facts\.\n$/, /^host-001\n  hw\.cpu  cpu_count  4 +50 min 00 s left\n$/],
    projects: [/^No projects\.\n$/, /^\/srv\/kiosk\n    1 run, the last 10 min 00 s ago\n$/],
    verify: [
      /^log +ok: 0 events checked/,
      /^log +ok: 13 events checked, every hash fits\npages +ok: [\d,]+ pages checked\n\nanchor 13:[0-9a-f]{64}\n$/,
    ],
  };
  for (const [index, folder] of [empty, filled].entries()) {
    const before = picture(folder.path);
    for (const name of lookers) {
      const { code, out, err } = await shepherd([name, '--db', folder.file()], { clock });
      assert.deepEqual([code, err], [0, ''], `${name} ${out}`);
      assert.match(out, said[name]![index]!);
      assertFits(out, name);
      const machine = await shepherd([name, '--db', folder.file(), '--json'], { clock });
      assert.deepEqual([machine.code, machine.err], [0, '']);
      for (const text of name === 'audit' ? machine.out.split('\n').slice(0, -1) : [machine.out])
        assert.equal(typeof JSON.parse(text), 'object');
    }
    assert.deepEqual(picture(folder.path), before);
  }
});

test('--json gives every value in full, under names that stay', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const ask = async (...argv: string[]): Promise<unknown> =>
    JSON.parse((await shepherd([...argv, '--db', path, '--json'], { clock })).out);
  assert.partialDeepStrictEqual(await ask('status'), {
    path,
    ok: true,
    healthy: true,
    findings: [],
    errors: [],
    schemaVersion,
    snapshot: { row: { state: 'whole' }, file: { state: 'whole' } },
    head: { id: 13 },
    day: '2026-11-21',
    session: { sessionId: 'running', entryId: 'minecraft', elapsedMs: 600_000, warningsIssued: [300] },
    usage: [{ entryId: 'tiny', day: '2026-11-21', durationMs: 500 }],
  });
  assert.deepEqual(await ask('usage', 'minecraft', '--days', '6'), {
    from: '2026-11-16', to: '2026-11-21', entryId: 'minecraft',
    usage: ['2026-11-16', '2026-11-18'].map((day) => ({ entryId: 'minecraft', day, durationMs: 2_700_000 })),
  });
  assert.partialDeepStrictEqual(await ask('cooldowns'), {
    now: now.toISOString(),
    cooldowns: [{ entryId: 'tuxmath', until: '2026-11-21T18:30:00.000Z', running: true }],
  });
  assert.partialDeepStrictEqual(await ask('snapshot'), {
    state: { timestamp: '2026-11-21T16:50:00.000Z', activeSession: { sessionId: 'running' } },
    copies: { file: { state: 'whole' } },
    findings: [],
  });
  assert.partialDeepStrictEqual(await ask('verify'), {
    ok: true,
    checked: 13,
    head: { id: 13 },
    findings: [],
    more: 0,
  });
  const { out } = await shepherd(['audit', '--db', path, '--json', '--limit', '2'], { clock });
  const lines = out.split('\n');
  assert.deepEqual(lines.slice(0, -1).map((line) => (JSON.parse(line) as { id: number }).id), [13, 12]);
  assert.deepEqual(JSON.parse(lines[0]!), {
    id: 13,
    timestamp: '2026-11-21T16:40:00.000Z',
    event: {
      type: 'session_started',
      sessionId: 'running',
      entryId: 'minecraft',
      deadline: '2026-11-21T17:10:00.000Z',
    },
    eventId: 'session_started:running',
  });
});

test('audit filters by type, time, session and attributes, and goes back page by page', async (t) => {
  const path = fill(new TestFolder(t));
  const ids = async (...argv: string[]): Promise<number[]> => {
    const { out } = await shepherd(['audit', '--db', path, '--json', ...argv]);
    return out.split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { id: number }).id);
  };
  assert.deepEqual(await ids('--type', 'launch_denied'), [12]);
  assert.deepEqual(await ids('--session', 'running'), [13]);
  assert.deepEqual(await ids('--source', 'admin'), [1]);
  assert.deepEqual(await ids('--target', 'kiosk'), [1]);
  assert.deepEqual(await ids('--since', '2026-11-21'), [13, 12]);
  assert.deepEqual(await ids('--since', '2026-11-21T17:40'), [13, 12]);
  assert.deepEqual(await ids('--since', '2026-11-21 17:40:01'), []);
  assert.deepEqual(await ids('--since', '2026-11-21T16:40:00Z'), [13, 12]);
  assert.deepEqual(await ids('--until', '2026-11-16T10:00:01+01:00'), [2, 1]);
  assert.deepEqual(await ids('--limit', '3'), [13, 12, 11]);
  assert.deepEqual(await ids('--limit', '3', '--before-id', '11'), [10, 9, 8]);
  const { out } = await shepherd(['audit', '--db', path, '--limit', '3']);
  assert.match(out, /\n\nOlder events: --before-id 11\n$/);
  const oldest = await shepherd(['audit', '--db', path, '--limit', '1', '--before-id', '2']);
  assert.match(
    oldest.out,
    pattern(
      /^Mon 2026-11-16 \+01:00\n1 +10:00:00 +policy_loaded +entryCount=3 source=admin target=kiosk\n/,
      / +observedAt=09:59:59 tags=a, b\n$/,
    ),
  );
});

test('audit shows what any event says, cut where it is long and broken where it is wide', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<{ type: string; [field: string]: unknown }>({ clock });
  store.appendAudit({
    type: 'session_ended',
    sessionId: 's',
    entryId: 'a',
    durationMs: 3_723_000,
    reason: { type: 'process_exited', exitCode: 3 },
  });
  store.appendAudit({
    type: 'own',
    at: '2026-11-20T12:00:00Z',
    list: [1, [2]],
    deep: { a: null },
    waitMs: -5,
    none: null,
    yes: true,
  });
  store.appendAudit({
    type: 'a_type_with_a_name_that_is_much_too_long',
    text: 'word '.repeat(500),
    blob: 'x'.repeat(300),
  });
  store.appendAudit({ type: 'own', entryId: 7, sessionId: null, warnedSecs: 300 });
  store.close();
  const { out } = await shepherd(['audit', '--db', folder.file()]);
  assert.match(out, /session_ended +a duration=1 h 02 min 03 s\n +reason=process_exited, exitCode=3 session=s\n/);
  assert.match(
    out,
    pattern(
      /own +at=Fri 2026-11-20 13:00:00 \+01:00\n/,
      / +list=\[1,\[2\]\] deep=\{"a":null\} wait=-0\.005 s\n +none=null yes=true\n/,
    ),
  );
  assert.match(out, /a_type_with_a_name_that_is_much_too_long\n +\S/);
  assert.match(out, /word…?\n/);
  assert.match(out, /own +7 warned=5 min 00 s session=null\n/);
  assertFits(out, 'audit');
  assert.ok(out.split('\n').length < 30, out);
  const wide = await shepherd(['audit', '--db', folder.file()], { terminal: 120 });
  assertFits(wide.out, 'audit on a wide terminal', 120);
  assert.ok(wide.out.split('\n').length < out.split('\n').length);
});

test('usage shows a bar per day in proportion, and says nothing of a day without use but that', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  store.addUsage('a', '2026-11-21', 3_600_000);
  store.addUsage('a', '2026-11-20', 1_800_000);
  store.addUsage('a', '2026-11-18', 1);
  store.addUsage('b', '2026-11-20', 1_800_000);
  store.addUsage('a', '2025-01-01', 60_000);
  store.close();
  const lines = async (...argv: string[]): Promise<string[]> =>
    (await shepherd(['usage', '--db', folder.file(), ...argv], { clock })).out.split('\n');
  const barOf = (line: string | undefined): number =>
    (line?.match(/█/g) ?? []).length + (line?.includes('▌') ? 0.5 : 0);
  const days = await lines('a', '--days', '4');
  assert.deepEqual(days.slice(0, 2), ['Usage of a, 2026-11-18 to 2026-11-21', '']);
  assert.deepEqual(
    days.slice(2, 6).map((line) => line.replace(/ *[█▌]*$/, '')),
    [
      'Wed 2026-11-18          0.001 s',
      'Thu 2026-11-19                -',
      'Fri 2026-11-20      30 min 00 s',
      'Sat 2026-11-21  1 h 00 min 00 s',
    ],
  );
  assert.equal(barOf(days[2]), 0.5);
  assert.equal(barOf(days[3]), 0);
  assert.equal(barOf(days[4]) * 2, barOf(days[5]));
  // Without an entry both days are as long as each other.
  const all = (await lines('--from', '2026-11-20')).filter((line) => barOf(line) > 0);
  assert.equal(barOf(all[0]), barOf(all[1]));
  assert.match(
    (await lines('--from', '2026-11-20')).join('\n'),
    /Fri 2026-11-20 [^]*\n    a 30 min 00 s · b 30 min 00 s\nSat/,
  );
  assert.match(
    (await lines('--day', '2026-11-20')).join('\n'),
    /Usage, Fri 2026-11-20\n\n  a +30 min 00 s +█+\n  b +30 min 00 s +█+\n\n1 h 00 min 00 s in all on 1 day\n/,
  );
  // Two years: only the days with usage.
  assert.deepEqual(
    (await lines('--from', '2025-01-01', '--to', '2026-11-21'))
      .filter((line) => /^\w\w\w \d/.test(line))
      .map((line) => line.slice(4, 14)),
    ['2025-01-01', '2026-11-18', '2026-11-20', '2026-11-21'],
  );
  assert.match((await lines('--days', '36600')).join('\n'), /2 h 01 min 00 s in all on 4 days/);
  assert.match(
    (await lines('nobody')).join('\n'),
    /^Usage of nobody, 2026-11-15 to 2026-11-21\n\nNothing was used\.\n$/,
  );
});

test('a total, a cooldown or an event that cannot be read is an error, and hides no other', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  harm(path, `
    UPDATE usage SET duration_secs = 'lots' WHERE entry_id = '日本語ゲーム';
    INSERT INTO usage (entry_id, day, duration_secs) VALUES (x'01', '2026-11-20', 5), ('minecraft', '2026-11-21', -1),
      ('alone', '2026-11-17', 'x'), ('alone', '2026-11-1x', 1);
    UPDATE cooldowns SET until = 'soon' WHERE entry_id = 'minecraft';
    INSERT INTO cooldowns (entry_id, until) VALUES (NULL, '2026-11-21T00:00:00Z')`);
  const usage = await shepherd(['usage', '--db', path], { clock });
  assert.equal(usage.code, 1);
  assert.match(usage.out, /Thu 2026-11-19 +cannot be read\n    日本語ゲーム \?\n/);
  assert.match(usage.out, /45 min 00 s \+ \?/);
  assert.match(
    usage.out,
    pattern(
      /at least 3 h 00 min 00 s in all on 7 days: 5 totals cannot be read\n/,
      /[^]*ERR_STORE_CORRUPT: the usage of 'minecraft' on '2026-11-21' cannot be read:/,
    ),
  );
  const alone = await shepherd(['usage', 'alone', '--from', '2026-11-01', '--db', path], { clock });
  assert.match(alone.out, /cannot be read[^]*2026-11-1x[^]*at least 0 s in all/);
  const day = await shepherd(['usage', '--day', '2026-11-21', '--db', path], { clock });
  assert.equal(day.code, 1);
  assert.match(day.out, /  minecraft +cannot be read\n  tiny +0\.500 s/);
  const cooldowns = await shepherd(['cooldowns', '--db', path], { clock });
  assert.equal(cooldowns.code, 1);
  assert.match(
    cooldowns.out,
    /  minecraft +cannot be read\n[^]*  tuxmath +Sat 2026-11-21[^]*the cooldown of 'minecraft' cannot be read: 'soon'/,
  );
  const status = await shepherd(['status', '--db', path], { clock });
  assert.equal(status.code, 1);
  assert.match(
    status.out,
    /works, with something to look at[^]*Findings\n  ERR_STORE_CORRUPT[^]*minecraft +cannot be read[^]*tiny[^]*tuxmath/,
  );
  for (const { out } of [usage, alone, day, cooldowns, status]) assertFits(out, 'damaged');
  const machine = await shepherd(['usage', '--day', '2026-11-21', '--db', path, '--json'], { clock });
  assert.equal(machine.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    usage: [
      { entryId: 'minecraft', error: { code: 'ERR_STORE_CORRUPT' } },
      { entryId: 'tiny', durationMs: 500 },
    ],
  });
});

test('audit goes round an event that cannot be read, whatever is asked for', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  harm(path, `
    DROP TRIGGER audit_log_no_update;
    UPDATE audit_log SET event_data = '{' WHERE id IN (5, 13);
    UPDATE audit_log SET timestamp = 'then' WHERE id = 9`);
  const { code, out } = await shepherd(['audit', '--db', path]);
  assert.equal(code, 1);
  assert.match(out, /^ERR_STORE_CORRUPT: audit_log row 13: event_data cannot be read/);
  assert.match(out, /\n12 +17:40:00 +launch_denied/);
  assert.match(out, /audit_log row 9: timestamp cannot be read[^]*audit_log row 5:[^]*\n 1 +10:00:00 +policy_loaded/);
  const some = await shepherd(['audit', '--db', path, '--json', '--type', 'session_started', '--limit', '4']);
  assert.equal(some.code, 1);
  const lines = some.out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { id: number; error?: { code: string }; event?: { type: string } });
  assert.deepEqual(lines.map(({ id, error, event }) => [id, error?.code ?? event?.type]), [
    [13, 'ERR_STORE_CORRUPT'], [10, 'session_started'], [8, 'session_started'], [6, 'session_started'],
  ]);
  const status = await shepherd(['status', '--db', path], { clock });
  assert.equal(status.code, 1);
  assert.match(status.out, /audit_log row 13/);
});

test('status and snapshot tell of a damaged or missing copy of the snapshot', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  const copy = folder.file('store.snapshot.json');
  const whole = readFileSync(copy);
  const spoil = (): void => {
    writeFileSync(copy, whole.subarray(0, -9));
  };
  spoil();
  for (const name of ['status', 'snapshot']) {
    const { code, out } = await shepherd([name, '--db', path], { clock });
    assert.equal(code, 1);
    assert.match(out, /file damaged\n[^]*Findings\n  snapshot-file-damaged\n    \S/);
    assert.match(out, /session +minecraft/);
    assertFits(out.replaceAll(folder.path, ''), name);
  }
  rmSync(copy);
  assert.match((await shepherd(['snapshot', '--db', path], { clock })).out, /file absent\n[^]*snapshot-file-missing/);
  spoil();
  harm(path, "UPDATE snapshot SET data = '{}'");
  const { code, out } = await shepherd(['snapshot', '--db', path], { clock });
  assert.equal(code, 1);
  assert.match(
    out,
    /saved +cannot be read\ncopies +row +damaged, no\. \d+\n[^]*snapshot-row-damaged[^]*ERR_STORE_CORRUPT/,
  );
  const machine = await shepherd(['snapshot', '--db', path, '--json'], { clock });
  assert.equal(machine.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    state: null,
    copies: { row: { state: 'damaged' } },
    error: { code: 'ERR_STORE_CORRUPT' },
  });
  const status = await shepherd(['status', '--db', path, '--json'], { clock });
  assert.equal(status.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(status.out), {
    ok: false,
    errors: [{ code: 'ERR_STORE_CORRUPT' }],
    head: { id: 13 },
  });
});

test('a clock behind the log is a finding, and times ahead of it are called so', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const back = (): Date => new Date('1970-01-02T00:00:00Z');
  const { code, out } = await shepherd(['status', '--db', path], { clock: back });
  assert.equal(code, 1);
  assert.match(out, /ahead of the clock[^]*clock-behind\n/);
  assertFits(out, 'status');
  folder.open({ clock }); // a service runs, which could end the session
  const over = await shepherd(['status', '--db', path], { clock: () => new Date(now.getTime() + 3_600_000) });
  assert.match(over.out, /until Sat 2026-11-21 18:10:00 \+01:00 \(50 min 00 s over\)/);
});

test('verify finds a changed and a missing row, and holds the log against an anchor', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  const anchor = /anchor (13:[0-9a-f]{64})/.exec((await shepherd(['verify', '--db', path])).out)?.[1] ?? '';
  const held = await shepherd(['verify', '--db', path, '--anchor', anchor.toUpperCase()]);
  assert.deepEqual(
    [held.code, held.out.split('\n')[0]],
    [0, "log       ok: 13 events checked, every hash fits, and row 13 is the anchor's"],
  );
  harm(path, `
    DROP TRIGGER audit_log_no_update;
    DROP TRIGGER audit_log_no_delete;
    UPDATE audit_log SET event_type = 'other' WHERE id = 4;
    DELETE FROM audit_log WHERE id IN (7, 13)`);
  const { code, out } = await shepherd(['verify', '--db', path, '--anchor', anchor]);
  assert.equal(code, 1);
  assert.match(
    out,
    pattern(
      /^log +3 findings in 11 events\n  tampered +row 4 [^]*  gap +row 8 stands where row 7 is due\n/,
      /  truncated +the log ends at row 12/,
    ),
  );
  assert.match(out, /\nanchor 12:/);
  const machine = await shepherd(['verify', '--db', path, '--json']);
  assert.equal(machine.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    ok: false,
    findings: [
      { id: 4, kind: 'tampered' },
      { id: 8, kind: 'gap' },
    ],
  });
});

test('verify counts what is beyond its list, shows progress on a terminal only, and can be interrupted', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.transaction(() => {
    for (let count = 0; count < 1_200; count++) store.appendAudit({ type: 'service_started' });
  });
  store.close();
  const { code, err, out } = await shepherd(['verify', '--db', folder.file()], { terminal: 80 });
  assert.equal(code, 0);
  assert.match(err, /\r\x1b\[K500 of 1,200 events checked[^]*1,200 of 1,200 events checked\r\x1b\[K$/);
  assert.match(out, /1,200 events checked/);
  const aborted = await shepherd(['verify', '--db', folder.file()], { signal: AbortSignal.abort() });
  assert.deepEqual(aborted, { code: 130, out: '', err: '' });
  harm(folder.file(), `DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_hash = upper(event_hash) || 'x'`);
  const many = await shepherd(['verify', '--db', folder.file()]);
  assert.equal(many.code, 1);
  assert.match(many.out, /^log +1,200 findings in 1,200 events\n[^]*\n  and 200 more\n/);
});

test('no stored text has power over the terminal, in any command', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open<{ type: string; [field: string]: unknown }>({ clock });
  const tracker = new SessionTracker(store);
  store.appendAudit(
    { type: hostile, [hostile]: hostile, list: [hostile], deep: { [hostile]: hostile } },
    { source: hostile, tags: [hostile] },
  );
  tracker.start({ entryId: hostile, sessionId: hostile, label: hostile });
  store.addUsage(hostile, '2026-11-21', 60_000);
  store.addUsage('x'.repeat(100_000), '2026-11-21', 60_000);
  store.setCooldownUntil(hostile, new Date(now.getTime() + 1_000));
  store.close();
  const check = async (): Promise<void> => {
    for (const name of lookers) {
      // verify shows its progress on stderr, with an escape sequence of its own.
      for (const argv of [
        [name],
        [name, '--json'],
        ...(name === 'usage'
          ? [
              ['usage', hostile],
              ['usage', '--day', '2026-11-21'],
            ]
          : []),
      ]) {
        const { out, err } = await shepherd([...argv, '--db', folder.file()], { clock, terminal: 80 });
        assertHarmless(out, argv.join(' '));
        if (name !== 'verify') assert.equal(err, '');
        if (argv.length === 1) assertFits(out.replaceAll(/^store .*$/gm, ''), name);
      }
    }
  };
  await check();
  const { out } = await shepherd(['audit', '--db', folder.file(), '--json']);
  assert.deepEqual(
    out
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { event: { type: string } }).event.type),
    ['session_started', hostile],
  );
  harm(folder.file(), `UPDATE usage SET duration_secs = 'x'; UPDATE cooldowns SET until = entry_id`);
  await check();
  const named = await shepherd(['status', '--db', folder.file(`no\x1b[2Jsuch`)]);
  assert.equal(named.code, 2);
  assertHarmless(named.err, 'a path');
});

test('columns stay aligned behind wide characters and emoji', async (t) => {
  const path = fill(new TestFolder(t));
  const { out } = await shepherd(['cooldowns', '--db', path], { clock });
  const starts = out
    .split('\n')
    .slice(0, -1)
    .map((line) => textWidth(line.slice(0, line.search(/ (Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d/))));
  assert.equal(new Set(starts).size, 1, out);
  assert.equal(starts.length, 4);
});

test('colours are for terminals, and NO_COLOR and FORCE_COLOR have the last word', async (t) => {
  t.after(() => {
    for (const name of ['NO_COLOR', 'FORCE_COLOR']) delete process.env[name];
  });
  const path = fill(new TestFolder(t));
  const status = async (terminal?: number): Promise<{ code: number; out: string; err: string }> => {
    const shown = await shepherd(['status', '--db', path], { clock, ...(terminal ? { terminal } : undefined) });
    return { ...shown, out: shown.out.replace(/\S+ \wiB free/, 'some free') }; // others write to the disk meanwhile
  };
  const bare = await status();
  assert.doesNotMatch(bare.out, /\x1b/);
  const coloured = await status(80);
  assert.match(coloured.out, /\x1b\[32mhealthy\x1b\[39m/);
  assert.equal(stripVTControlCharacters(coloured.out), bare.out);
  process.env['NO_COLOR'] = '1';
  assert.deepEqual(await status(80), bare);
  delete process.env['NO_COLOR'];
  process.env['FORCE_COLOR'] = '1';
  assert.equal((await status()).out, coloured.out);
});

test('beside a service that writes, each command gives what is there, and only the service changes it', async (t) => {
  const folder = new TestFolder(t);
  const service = new Worker(t, 'cli', ['write', folder.file()], { env: plainEnvironment() });
  await service.told(3);
  for (const name of lookers) {
    const { code, out, err } = await shepherd([name, '--db', folder.file()], { clock: () => new Date() });
    assert.deepEqual([code, err], [0, ''], `${name}: ${out}`);
  }
  const told = service.lines.length;
  const { out } = await shepherd(['audit', '--db', folder.file(), '--limit', '1', '--json']);
  assert.ok((JSON.parse(out) as { id: number }).id >= told);
  service.kill();
  await service.end();
  // Killed: a -wal is left behind, and looking at it still leaves no trace.
  const before = picture(folder.path);
  for (const name of lookers) assert.equal((await shepherd([name, '--db', folder.file()])).code, 0, name);
  assert.deepEqual(picture(folder.path), before);
});

test('one who may only read sees all of a store, at rest, running or crashed, and leaves nothing behind', async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  chmodSync(folder.path, 0o755);
  for (const name of ['store.db', 'store.snapshot.json']) chmodSync(folder.file(name), 0o644);
  const commands = lookers.map((name) => JSON.stringify([name, '--db', folder.file()]));
  const look = async (): Promise<Said[]> => {
    const reader = new Worker(t, 'cli', ['look', ...commands], { env: plainEnvironment() });
    return (await reader.result()).map((line) => JSON.parse(line) as Said);
  };
  const before = picture(folder.path);
  const atRest = await look();
  assert.deepEqual(atRest.map(({ err }) => err), lookers.map(() => ''));
  assert.deepEqual(picture(folder.path), before);
  assert.match(atRest[1]!.out, /13 +17:40:00 +session_started/);

  const service = new Worker(t, 'cli', ['write', folder.file()], { env: plainEnvironment() });
  await service.told(1);
  const [, audit] = await look();
  assert.match(audit!.out, /policy_loaded +entryCount=/);
  service.kill();
  await service.end();

  const left = picture(folder.path);
  const afterCrash = await look();
  assert.match(afterCrash[1]!.out, /policy_loaded +entryCount=/);
  assert.deepEqual(picture(folder.path), left);

  chmodSync(folder.file('store.db'), 0o000);
  for (const { code, err } of await look()) {
    assert.equal(code, 2);
    assert.match(err, /permission denied \(ERR_STORE_PERMISSION\)/);
  }
  chmodSync(folder.file('store.db'), 0o600);
});

test('import takes over a service\'s store, lists what it could not take, and takes nothing twice', async (t) => {
  const folder = new TestFolder(t);
  const from = folder.file('shepherdd.db');
  copyFileSync(new URL('../fixtures/shepherdd-utc.db', import.meta.url), from);
  chmodSync(from, 0o644);
  const to = folder.file();
  const first = await shepherd(['import', from, to], { terminal: 80 });
  assert.equal(first.code, 0, first.err + first.out);
  assert.match(
    stripVTControlCharacters(first.out),
    /\(shepherdd\) into .*\ntaken: 24 events, 9 totals, 2 cooldowns, 1 snapshot\nnothing was left out\n$/,
  );
  assert.match(first.err, /rows read/);
  const again = await shepherd(['import', from, to]);
  assert.equal(again.code, 0);
  assert.match(again.out, /nothing was taken\nthere already: 24 events/);
  const machine = await shepherd(['import', from, to, '--json']);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    from,
    to,
    kind: 'shepherdd',
    taken: { events: 0 },
    alreadyThere: { events: 24 },
    skipped: [],
  });

  harm(from, `
    UPDATE cooldowns SET until = 'soon';
    UPDATE usage SET duration_secs = -5 WHERE rowid = 1;
    UPDATE cooldowns SET entry_id = '\x1b[31m' WHERE rowid = 1`);
  const other = folder.file('other.db');
  const skipping = await shepherd(['import', from, other]);
  assert.equal(skipping.code, 1);
  assert.match(
    skipping.out,
    /taken: 24 events, 8 totals, 1 snapshot\n\n3 rows could not be taken\n  (usage|cooldowns) .*: /,
  );
  assertHarmless(skipping.out, 'import');
  assertFits(skipping.out.replaceAll(folder.path, ''), 'import');
  assert.equal(
    (JSON.parse((await shepherd(['import', from, other, '--json'])).out) as { skipped: unknown[] }).skipped.length,
    3,
  );
});

for (const [fixture, kind, code, taken] of [
  [
    'nightshift.db',
    'nightshift',
    0,
    'taken: 1 event, 3 projects, 3 tasks last done, 1 task in progress,\n  3 run records\nnothing was left out\n',
  ],
  [
    'nightshift-state.json',
    'nightshift-state',
    0,
    'taken: 2 projects, 2 tasks last done, 1 task in progress, 2 run records\nnothing was left out\n',
  ],
  [
    'openfroyo.db',
    'openfroyo',
    1,
    'taken: 2 events, 5 runs, 15 plan units, 10 run events, 1 resource state,\n  2 facts\n\n' +
      "1 row could not be taken\n  facts fact-003: value must be JSON, got '\"not json'\n",
  ],
] as const) {
  test(`import takes over a ${fixture}, says what it took in 80 columns, and takes nothing twice`, async (t) => {
    const folder = new TestFolder(t);
    const from = fileURLToPath(new URL(`../fixtures/${fixture}`, import.meta.url));
    const first = await shepherd(['import', from, folder.file()], { terminal: 80 });
    assert.deepEqual(
      [first.code, stripVTControlCharacters(first.out)],
      [code, `${from} (${kind}) into ${folder.file()}\n${taken}`],
    );
    const again = await shepherd(['import', from, folder.file()]);
    assert.equal(again.code, code);
    assert.match(again.out, /\nnothing was taken\nthere already: /);
    assert.equal(
      again.out
        .replace('nothing was taken\nthere already:', 'taken:')
        .replace(/^.*\n/, '')
        .replaceAll('\n  ', ' ')
        .replaceAll('\n', ' '),
      taken.replaceAll('\n  ', ' ').replaceAll('\n', ' '),
    );
    const { kind: told, skipped } = JSON.parse((await shepherd(['import', from, folder.file(), '--json'])).out) as {
      kind: string;
      skipped: unknown[];
    };
    assert.deepEqual([told, skipped.length], [kind, code]);
  });
}

test('import refuses what it does not know, in a line, and can be interrupted', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const absent = await shepherd(['import', folder.file('absent'), folder.file()]);
  assert.deepEqual([absent.code, absent.out], [2, '']);
  assert.match(absent.err, /^shepherd-store: [^\n]*\(ERR_STORE_NOT_FOUND\)\n$/);
  const itself = await shepherd(['import', folder.file(), folder.file('new.db')]);
  assert.equal(itself.code, 2);
  assert.match(itself.err, /it is a store of this package already.*\(ERR_STORE_INVALID_ARGUMENT\)/);
  harm(folder.file('foreign'), 'CREATE TABLE t (a)');
  assert.equal((await shepherd(['import', folder.file('foreign'), folder.file()])).code, 1);
  const fixture = fileURLToPath(new URL('../fixtures/shepherdd-utc.db', import.meta.url));
  assert.equal((await shepherd(['import', fixture, folder.file('new.db')], { signal: AbortSignal.abort() })).code, 130);
});

test('as a process it has the same exit codes, and no stack or warning on stderr', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  assert.deepEqual(runProcess('"$NODE" "$MAIN" verify --db "$DB"', { DB: path }).code, 0);
  assert.deepEqual(runProcess('"$NODE" "$MAIN" verify --db "$DB"', { DB: path }).err, '');
  harm(path, "UPDATE usage SET duration_secs = 'lots'");
  assert.equal(runProcess('"$NODE" "$MAIN" usage --db "$DB" --from 2026-11-01', { DB: path }).code, 1);
  const wrong = runProcess('"$NODE" "$MAIN" verify --db "$DB" --anker x', { DB: path });
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.match(wrong.err, /^shepherd-store: Unknown option '--anker'\nUsage: [^\n]*\n$/);
});

test('it ends quietly, with its own exit code, when nobody reads on', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.transaction(() => {
    for (let count = 0; count < 5_000; count++)
      store.appendAudit({ type: 'launch_denied', entryId: 'x'.repeat(100), reasons: [] });
  });
  store.close();
  const { out, err } = runProcess('"$NODE" "$MAIN" audit --limit 5000 --db "$DB" | head -1; echo "${PIPESTATUS[0]}"', {
    DB: folder.file(),
  });
  assert.match(out, /^\w\w\w \d{4}-\d\d-\d\d .*\n0\n$/);
  assert.equal(err, '');
});

test('output that cannot be written is a line on stderr and exit code 1', (t) => {
  const path = fill(new TestFolder(t));
  const { code, err } = runProcess('"$NODE" "$MAIN" verify --db "$DB" >/dev/full', { DB: path });
  assert.equal(code, 1);
  assert.match(err, /^shepherd-store: the output cannot be written: ENOSPC[^\n]*\n$/);
});

test('it runs through the link that npm makes for a bin', (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  mkdirSync(folder.file('bin'));
  symlinkSync(program, folder.file('bin/shepherd-store'));
  const { code, out } = runProcess('PATH="$(dirname "$NODE"):$PATH" "$NODE" "$BIN" status --db "$DB" --json', {
    BIN: folder.file('bin/shepherd-store'),
    DB: path,
  });
  assert.ok(code === 0 || code === 1); // by the real clock the cooldowns are over, and so may be the snapshot's day
  assert.equal((JSON.parse(out) as { path: string }).path, path);
  assert.match(readFileSync(program, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  assert.equal(dirname(program).endsWith(join('lib', 'cli')), true);
});

test('a signal ends it as one, after it removed its private copy of a database whose -wal has no index', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.transaction(() => {
    for (let count = 0; count < 60_000; count++) store.appendAudit({ type: 'service_started' });
  });
  mkdirSync(folder.file('crashed'));
  mkdirSync(folder.file('tmp'));
  // By a process of its own: this one must not open the files of a database that it has open.
  assert.equal(runProcess('cp "$DB" "$DB-wal" "$TO"', { DB: folder.file(), TO: folder.file('crashed') }).code, 0);
  store.close();
  const verify = async (): Promise<unknown[] | 'not seen'> => {
    const child = spawn(process.execPath, [program, 'verify', '--db', folder.file('crashed/store.db')], {
      env: { ...plainEnvironment(), TMPDIR: folder.file('tmp') },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.signal.addEventListener('abort', () => child.kill('SIGKILL'));
    let out = '';
    child.stdout.on('data', (text: Buffer) => (out += text.toString()));
    const ended = new Promise((resolve) => child.once('close', (_code, signal) => resolve(signal)));
    while (namesIn(folder.file('tmp')).length === 0) {
      if (child.exitCode !== null) return 'not seen';
      await sleep(2);
    }
    child.kill('SIGINT');
    return [await ended, out];
  };
  // The copy has its name for a moment only, which a busy machine may sleep through.
  let found = await verify();
  for (let attempt = 0; attempt < 20 && found === 'not seen'; attempt++) found = await verify();
  assert.deepEqual(found, ['SIGINT', '']);
  assert.deepEqual(namesIn(folder.file('tmp')), []);
});

test('texts for people are exact and harmless', () => {
  assert.deepEqual([0, 500, 59_000, 60_000, 3_599_999, 3_723_000, 360_000_000, 2 ** 53 - 1].map(duration), [
    '0 s',
    '0.500 s',
    '59 s',
    '1 min 00 s',
    '59 min 59 s',
    '1 h 02 min 03 s',
    '100 h 00 min 00 s',
    '2,501,999,792 h 59 min 00 s',
  ]);
  assert.deepEqual([-1, 999, 61_000, 3_600_000, 172_799_999, 172_800_000, 1e10].map(span), [
    '0 s',
    '0 s',
    '1 min 01 s',
    '1 h 00 min',
    '47 h 59 min',
    '2 d 0 h',
    '115 d 17 h',
  ]);
  assert.deepEqual(['1s', '90s', '30m', '2h', '7d', '2w', '0w', '2', 'w'].map(parseSpan), [
    1e3,
    9e4,
    1.8e6,
    7.2e6,
    6.048e8,
    1.2096e9,
    ...Array<undefined>(3),
  ]);
  assert.deepEqual([ago(1_000), ago(-1_000)], ['1 s ago', '1 s ahead of the clock']);
  assert.deepEqual([0, 1023, 1024, 1_572_864, 5e12, 5e16].map(bytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 MiB',
    '4.5 TiB',
    '45474.7 TiB',
  ]);
  assert.deepEqual(
    [bar(0, 10, 5), bar(1, 0, 5), bar(1, 1_000_000, 5), bar(5, 10, 5), bar(10, 10, 5), bar(20, 10, 5)],
    ['', '', '▌', '██▌', '█████', '█████'],
  );
  assert.equal(
    plain('a\x1b[0m\x7f\x85\u2028\u202e\u{e0001}\ud800b\tc\u200d'),
    'a\\x1b[0m\\x7f\\x85\\u{2028}\\u{202e}\\u{e0001}\\u{d800}b\\x09c\u200d',
  );
  assert.equal(json({ a: '\x1b\x9b\u2028\u{e0001}ß' }), '{"a":"\\u001b\\u009b\\u2028\\udb40\\udc01ß"}');
  assert.deepEqual(
    [
      'abc', '日本', '🎮', '👨‍👩‍👧', 'e\u0301', '\u0301', '한글', '❤\ufe0f', 'ﾊﾛｰ', 'Ω',
    ].map(textWidth),
    [3, 4, 2, 2, 1, 0, 4, 2, 3, 1],
  );
  assert.deepEqual(
    [fit('abcdef', 6), fit('abcdef', 5), fit('日本語', 5), fit('日本語', 4), fit('x'.repeat(1e6), 3)],
    ['abcdef', 'abcd…', '日本…', '日…', 'xx…'],
  );
  assert.deepEqual([pad('日', 4), pad('日', 4, true), pad('long', 2)], ['日  ', '  日', 'long']);
  assert.deepEqual(wrap(['aa', 'bb', 'ccc dd', 'eeeeeeeee', ''], 5), ['aa bb', 'ccc', 'dd', 'eeeee', 'eeee ']);
});
