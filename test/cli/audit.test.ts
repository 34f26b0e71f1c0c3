// The command audit: what it finds, and that it writes as it reads.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plainEnvironment } from '../support/child.ts';
import { shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';

process.env['TZ'] = 'Europe/Berlin';
const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const now = new Date('2026-11-21T18:00:00+01:00');
const clock = (): Date => now;

type Any = { type: string; [field: string]: unknown };

/** Events on two days: of each what is looked for. */
function fill(folder: TestFolder): string {
  let at = new Date('2026-11-20T23:59:59.999+01:00');
  const store = folder.open<Any>({ clock: () => at });
  store.appendAudit({ type: 'session_started', sessionId: 'ab12-long', entryId: 'minecraft' });
  at = new Date('2026-11-21T00:00:00+01:00');
  store.appendAudit({ type: 'session_started', sessionId: 'ab13', entryId: 'tuxmath' });
  at = new Date('2026-11-21T15:59:00+01:00');
  store.appendAudit({ type: 'launch_denied', entryId: 'tuxmath', reasons: ['minecraft'] });
  at = new Date('2026-11-21T16:00:00+01:00');
  store.appendAudit({ type: 'deep', of: { list: [1, { name: 'minecraft' }] } });
  store.appendAudit({ type: 'about', sessionId: 'ab1' }, { target: 'minecraft', tags: ['x'] });
  store.appendAudit({ type: 'minecraft', minecraft: 'no entry', text: 'minecraft!' });
  store.appendAudit({ type: 'tagged' }, { tags: ['minecraft'] });
  store.addUsage('minecraft', '2026-11-21', 1);
  store.close();
  return folder.file();
}

test('audit finds events naming an entry in any field, of a session by how its id begins, and of a day', async (t) => {
  const path = fill(new TestFolder(t));
  const ids = async (...argv: string[]): Promise<number[]> => {
    const { code, out, err } = await shepherd(['audit', path, '--json', ...argv], { clock });
    assert.deepEqual([code, err], [0, ''], argv.join(' '));
    return out
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { id: number }).id);
  };
  assert.deepEqual(await ids('--entry', 'minecraft'), [7, 5, 4, 3, 1]);
  assert.deepEqual(await ids('--entry', 'tuxmath'), [3, 2]);
  assert.deepEqual(await ids('--entry', 'minecraft', '--type', 'launch_denied'), [3]);
  assert.deepEqual(await ids('--session', 'ab12'), [1]);
  assert.deepEqual(await ids('--session', 'ab'), [5, 2, 1]);
  assert.deepEqual(await ids('--session', 'ab1'), [5]); // there is one of exactly this name
  assert.deepEqual(await ids('--session', 'b1'), []);
  assert.deepEqual(await ids('--session', 'ab%'), []);
  assert.deepEqual(await ids('--day', '2026-11-20'), [1]);
  assert.deepEqual(await ids('--day', 'yesterday'), [1]);
  assert.deepEqual(await ids('--day', 'today'), [7, 6, 5, 4, 3, 2]);
  assert.deepEqual(await ids('--since', 'today'), [7, 6, 5, 4, 3, 2]);
  assert.deepEqual(await ids('--since', 'yesterday', '--until', 'today'), [1]);
  assert.deepEqual(await ids('--since', '2h'), [7, 6, 5, 4]);
  assert.deepEqual(await ids('--since', '121m'), [7, 6, 5, 4, 3]);
  assert.deepEqual(await ids('--until', '7200s', '--since', '1d'), [3, 2, 1]);
  assert.deepEqual(await ids('--since', '1w', '--limit', '1'), [7]);
  const { out } = await shepherd(['usage', path, '--days', '1'], { clock });
  assert.equal(out, ''); // usage takes an entry there, not a store
  assert.match(
    (await shepherd(['usage', '--db', path, '--day', 'today'], { clock })).out,
    /Sat 2026-11-21\n\n  minecraft/,
  );
});

test('a damaged event beside a session does not make its id the beginning of others', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  const raw = folder.raw();
  raw.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '[' WHERE id = 7");
  raw.close();
  const { out } = await shepherd(['audit', path, '--json', '--session', 'ab1'], { clock });
  const ids = out.split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { id: number }).id);
  assert.deepEqual(ids, [7, 5]);
});

test('a day of 23 or 25 hours is a day', async (t) => {
  const folder = new TestFolder(t);
  let at = new Date(0);
  const store = folder.open<Any>({ clock: () => at });
  for (const text of [
    '2026-10-24T23:59:59+02:00',
    '2026-10-25T00:00:00+02:00',
    '2026-10-25T23:59:59+01:00',
    '2026-10-26T00:00:00+01:00',
  ]) {
    at = new Date(text);
    store.appendAudit({ type: 'x' });
  }
  store.close();
  const { out } = await shepherd(['audit', folder.file(), '--json', '--day', '2026-10-25']);
  assert.deepEqual(out.split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { id: number }).id), [3, 2]);
});

test('a filter that can match nothing says so, and one that matches nothing says what was meant', async (t) => {
  const path = fill(new TestFolder(t));
  for (const argv of [
    ['--since', 'today', '--until', 'yesterday'],
    ['--since', '2h', '--until', '2h'],
    ['--since', '2026-11-21', '--until', '2026-11-21'],
    ['--day', 'today', '--since', '2h'],
  ]) {
    const { code, out, err } = await shepherd(['audit', path, ...argv], { clock });
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
    assert.match(err, /--since must be before --until|--day does not go with --since/);
  }
  for (const when of ['200000w', '9999999w', '0000-01-01', '9999-12-31T23:59:59-01:00']) {
    const { code, out, err } = await shepherd(['audit', path, '--until', when], { clock });
    assert.deepEqual([code, out], [2, ''], when);
    assert.match(err, /--until must be a day or a time/);
  }
  const said = async (...argv: string[]): Promise<string> => (await shepherd(['audit', path, ...argv], { clock })).out;
  assert.equal(
    await said('--type', 'launch_denyed'),
    'No event matches --type launch_denyed.\nNothing has "launch_denyed"; did you mean launch_denied?\n',
  );
  assert.equal(
    await said('--entry', 'mincraft', '--day', 'today'),
    'No event matches --entry mincraft --day today.\nNothing has "mincraft"; did you mean minecraft?\n',
  );
  assert.equal(await said('--type', 'deep', '--source', 'x'), 'No event matches --type deep --source x.\n');
  const empty = new TestFolder(t);
  empty.open().close();
  assert.equal((await shepherd(['audit', empty.file()])).out, 'No events.\n');
});

/** A log long enough that a pipe cannot take it all. */
function fillLong(folder: TestFolder): string {
  const store = folder.open<Any>();
  for (let group = 0; group < 10; group++) {
    store.transaction(() => {
      for (let n = 0; n < 2_000; n++) store.appendAudit({ type: 'x', text: 'y'.repeat(200) });
    });
  }
  store.close();
  return folder.file();
}

test('a long log is written as it is read, and ends quietly when nobody reads on or at Ctrl-C', async (t) => {
  const path = fillLong(new TestFolder(t));
  const env = { ...plainEnvironment(), NODE: process.execPath, MAIN: program, DB: path };
  for (const argv of [
    'audit --json --limit 1000000',
    'audit --limit 1000000',
    'audit --json --limit 1000000 --entry nobody',
  ]) {
    const { stdout, stderr, status } = spawnSync(
      'bash',
      ['-c', `"$NODE" "$MAIN" ${argv} --db "$DB" | head -1 | cut -c1-9; echo "\${PIPESTATUS[0]}"`],
      { encoding: 'utf8', env },
    );
    assert.equal(status, 0);
    assert.match(stdout, /(^|\n)0\n$/, argv);
    assert.equal(stderr, '');
  }
  for (const argv of [['--json'], []]) {
    const child = spawn(process.execPath, [program, 'audit', ...argv, '--limit', '1000000', '--db', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    const [first] = (await once(child.stdout, 'data')) as [Buffer];
    assert.ok(first.length > 0);
    child.stdout.pause();
    child.kill('SIGINT');
    child.stdout.resume();
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    assert.deepEqual([code, signal], [null, 'SIGINT']);
  }
});

test('a long log is given whole, once, and waits for whoever reads slowly', async (t) => {
  const path = fillLong(new TestFolder(t));
  const { out } = await shepherd(['audit', path, '--json', '--limit', '1000000']);
  assert.deepEqual(
    out
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { id: number }).id),
    Array.from({ length: 20_000 }, (_, at) => 20_000 - at),
  );
  const some = await shepherd(['audit', path, '--limit', '1200']);
  assert.equal(some.out.match(/^\d+ /gm)?.length, 1_200);
  assert.match(some.out, /\n\nOlder events: --before-id 18801\n$/);
  // A heading a day, not one a page.
  assert.equal(some.out.match(/^\w\w\w \d{4}-/gm)?.length, new Set(some.out.match(/^\w\w\w \d{4}-.*/gm)).size);
});
