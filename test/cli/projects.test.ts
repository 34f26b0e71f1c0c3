// The commands projects and due, and which store a command takes when nobody names one.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { defaultPath, SqliteStore } from '../../lib/index.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { pattern, shepherd } from '../support/command.ts';
import { damage } from '../support/damage.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

const start = Date.parse('2026-11-21T12:00:00Z');
const now = new Date(start + 3_600_000);
const clock = (): Date => now;
const long = `/srv/${'long/'.repeat(30)}end`;

function fill(path: string): void {
  using store = SqliteStore.open(path, { clock: () => new Date(start) });
  const projects = new ProjectStore(store);
  projects.recordProjectRun('/srv/b');
  projects.recordProjectRun('/srv/b');
  projects.recordTaskRun('/srv/b', 'lint');
  projects.claimProjectRun('/srv/a\x1b[31m\n');
  projects.recordProjectRun(long);
  projects.claimProjectRun(long, { force: true });
}

function assertReadable(text: string): void {
  assert.doesNotMatch(text.replaceAll('\n', ''), /\p{Cc}/u);
  // Without a terminal nothing is cut: whoever searches the output looks for the whole path.
  for (const line of text.split('\n')) assert.ok(line.length <= 80 || line.endsWith(long), line);
}

test('projects shows each project with its last run and its claim', async (t) => {
  const folder = new TestFolder(t);
  fill(folder.file());
  const before = picture(folder.path);
  const { code, out, err } = await shepherd(['projects', '--db', folder.file()], { clock });
  assert.deepEqual([code, err], [0, '']);
  assert.match(
    out,
    pattern(
      /^\/srv\/a\\x1b\[31m\\x0a\n    never run · claimed 1 h 00 min ago\n\/srv\/b\n/,
      /    2 runs, the last 1 h 00 min ago\n\/srv\/long[^\n]*\/end\n/,
      /    1 run, the last 1 h 00 min ago · claimed 1 h 00 min ago\n$/,
    ),
  );
  assertReadable(out);
  const machine = await shepherd(['projects', '--db', folder.file(), '--json'], { clock });
  const at = new Date(start).toISOString();
  assert.deepEqual(JSON.parse(machine.out), {
    now: now.toISOString(),
    projects: [
      { path: '/srv/a\x1b[31m\n', runCount: 0, claimedAt: at },
      { path: '/srv/b', lastRunAt: at, runCount: 2 },
      { path: long, lastRunAt: at, runCount: 1, claimedAt: at },
    ],
  });
  assert.deepEqual(picture(folder.path), before);
});

test('a project that cannot be read is an error, and hides no other', async (t) => {
  const folder = new TestFolder(t);
  fill(folder.file());
  using db = new DatabaseSync(folder.file());
  db.exec(
    "UPDATE projects SET last_run_at = 'soon' WHERE path = '/srv/b'; UPDATE task_history SET last_run_at = 'soon'",
  );
  const { code, out } = await shepherd(['projects', '--db', folder.file()], { clock });
  assert.equal(code, 1);
  assert.match(
    out,
    pattern(
      /never run[^]*\/srv\/b\n    cannot be read\n\/srv\/long[^]*1 run[^]*\n\n/,
      /ERR_STORE_CORRUPT: project "\/srv\/b": last_run_at cannot be read: 'soon'\n$/,
    ),
  );
  const machine = await shepherd(['projects', '--db', folder.file(), '--json'], { clock });
  assert.equal(machine.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    projects: [{ runCount: 0 }, { path: '/srv/b', error: { code: 'ERR_STORE_CORRUPT' } }, { runCount: 1 }],
  });
  const due = await shepherd(['due', 'lint=1m', '--db', folder.file()], { clock });
  assert.deepEqual([due.code, due.out], [1, '']);
  assert.match(due.err, /ERR_STORE_CORRUPT/);
});

test('a project whose path is no text any more is shown as an error too', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  fill(folder.file());
  damage(folder.file(), 'projects', "path = x'61' WHERE path = '/srv/b'");
  const { code, out } = await shepherd(['projects', '--db', folder.file()], { clock });
  assert.equal(code, 1);
  assert.match(out, /never run[^]*\/srv\/long[^]*1 run[^]*Uint8Array[^\n]*\n    cannot be read\n\nERR_STORE_CORRUPT: /);
});

test('due shows what is due, the most stale first, by intervals in seconds, minutes, hours and days', async (t) => {
  const folder = new TestFolder(t);
  fill(folder.file());
  const before = picture(folder.path);
  const due = async (...argv: string[]): Promise<string> => {
    const { code, out, err } = await shepherd(['due', ...argv, '--db', folder.file()], { clock });
    assert.deepEqual([code, err], [0, '']);
    if (!argv.includes('--json')) assertReadable(out);
    return out;
  };
  for (const [interval, times] of [['3600s', '1.00'], ['90s', '40.00'], ['24m', '2.50'], ['1h', '1.00']]) {
    assert.match(
      await due(`lint=${interval}`),
      new RegExp(
        `^never done  lint  /srv/a[^\\n]*\\nnever done  lint  /srv/long[^\\n]*/end\\n +${times} ×  lint  /srv/b\\n$`,
      ),
    );
  }
  for (const interval of ['61m', '2h', '1d', '0007d']) assert.doesNotMatch(await due(`lint=${interval}`), /srv\/b/);
  assert.match(await due('a=b\x1b[2J=1d'), /^never done  a=b\\x1b\[2J  \/srv\/a/);
  assert.deepEqual(JSON.parse(await due('lint=30m', '--json')), {
    now: now.toISOString(),
    due: [
      { path: '/srv/a\x1b[31m\n', taskType: 'lint' },
      { path: long, taskType: 'lint' },
      { path: '/srv/b', taskType: 'lint', staleness: 2 },
    ],
  });
  assert.deepEqual(picture(folder.path), before);
  const empty = new TestFolder(t);
  empty.open().close();
  assert.equal((await shepherd(['due', 'lint=1h', '--db', empty.file()])).out, 'Nothing is due.\n');
});

test("without --db a command takes the user's store and says so on stderr, and --json stays parseable", async (t) => {
  const folder = new TestFolder(t);
  const before = process.env['XDG_DATA_HOME'];
  process.env['XDG_DATA_HOME'] = folder.path;
  t.after(() => {
    if (before === undefined) delete process.env['XDG_DATA_HOME'];
    else process.env['XDG_DATA_HOME'] = before;
  });
  const path = defaultPath('shepherd-store');
  const missing = await shepherd(['status']);
  assert.deepEqual([missing.code, missing.out], [2, '']);
  assert.match(
    missing.err,
    /^store: .*shepherd-store\/shepherd-store\.db\nshepherd-store: .*\(ERR_STORE_NOT_FOUND\)\n$/,
  );
  mkdirSync(dirname(path));
  fill(path);
  await shepherd(['backup', folder.file('backup.db'), '--db', path]);
  for (const argv of [
    ['status'],
    ['audit'],
    ['usage'],
    ['cooldowns'],
    ['snapshot'],
    ['projects'],
    ['due', 'lint=1h'],
    ['verify'],
    ['migrate'],
    ['restore', folder.file('backup.db')],
  ]) {
    const { code, out, err } = await shepherd([...argv, '--json'], { clock });
    assert.deepEqual([code, JSON.parse(err)], [0, { store: path }], argv[0]);
    assert.equal(typeof JSON.parse(argv[0] === 'audit' ? out.split('\n')[0]! : out), 'object');
  }
  assert.partialDeepStrictEqual(JSON.parse((await shepherd(['status', '--json'], { clock })).out), { path });
  assert.match((await shepherd(['status'], { clock })).out, new RegExp(`^store +${path}\n`));
});
