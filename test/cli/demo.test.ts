import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkAcknowledged } from '../../lib/cli/demo-check.ts';
import { type Acknowledged, firstRun, play, secondRun } from '../../lib/cli/demo-service.ts';
import { invocation } from '../../lib/cli/demo.ts';
import { shellWord } from '../../lib/cli/text.ts';
import { SqliteStore } from '../../lib/index.ts';
import { plainEnvironment } from '../support/child.ts';
import { pattern, shepherd } from '../support/command.ts';
import { modeOf, namesIn } from '../support/files.ts';
import { checkStore, TestFolder } from '../support/folder.ts';

process.env['TZ'] = 'Europe/Berlin';

type Ended = Extract<Acknowledged, { charged: unknown }>;

const day = '2026-11-20';
const clock = (): Date => new Date('2026-11-21T12:00:00+01:00');
const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

function* someOf<T>(steps: Iterable<T>, count: number): Generator<T> {
  for (const step of steps) {
    yield step;
    if (--count === 0) return;
  }
}

/** The demo's two runs in this process; the first is cut off after so many steps, as its process would be. */
async function playDay(path: string, stepsOfFirst = 25): Promise<Acknowledged[]> {
  const acknowledged: Acknowledged[] = [];
  const acknowledge = (step: Acknowledged): number => acknowledged.push(step);
  await play(someOf(firstRun(path, day), stepsOfFirst), 0, acknowledge);
  await play(secondRun(path, day), 0, acknowledge);
  return acknowledged;
}

test('the demo plays the day, kills its service, and finds everything that was acknowledged', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const { code, out, err } = await shepherd(['demo', folder.file('kiosk')], { clock });
  assert.deepEqual([code, err], [0, ''], out);
  const [, acknowledged, found, lost] = /^  acknowledged (\d+), found (\d+), lost (\d+)$/m.exec(out) ?? [];
  assert.ok(Number(acknowledged) >= 30, out);
  assert.deepEqual([found, lost], [acknowledged, '0']);
  assert.match(
    out,
    pattern(
      /\nFri 2026-11-20\n  08:00  the service starts\n[^]*tuxmath is denied[^]*warning: 5 min 00 s left\n/,
      /[^]*minecraft ends \(expired\) after 1 h 00 min 00 s, cooldown until 18:00/,
    ),
  );
  assert.match(
    out,
    pattern(
      /18:30  tuxmath runs, 30 min 00 s so far\n[^]*\n  SIGKILL to the service \(process \d+\)/,
      /[^]*19:00  tuxmath is recovered from the snapshot: \d+ min 00 s charged\n[^]*\nSat 2026-11-21\n/,
    ),
  );
  assert.match(out, /\n  4 sessions charged, each once\n  15 events in the log, every hash fits\n/);
  assert.match(
    out,
    pattern(
      /Usage, Fri 2026-11-20\n(?:  .+█▌?\n)*  film +20 min 00 s +█+▌?\n\nUsage, Sat 2026-11-21\n/,
      /  film +20 min 00 s +█+▌?\n/,
    ),
  );
  assert.match(out, /Look into it:\n(?:  \S.* (?:status|audit|usage|verify) --db .*kiosk\.db\n){4}$/);
  const path = folder.file('kiosk/kiosk.db');
  await checkStore(path);
  assert.equal(modeOf(dirname(path)), '700');
  assert.deepEqual(namesIn(dirname(path)), ['kiosk.db', 'kiosk.snapshot.json']);
  using store = SqliteStore.openReadOnly(path);
  assert.equal(
    store
      .getRecentAudits(9, { type: 'session_ended' })
      .filter(({ event }) => event.type === 'session_ended' && event.reason.type === 'service_crashed').length,
    1,
  );
});

test('without a folder the demo makes one for temporary files and keeps it; --json is its report', async (t) => {
  const { code, out, err } = await shepherd(['demo', '--json'], { clock: () => new Date('2026-11-21T00:10:00+01:00') });
  const report = JSON.parse(out) as { path: string; acknowledged: number; found: number };
  t.after(() => rmSync(dirname(report.path), { recursive: true }));
  assert.deepEqual([code, err], [0, '']);
  assert.partialDeepStrictEqual(report, {
    found: report.acknowledged,
    lost: [],
    doubled: [],
    chain: { ok: true, findings: [] },
  });
  assert.match(report.path, /shepherd-demo-\w+\/kiosk\.db$/);
  using store = SqliteStore.openReadOnly(report.path);
  // Just after midnight the night of the day before is not over.
  assert.deepEqual(store.getUsageForDay('2026-11-20'), [{ entryId: 'film', durationMs: 1_200_000 }]);
});

test('the demo refuses a folder that has something in it, and says when its service cannot run', async (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('mine'), '');
  const full = await shepherd(['demo', folder.path]);
  assert.equal(full.code, 2);
  assert.match(
    full.err,
    /is not empty: give a new or an empty folder\nUsage: shepherd-store demo \[FOLDER\] \[options\]\n/,
  );
  assert.deepEqual(namesIn(folder.path), ['mine']);
  const file = await shepherd(['demo', folder.file('mine')]);
  assert.equal(file.code, 2);
  assert.match(file.err, /is not a folder that can be used/);
  // A folder that nobody, not even root, can make.
  const nowhere = await shepherd(['demo', '/proc/shepherd-demo']);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.err, /^shepherd-store: the service of the demo ended by itself/);
});

test('the check finds each kind of step that is not in the store, and time that was charged twice', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const acknowledged = await playDay(folder.file());
  const check = (steps: readonly Acknowledged[] = acknowledged): ReturnType<typeof checkAcknowledged> => {
    using store = SqliteStore.openReadOnly(folder.file());
    return checkAcknowledged(store, steps);
  };
  assert.deepEqual(check(), { lost: [], doubled: [] });
  assert.deepEqual(new Set(acknowledged.map(({ op }) => op)), new Set(['event', 'start', 'touch', 'end', 'recover']));

  const at = acknowledged[0]!.at;
  const ended = acknowledged.find((step): step is Ended => step.op === 'end')!;
  const touched = acknowledged.findLast((step): step is Extract<Acknowledged, { op: 'touch' }> => step.op === 'touch')!;
  const never: Acknowledged[] = [
    { at, op: 'event', id: 999, event: { type: 'service_started' } },
    { at, op: 'event', id: 1, event: { type: 'service_stopped' } },
    { at: new Date(0), op: 'event', id: 1, event: { type: 'service_started' } },
    { at, op: 'start', sessionId: 'other', entryId: 'film', deadline: at },
    { at, op: 'touch', sessionId: 'other', entryId: 'film', elapsedMs: 0 },
    { ...touched, elapsedMs: touched.elapsedMs + 3_600_000 },
    {
      at,
      op: 'recover',
      sessionId: 'other',
      entryId: 'none',
      reason: { type: 'service_crashed' },
      durationMs: 0,
      charged: [],
    },
    { ...ended, charged: [], cooldownUntil: new Date('2027-01-01') },
    { ...ended, charged: [], durationMs: 1 },
  ];
  assert.deepEqual(check([...acknowledged, ...never]).lost, never);
  // The same end acknowledged once more stands for time that was lost: the totals do not hold it.
  assert.deepEqual(new Set(check([...acknowledged, ended]).lost.map(({ op }) => op)), new Set(['end', 'recover']));

  using db = new DatabaseSync(folder.file());
  db.exec("UPDATE usage SET duration_secs = duration_secs + 1 WHERE entry_id = 'minecraft'");
  assert.deepEqual(check(), { lost: [], doubled: [{ entryId: 'minecraft', day, durationMs: 3_600_000 }] });
  db.exec(`
    DROP TRIGGER audit_log_no_delete;
    DELETE FROM audit_log WHERE id = 2;
    UPDATE usage SET duration_secs = 1 WHERE entry_id = 'film';
    DELETE FROM cooldowns WHERE entry_id = 'minecraft'`);
  assert.deepEqual(check().lost.map(({ op, at }) => [op, at.getHours()]), [['event', 8], ['end', 16], ['end', 0]]);
});

test('wherever the service is killed, its session is charged once up to the last touch', async (t) => {
  for (const steps of [1, 3, 5, 7, 9, 13, 14, 18, 22, 30]) {
    const folder = new TestFolder(t);
    const acknowledged = await playDay(folder.file(), steps);
    using store = SqliteStore.openReadOnly(folder.file());
    assert.deepEqual(checkAcknowledged(store, acknowledged), { lost: [], doubled: [] }, `after ${steps} steps`);
  }
  const folder = new TestFolder(t);
  const running = [...someOf(firstRun(folder.file(), day), 22)];
  using store = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual(
    checkAcknowledged(store, running),
    { lost: [], doubled: [] },
    'while the session runs, its touches are in the snapshot',
  );
});

test('a demo that is interrupted leaves no service behind', async (t) => {
  const folder = new TestFolder(t);
  mkdirSync(folder.file('kiosk'));
  const child = spawn(process.execPath, [program, 'demo', folder.file('kiosk')], {
    env: plainEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.signal.addEventListener('abort', () => child.kill('SIGKILL'));
  child.stdout.on('data', (text: Buffer) => {
    if (text.includes('09:00')) child.kill('SIGTERM');
  });
  assert.equal(await new Promise((resolve) => child.once('close', (_code, signal) => resolve(signal))), 'SIGTERM');
  // A service that went on would write its next step now.
  const path = folder.file('kiosk/kiosk.db');
  assert.ok(existsSync(path));
  const head = (): number | undefined => {
    using store = SqliteStore.openReadOnly(path);
    return store.auditHead()?.id;
  };
  const before = head();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(head(), before);
});

test('the commands that the demo prints are in the form in which it was started, ready to paste', () => {
  const major = process.versions.node.split('.')[0];
  const npx = '/home/me/.npm/_npx/1/node_modules/node/bin/node';
  assert.equal(
    invocation('/home/me/store/lib/cli/main.ts', npx, '/home/me/store'),
    `npx -y node@${major} lib/cli/main.ts`,
  );
  assert.equal(invocation('/home/me/store/lib/cli/main.ts', '/usr/bin/node', '/home/me/store/lib'), 'node cli/main.ts');
  assert.equal(
    invocation('/home/me/my store/dist/cli/main.js', '/usr/bin/node', '/tmp'),
    "node '/home/me/my store/dist/cli/main.js'",
  );
  assert.equal(invocation('/usr/bin/shepherd-store', '/usr/bin/node', '/tmp'), 'shepherd-store');
  assert.equal(
    invocation(join('/home/me/node_modules/.bin', 'shepherd-store'), '/usr/bin/node', '/home/me'),
    'npx shepherd-store',
  );
  assert.deepEqual(['a/b.db', 'a b', "it's", ''].map(shellWord), ['a/b.db', "'a b'", "'it'\\''s'", "''"]);
});
