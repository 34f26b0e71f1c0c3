// The command limits: which entries of a policy may start now, why not, and until when.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { textWidth } from '../../lib/cli/text.ts';
import { type Calling, type Said, shepherd } from '../support/command.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

process.env['TZ'] = 'Europe/Berlin';
const now = new Date('2026-11-21T18:00:00+01:00'); // a Saturday
const clock = (): Date => now;
const hostile = 'evil\x1b[31m\x07\u202e\n日本';
const minute = 60_000;

/** A folder with a store in which something was used, and a policy beside it. */
class Kiosk extends TestFolder {
  readonly policy = this.file('policy.json');

  async run(entry: string[] = [], options: Calling = {}): Promise<Said> {
    return shepherd(['limits', this.policy, ...entry, '--db', this.file()], { clock, ...options });
  }

  write(policy: unknown): void {
    writeFileSync(this.policy, typeof policy === 'string' ? policy : JSON.stringify(policy));
  }
}

function kiosk(t: TestContext, options?: { checked: boolean }): Kiosk {
  const folder = new Kiosk(t, options);
  const store = folder.open({ clock });
  store.addUsage('minecraft', '2026-11-21', 20 * minute);
  store.addUsage('tuxmath', '2026-11-21', 60 * minute);
  store.setCooldownUntil('tuxmath', new Date(now.getTime() + 10 * minute));
  store.setAvailability({ subject: 'group:games', day: '2026-11-21', availability: 'denied' });
  store.close();
  folder.write({
    entries: {
      minecraft: { dailyMs: 50 * minute, windows: [{ from: '08:00', to: '20:00' }] },
      tuxmath: { dailyMs: 60 * minute },
      chess: { groups: ['games'], windows: [{ days: [7], from: '10:00', to: '12:00' }] },
      free: {},
    },
    groups: { games: {} },
  });
  return folder;
}

test('limits says of each entry whether it may start, for how long, or why not and until when', async (t) => {
  const folder = kiosk(t);
  const before = picture(folder.path);
  const { code, out, err } = await folder.run();
  assert.deepEqual([code, err], [0, '']);
  assert.equal(out, [
    '  minecraft  may start, 30 min 00 s left, until 18:30:00',
    '  tuxmath    may not start until Sun 2026-11-22 00:00:00 +01:00',
    "      the day's time is used up until Sun 2026-11-22 00:00:00 +01:00",
    '      in cooldown until 18:10:00',
    '  chess      may not start until Sun 2026-11-22 10:00:00 +01:00',
    '      group:games: denied today until Sun 2026-11-22 00:00:00 +01:00',
    '      outside its windows until Sun 2026-11-22 10:00:00 +01:00',
    '  free       may start',
    '',
  ].join('\n'));
  assert.deepEqual(picture(folder.path), before);
  assert.equal((await folder.run(['free'])).out, '  free  may start\n');
  const unknown = await folder.run(['mincraft']);
  assert.deepEqual([unknown.code, unknown.err], [0, '']);
  assert.equal(
    unknown.out,
    '  mincraft  may not start\n      the policy does not have it (did you mean minecraft?)\n',
  );
  folder.write({ entries: {} });
  assert.equal((await folder.run()).out, 'The policy has no entries.\n');
});

test('--json gives the verdicts as evaluateAll does', async (t) => {
  const { code, out } = await kiosk(t).run(['tuxmath', '--json']);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), {
    at: now.toISOString(),
    entries: [
      {
        entryId: 'tuxmath',
        allowed: false,
        reasons: [
          { code: 'daily_quota', subject: 'tuxmath', until: '2026-11-21T23:00:00.000Z' },
          { code: 'cooldown', subject: 'tuxmath', until: '2026-11-21T17:10:00.000Z' },
        ],
        changesAt: '2026-11-21T23:00:00.000Z',
      },
    ],
  });
});

test('what is stored and cannot be read refuses its entry, and the exit code is 1', async (t) => {
  const folder = kiosk(t, { checked: false });
  {
    using db = new DatabaseSync(folder.file());
    db.exec("PRAGMA ignore_check_constraints = ON; UPDATE usage SET duration_secs = 'x' WHERE entry_id = 'minecraft'");
  }
  const { code, out } = await folder.run(['minecraft']);
  assert.equal(code, 1);
  assert.equal(out, '  minecraft  may not start\n      what is stored of it cannot be read\n');
  assert.equal((await folder.run(['free'])).code, 0);
});

test('a policy that cannot be read is wrong use, and what is wrong is named with its file', async (t) => {
  const folder = kiosk(t);
  for (const [policy, said] of [
    ['{"entries":', /policy\.json is no JSON: /],
    ['', /policy\.json is no JSON: /],
    ['[]', /policy\.json: .*\(ERR_STORE_INVALID_ARGUMENT\)/],
    ['{"entries":{"a":{"dailyMs":-1}}}', /policy\.json: .*dailyMs.*\(ERR_STORE_INVALID_ARGUMENT\)/],
    [{ entries: { [hostile]: { [hostile]: 1 } } }, /policy\.json: .*\(ERR_STORE_INVALID_ARGUMENT\)/],
    [`{"entries":${hostile}`, /policy\.json is no JSON: /],
  ] as [unknown, RegExp][]) {
    folder.write(policy);
    const { code, out, err } = await folder.run();
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, said);
    assert.doesNotMatch(err.replaceAll('\n', ''), /[\p{Cc}\u202e]/u);
  }
  const missing = await shepherd(['limits', folder.file('none.json'), '--db', folder.file()]);
  assert.equal(missing.code, 2);
  assert.match(missing.err, /failed to read the policy .*none\.json.*\(ERR_STORE_NOT_FOUND\)/);
  assert.match((await shepherd(['limits'])).err, /POLICY\.json is missing/);
});

test('names have no power over the terminal, are cut where it is narrow, and are whole in a pipe', async (t) => {
  const folder = kiosk(t);
  const long = `a-long-name${'-and-longer'.repeat(8)}`;
  folder.write({
    entries: { [hostile]: { groups: [hostile, long] }, [long]: { groups: [long], windows: [] } },
    groups: { [hostile]: { windows: [] }, [long]: { dailyMs: 0 } },
  });
  for (const terminal of [60, 80, 120]) {
    const { out } = await folder.run([], { terminal });
    for (const line of stripVTControlCharacters(out).split('\n')) assert.ok(textWidth(line) <= terminal, line);
  }
  for (const argv of [[], ['--json'], [hostile], [long]]) {
    const { out } = await folder.run(argv);
    assert.doesNotMatch(out.replaceAll('\n', ''), /[\p{Cc}\u202e]/u);
  }
  const { out } = await folder.run();
  assert.ok(out.includes(long) && out.includes(`group:${long}:`), out);
});
