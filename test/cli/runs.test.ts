// The commands `runs` and `run`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { textWidth } from '../../lib/cli/text.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { pattern, shepherd } from '../support/command.ts';
import { damage } from '../support/damage.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

process.env['TZ'] = 'Europe/Berlin';

const hostile = 'evil\x1b[31m\x07\u202e\n日本';

/** A run that failed, one that runs, one that was planned, and one whose every text is hostile. */
function fill(folder: TestFolder): void {
  let at = Date.parse('2026-11-21T18:00:00+01:00');
  const store = folder.open({ clock: () => new Date(at) });
  const runs = new RunStore(store);
  const pass = (secs: number): void => void (at += secs * 1_000);
  runs.createRun({ id: 'deploy-1', planPath: '/plans/deploy.json', metadata: { environment: 'production' } });
  runs.updateRunStatus('deploy-1', 'running');
  const unit = { runId: 'deploy-1', resourceType: 'linux.pkg', desiredState: {} } as const;
  runs.createPlanUnit({ ...unit, id: 'pu-1', resourceName: 'apache2', action: 'create' });
  runs.createPlanUnit({ ...unit, id: 'pu-2', resourceName: 'nginx', action: 'delete', dependencies: ['pu-1'] });
  runs.createPlanUnit({ ...unit, id: 'pu-3', resourceName: 'curl', action: 'read' });
  runs.appendRunEvent({ runId: 'deploy-1', level: 'debug', message: 'planned' });
  runs.updatePlanUnitStatus('pu-1', 'running');
  pass(65);
  runs.appendRunEvent({
    planUnitId: 'pu-1',
    level: 'warning',
    message: 'the mirror is slow',
    details: { mirror: 'a' },
  });
  runs.updatePlanUnitStatus('pu-1', 'failed', { error: 'apt is locked', diff: { version: '2.4' } });
  runs.incrementPlanUnitRetries('pu-1');
  runs.updatePlanUnitStatus('pu-3', 'skipped');
  pass(86_400);
  runs.appendRunEvent({ planUnitId: 'pu-1', level: 'error', message: 'gave up' });
  runs.updateRunStatus('deploy-1', 'failed', 'one unit failed');
  runs.createRun({ id: 'deploy-2', planPath: '/plans/deploy.json', status: 'running' });
  runs.createRun({ id: 'deploy-3', planPath: '/plans/deploy.json' });
  runs.createRun({ id: hostile, planPath: hostile, metadata: { [hostile]: hostile.repeat(50) } });
  runs.createPlanUnit({
    id: `${hostile}u`,
    runId: hostile,
    resourceType: hostile,
    resourceName: hostile.repeat(50),
    action: 'update',
    desiredState: hostile,
  });
  runs.appendRunEvent({ planUnitId: `${hostile}u`, level: 'info', message: hostile.repeat(50), details: hostile });
  store.close();
}

function assertFits(text: string): void {
  for (const line of stripVTControlCharacters(text).split('\n')) assert.ok(textWidth(line) <= 80, line);
  assert.doesNotMatch(text.replaceAll(/\x1b\[\d+m/g, '').replaceAll('\n', ''), /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u);
}

test('both commands are in --help and explain themselves', async () => {
  const { out } = await shepherd(['--help']);
  for (const [name, usage] of [['runs', 'runs [FILE]'], ['run', 'run ID']] as const) {
    assert.match(out, new RegExp(`^  ${name} +[A-Z]\\w+`, 'm'));
    const help = await shepherd([name, '--help']);
    assert.equal(help.code, 0);
    const call = usage.replaceAll(/[[\]]/g, '\\$&');
    assert.match(
      help.out,
      new RegExp(`^Usage: shepherd-store ${call} \\[options\\][^]*--json [^]*Example\n  shepherd-store ${name}`, 'm'),
    );
    assertFits(help.out);
  }
  assertFits(out);
});

test('wrong use is named, and the exit code is 2', async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const db = ['--db', folder.file()];
  const wrong: [argv: string[], said: RegExp][] = [
    [['runs', '--status', 'done', ...db], /--status must be one of pending, running, .* got "done"\nUsage: /],
    [['runs', '--limit', '0', ...db], /--limit must be a whole number from 1/],
    [['run', ...db], /ID is missing/],
    [['run', 'deploy-9', ...db], /there is no run "deploy-9" \(ERR_STORE_NOT_FOUND\)/],
  ];
  for (const [argv, said] of wrong) {
    const { code, out, err } = await shepherd(argv);
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
    assert.match(err, said);
  }
});

test('runs lists the newest first, by status and up to a limit, and leaves no trace', async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const before = picture(folder.path);
  const ask = (...argv: string[]): ReturnType<typeof shepherd> => shepherd(['runs', '--db', folder.file(), ...argv]);
  const { code, out } = await ask();
  assert.equal(code, 0);
  assert.match(
    out,
    pattern(
      /\npending +deploy-3\n +\/plans\/deploy\.json created Sun 2026-11-22 18:01:05 \+01:00\nrunning +deploy-2\n/,
      / +\/plans\/deploy\.json started Sun [^]*\nfailed +deploy-1\n +\/plans\/deploy\.json\n/,
      / +started Sat 2026-11-21 18:00:00 \+01:00, took 24 h 01 min 05 s\n/,
      / +error: one unit failed metadata=\{"environment":"production"\}\n$/,
    ),
  );
  assertFits(out);
  assert.match((await ask('--status', 'running')).out, /^running +deploy-2\n[^\n]*\n$/);
  assert.match((await ask('--limit', '1')).out, /\n\nNo more than the newest 1; --limit shows others\.\n$/);
  // There are four of them.
  for (const [limit, isCut] of [
    ['3', true],
    ['4', false],
    ['5', false],
  ] as const)
    assert.equal((await ask('--limit', limit)).out.includes('No more than'), isCut, limit);
  assert.equal((await ask('--status', 'cancelled')).out, 'No runs.\n');
  const { runs } = JSON.parse((await ask('--json', '--limit', '3')).out) as { runs: { id: string }[] };
  assert.deepEqual(runs.map(({ id }) => id), [hostile, 'deploy-3', 'deploy-2']);
  assert.deepEqual(picture(folder.path), before);
});

test('run shows units and events as a tree', async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const ask = (...argv: string[]): ReturnType<typeof shepherd> => shepherd(['run', ...argv, '--db', folder.file()]);
  const { code, out } = await ask('deploy-1');
  assert.equal(code, 0);
  assert.ok(out.endsWith([
    '├─ 18:00:00 debug planned',
    '├─ failed pu-1 create linux.pkg/apache2',
    '│  │ started Sat 2026-11-21 18:00:00 +01:00, took 1 min 05 s, 1 retry',
    '│  │ error: apt is locked diff={"version":"2.4"}',
    '│  ├─ 18:01:05 warning the mirror is slow details={"mirror":"a"}',
    '│  └─ 2026-11-22 18:01:05 error gave up',
    '├─ pending pu-2 delete linux.pkg/nginx after pu-1',
    '└─ skipped pu-3 read linux.pkg/curl ended Sat 2026-11-21 18:01:05 +01:00',
    '',
  ].join('\n')), out);
  assert.match(
    (await ask('deploy-1', '--limit', '1')).out,
    /^(?![^]*(planned|mirror))[^]*gave up[^]*\n\nNo more than the newest 1; /,
  );
  assert.match((await ask('deploy-1', '--limit', '2')).out, /No more than the newest 2; /);
  assert.equal((await ask('deploy-1', '--limit', '3')).out, out);
  assert.match(
    (await ask('deploy-1', '--limit', '0')).out,
    /^(?![^]*(planned|newest))[^]*\n\nNone of the events; --limit shows them\.\n$/,
  );
  assert.doesNotMatch((await ask('deploy-2', '--limit', '0')).out, /--limit/);
  assertFits((await ask(hostile)).out);
  const coloured = await shepherd(['run', 'deploy-1', '--db', folder.file()], { terminal: 80 });
  assert.match(coloured.out, /├─ \x1b\[31mfailed\x1b\[39m pu-1/);
  assert.equal(stripVTControlCharacters(coloured.out), out);
  const json = JSON.parse((await ask('deploy-1', '--json')).out) as object;
  assert.partialDeepStrictEqual(json, {
    run: { id: 'deploy-1', status: 'failed' },
    units: [{ id: 'pu-1', retries: 1 }, { id: 'pu-2' }, { id: 'pu-3' }],
    events: [{ id: 1 }, { id: 2 }, { id: 3 }],
    errors: [],
  });
});

test('what cannot be read is an error, and hides nothing else', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  fill(folder);
  const db = folder.raw();
  db.exec(`
    UPDATE runs SET created_at = 'soon' WHERE id = 'deploy-2';
    UPDATE run_events SET timestamp = 'soon' WHERE message = 'planned';
    UPDATE plan_units SET dependencies = '[1]' WHERE id = 'pu-2'`);
  db.close();
  const list = await shepherd(['runs', '--db', folder.file()]);
  assert.equal(list.code, 1);
  assert.match(
    list.out,
    pattern(
      /pending +deploy-3\n[^]*ERR_STORE_CORRUPT: run "deploy-2": created_at cannot be read: 'soon'\n/,
      /[^]*failed +deploy-1\n/,
    ),
  );
  const one = await shepherd(['run', 'deploy-1', '--db', folder.file()]);
  assert.equal(one.code, 1);
  assert.match(
    one.out,
    pattern(
      /^failed +deploy-1\n[^]*├─ failed pu-1 [^]*gave up\n├─ cannot be read pu-2\n└─ skipped pu-3 /,
      /[^]*ERR_STORE_CORRUPT: plan unit "pu-2": dependencies cannot be read: '\[1\]'\n/,
      /ERR_STORE_CORRUPT: run event 1: timestamp cannot be read: 'soon'\n$/,
    ),
  );
  const json = JSON.parse((await shepherd(['run', 'deploy-1', '--json', '--db', folder.file()])).out) as {
    units: unknown[];
    events: unknown[];
    errors: unknown[];
  };
  assert.deepEqual([json.units.length, json.events.length, json.errors.length], [3, 2, 2]);
});

test('an unreadable run is listed as an error by each status that finds it, and shows units and events', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  fill(folder);
  damage(folder.file(), 'runs', "status = 'sunning' WHERE id = 'deploy-2'");
  damage(folder.file(), 'runs', "status = 'gailed' WHERE id = 'deploy-1'");
  damage(folder.file(), 'run_events', "level = 'fatal' WHERE message = 'planned'");
  const running = await shepherd(['runs', '--status', 'running', '--db', folder.file()]);
  assert.deepEqual(
    [running.code, running.out],
    [1, 'ERR_STORE_CORRUPT: run "deploy-2": status cannot be read: \'sunning\'\n'],
  );
  const list = await shepherd(['runs', '--limit', '3', '--db', folder.file()]);
  assert.equal(list.code, 1);
  assert.match(list.out, /pending +deploy-3\n[^]*ERR_STORE_CORRUPT: run "deploy-2"[^]*No more than the newest 3; /);
  assert.doesNotMatch(list.out, /deploy-1/);
  damage(folder.file(), 'plan_units', "id = x'61' WHERE id = 'pu-2'");
  const one = await shepherd(['run', 'deploy-1', '--db', folder.file()]);
  assert.deepEqual([one.code, one.err], [1, '']);
  assert.match(
    one.out,
    pattern(
      /^cannot be read +deploy-1\n├─ failed pu-1 [^]*├─ 2026-11-21 18:01:05 warning the mirror/,
      /[^]*├─ cannot be read Uint8Array[^]*└─ skipped pu-3 /,
      /[^]*ERR_STORE_CORRUPT: run "deploy-1": status cannot be read: 'gailed'\nERR_STORE_[^]*\n/,
      /ERR_STORE_CORRUPT: run event 1: level [^\n]*\n$/,
    ),
  );
  const machine = await shepherd(['run', 'deploy-1', '--json', '--db', folder.file()]);
  assert.equal(machine.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    run: { id: 'deploy-1', error: { code: 'ERR_STORE_CORRUPT' } },
    units: [{ id: 'pu-1' }, { error: {} }, { id: 'pu-3' }],
    events: [{ id: 2 }, { id: 3 }],
    errors: [{ code: 'ERR_STORE_CORRUPT' }, {}, { code: 'ERR_STORE_CORRUPT' }],
  });
});
