// The command report: its days, its file, its exit codes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import type { Contents } from '../../lib/modules/report/contents.ts';
import { type Said, shepherd } from '../support/command.ts';
import { damage } from '../support/damage.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { root } from '../support/project.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

process.env['TZ'] = 'Europe/Berlin';
const now = new Date('2026-11-20T23:30:00Z'); // Saturday the 21st in Berlin
const clock = (): Date => now;

/** A folder with a store, and what calls the command on it. */
class Kiosk extends TestFolder {
  constructor(t: TestContext, options?: { checked?: boolean }) {
    super(t, options);
    using store = SqliteStore.open(this.file(), { clock });
    store.appendAudit({ type: 'session_started', sessionId: 's', entryId: 'a', label: 'Alpha' });
    store.addUsage('a', '2026-11-21', 90_500);
    store.addUsage('b', '2026-11-16', 1_000);
    store.addUsage('c', '2026-11-01', 7);
  }

  run(...argv: string[]): Promise<Said> {
    return shepherd(['report', '--db', this.file(), ...argv], { clock });
  }

  /** The figures that a call gives. */
  async figures(...argv: string[]): Promise<Contents> {
    const { code, out, err } = await this.run('--json', ...argv);
    assert.deepEqual([code, err], [0, '']);
    return JSON.parse(out) as Contents;
  }

  /** The first and the last of its days. */
  async days(...argv: string[]): Promise<(string | undefined)[]> {
    const { days } = await this.figures(...argv);
    return [days[0], days.at(-1)];
  }

  /** What a call is refused with. */
  async refusal(...argv: string[]): Promise<string> {
    const { code, out, err } = await this.run(...argv);
    assert.deepEqual([code, out], [2, ''], err);
    return err;
  }

  /** A file with this text. */
  with(name: string, text: string): string {
    writeFileSync(this.file(name), text);
    return this.file(name);
  }
}

const entriesOf = ({ usage }: Contents): string[] => usage.value!.entries.map(({ entryId }) => entryId);

test('each option names its days, and without one there are 28', async (t) => {
  const kiosk = new Kiosk(t);
  assert.deepEqual(await kiosk.days(), ['2026-10-25', '2026-11-21']);
  assert.deepEqual(await kiosk.days('--days', '2'), ['2026-11-20', '2026-11-21']);
  assert.deepEqual(await kiosk.days('--week'), ['2026-11-16', '2026-11-21']);
  assert.deepEqual(await kiosk.days('--month'), ['2026-11-01', '2026-11-21']);
  assert.deepEqual(await kiosk.days('--from', 'yesterday'), ['2026-11-20', '2026-11-21']);
  assert.deepEqual(await kiosk.days('--from', '2026-02-27', '--to', '2026-03-01'), ['2026-02-27', '2026-03-01']);
  for (const [weekStartsOn, monday] of [[1, '2026-11-16'], [6, '2026-11-21'], [7, '2026-11-15']]) {
    const policy = kiosk.with('policy.json', JSON.stringify({ entries: {}, weekStartsOn }));
    assert.deepEqual(await kiosk.days('--week', '--policy', policy), [monday, '2026-11-21']);
  }
});

test('a report shows all entries, those that were asked for, and the quotas of a policy', async (t) => {
  const kiosk = new Kiosk(t);
  const all = await kiosk.figures();
  assert.deepEqual(entriesOf(all), ['a', 'b', 'c']);
  assert.equal(all.usage.value!.total, 91_507);
  assert.deepEqual([all.timeZone, all.labels], ['Europe/Berlin', { a: 'Alpha' }]);
  assert.equal(all.quotas, undefined);
  assert.deepEqual(entriesOf(await kiosk.figures('--entry', 'a', '--entry', 'c', '--entry', 'a')), ['a', 'c']);
  assert.deepEqual((await kiosk.figures('--entry', '-30m', '--entry', 'x')).entryIds, ['-30m', 'x']);
  const policy = kiosk.with('policy.json', '{"entries":{"a":{"dailyMs":60000}}}');
  const { quotas } = await kiosk.figures('--policy', policy, '--days', '1');
  assert.deepEqual(quotas!.value, [
    { subject: 'a', members: ['a'], dailyMs: 60_000, allowedMs: [60_000], usedMs: [90_500] },
  ]);
});

test('the page goes to the standard output or to a file, and says where', async (t) => {
  const kiosk = new Kiosk(t);
  const { code, out, err } = await kiosk.run('--title', 'The "kiosk" <1>');
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^<!doctype html>/i);
  assert.deepEqual(await kiosk.run('--title', 'The "kiosk" <1>', '--out', '-'), { code, out, err });
  const file = kiosk.file('report.html');
  const said = await kiosk.run('--out', file, '--title', 'The "kiosk" <1>');
  assert.deepEqual([said.code, said.err], [0, '']);
  assert.match(said.out, /^written: .*report\.html, .* (B|KiB)\n$/);
  assert.equal(readFileSync(file, 'utf8'), out);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const document = kiosk.file('report.json');
  const { out: told } = await kiosk.run('--json', '--out', document);
  assert.deepEqual(JSON.parse(told), { path: document, bytes: statSync(document).size });
  assert.deepEqual(JSON.parse(readFileSync(document, 'utf8')), JSON.parse((await kiosk.run('--json')).out));
});

test('an earlier report is replaced as a whole, and whoever reads the earlier one goes on reading it', async (t) => {
  const kiosk = new Kiosk(t);
  const file = kiosk.file('report.html');
  await kiosk.run('--out', file);
  chmodSync(file, 0o644);
  const { ino } = statSync(file);
  assert.equal((await kiosk.run('--out', file)).code, 0);
  assert.notEqual(statSync(file).ino, ino);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(namesIn(kiosk.path).filter((name) => !name.startsWith('store.')), ['report.html']);
  kiosk.with('empty.html', '');
  assert.equal((await kiosk.run('--out', kiosk.file('empty.html'))).code, 0);
});

test('a link in the place of the file is replaced, and what it leads to is not touched', async (t) => {
  const kiosk = new Kiosk(t);
  const secret = kiosk.with('secret', 'of somebody else');
  for (const [name, target] of [['link.html', secret], ['dangling.html', kiosk.file('nowhere')]] as const) {
    symlinkSync(target, kiosk.file(name));
    assert.equal((await kiosk.run('--out', kiosk.file(name))).code, 0);
    assert.match(readFileSync(kiosk.file(name), 'utf8'), /^<!doctype html>/i);
  }
  assert.equal(readFileSync(secret, 'utf8'), 'of somebody else');
  assert.ok(!namesIn(kiosk.path).includes('nowhere'));
});

test('what is no earlier report is not replaced, least of all the store', async (t) => {
  const kiosk = new Kiosk(t);
  const before = readFileSync(kiosk.file());
  assert.match(await kiosk.refusal('--out', kiosk.file()), /is nothing that this command has written/);
  assert.match(await kiosk.refusal('--out', kiosk.with('other.html', '<html>')), /other\.html is there/);
  const site = kiosk.with('index.html', '<!DOCTYPE html>\n<html lang="en">\n<title>Our site</title>');
  assert.match(await kiosk.refusal('--out', site), /index\.html is there/);
  const list = kiosk.with('list.json', '[1, 2, 3, 4, 5]');
  assert.match(await kiosk.refusal('--json', '--out', list), /list\.json is there/);
  mkdirSync(kiosk.file('folder'));
  assert.match(await kiosk.refusal('--out', kiosk.file('folder')), /is no file/);
  assert.match(await kiosk.refusal('--out', '/dev/null'), /is no file/);
  assert.match(await kiosk.refusal('--out', kiosk.file('missing/report.html')), /ERR_STORE_NOT_FOUND/);
  assert.deepEqual(readFileSync(kiosk.file()), before);
  assert.deepEqual(namesIn(kiosk.path).filter((name) => name.endsWith('.tmp')), []);
});

test('a terminal gets no page, but is told how to have it', async (t) => {
  const kiosk = new Kiosk(t);
  const said = await shepherd(['report', kiosk.file()], { clock, terminal: 80 });
  assert.equal(said.code, 2);
  assert.match(said.err, /--out report\.html/);
  const calls = [['--out', kiosk.file('a.html')], ['--out', '-'], ['--json']];
  for (const argv of calls) {
    assert.equal((await shepherd(['report', kiosk.file(), ...argv], { clock, terminal: 80 })).code, 0, argv.join(' '));
  }
});

test('what is called wrongly is refused', async (t) => {
  const kiosk = new Kiosk(t);
  const policy = kiosk.with('policy.json', '{"entries":{"a":{"dailyMs":-1}}}');
  const refused: [argv: string[], message: RegExp][] = [
    [['--days', '0'], /--days must be a whole number from 1 to 3660/],
    [['--days', '3661'], /--days must be a whole number/],
    [['--days', '5', '--week'], /--days do not go with --week/],
    [['--week', '--month'], /--week do not go with --month/],
    [['--to', '2026-11-20'], /--to needs --from/],
    [['--from', '2026-11-22'], /is after today/],
    [['--from', '2026-02-30'], /--from must be a day/],
    [['--from', '2001-01-01'], /ERR_STORE_INVALID_ARGUMENT/],
    [['--entry', ''], /--entry is empty/],
    [['--title', ''], /--title is empty/],
    [['--out', ''], /--out is empty/],
    [['--policy', policy], /policy\.entries\["a"\]\.dailyMs/],
    [['--policy', kiosk.with('no.json', '{')], /no\.json is no JSON/],
    [['--policy', kiosk.file('missing.json')], /missing\.json/],
    [['extra', 'more'], /unexpected argument/],
    [['--weeks'], /did you mean .*--week/],
  ];
  for (const [argv, message] of refused) assert.match(await kiosk.refusal(...argv), message, argv.join(' '));
});

test('where something cannot be read or the log does not verify, the page is there, and the code is 1', async (t) => {
  const damages: [table: string, sql: string][] = [
    ['usage', "duration_secs = 'x' WHERE entry_id = 'a'"],
    ['audit_log', "event_data = '{'"],
    ['audit_log', "timestamp = '2026-11-20T10:00:00.000Z'"],
  ];
  for (const [table, sql] of damages) {
    const kiosk = new Kiosk(t, { checked: false });
    damage(kiosk.file(), table, sql);
    const { code, out, err } = await kiosk.run('--out', kiosk.file('report.html'));
    assert.deepEqual([code, out.startsWith('written: ')], [1, true], sql);
    assert.match(err, /the page says what\n$/);
    const figures = await kiosk.run('--json');
    assert.deepEqual([figures.code, figures.err], [1, '']);
    assert.ok(JSON.parse(figures.out));
  }
});

test('where there is no store, an earlier report stays as it is', async (t) => {
  const kiosk = new Kiosk(t);
  const file = kiosk.file('report.html');
  await kiosk.run('--out', file);
  const before = readFileSync(file, 'utf8');
  rmSync(kiosk.file());
  const { code } = await kiosk.run('--out', file);
  assert.equal(code, 2);
  assert.equal(readFileSync(file, 'utf8'), before);
});

test('a report can be made beside a writer, and changes nothing of the store', async (t) => {
  const kiosk = new Kiosk(t);
  const writer = kiosk.open({ clock });
  writer.addUsage('a', '2026-11-21', 500);
  assert.equal((await kiosk.figures('--days', '1')).usage.value!.total, 91_000);
  writer.transaction(() => writer.addUsage('a', '2026-11-21', 1_000));
  const { usage, history } = await kiosk.figures('--days', '1');
  assert.equal(usage.value!.total, 92_000);
  assert.equal(history.value!.machine.length, 0);
  assert.equal(writer.auditHead()!.id, 1);
});

test('an interrupted report writes no file', async (t) => {
  const kiosk = new Kiosk(t);
  const argv = ['report', kiosk.file(), '--out', kiosk.file('report.html')];
  const { code } = await shepherd(argv, { clock, signal: AbortSignal.abort() });
  assert.equal(code, 130);
  assert.ok(!namesIn(kiosk.path).includes('report.html'));
});

test('a file that was written is on the disk, with its name', needs('strace'), (t) => {
  const kiosk = new Kiosk(t);
  const [page, output] = [kiosk.file('out.html'), kiosk.file('trace')];
  const command = [process.execPath, join(root, 'lib/cli/main.ts'), 'report', kiosk.file(), '--out', page];
  const [strace, ...args] = [...tracing(output, ['fsync', 'rename']), ...command];
  assert.equal(spawnSync(strace!, args).status, 0);
  const calls = readTrace(output).filter(({ path }) => path.startsWith(kiosk.path))
    .map(({ name, path }) => [name, path.endsWith('.tmp') ? 'temporary' : path]);
  assert.deepEqual(calls, [['fsync', 'temporary'], ['rename', page], ['fsync', kiosk.path]]);
});
