// The zone that days are of: shown, and a finding where it is not the one that TZ or the system says.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { localDay, type StoreHealth } from '../../lib/index.ts';
import { SystemZone } from '../../lib/values/time-zone.ts';
import { shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';

/** Sets TZ as a process would be started with it; Node looks at it anew then. */
function inZone(t: TestContext): (zone: string | undefined) => void {
  const set = (zone: string | undefined): void => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  };
  const { TZ } = process.env;
  t.after(() => set(TZ));
  return set;
}

test('health shows the zone that days are of, in whatever way TZ names it', (t) => {
  const set = inZone(t);
  const store = new TestFolder(t).open();
  for (const [variable, zone] of [
    ['Europe/Berlin', 'Europe/Berlin'], [':Europe/Berlin', 'Europe/Berlin'], ['posix/Europe/Berlin', 'Europe/Berlin'],
    ['US/Eastern', 'America/New_York'], ['EST5EDT', 'America/New_York'], ['Etc/GMT+1', 'Etc/GMT+1'],
    ['UTC', 'UTC'], ['Etc/UTC', 'UTC'], ['GMT', 'UTC'], ['UTC0', 'UTC'], ['', 'UTC'],
    ['EST5', 'UTC-05:00'], ['JST-9', 'UTC+09:00'], ['UTC+1', 'UTC-01:00'], ['GMT+1', 'UTC-01:00'],
  ] as const) {
    set(variable);
    const { timeZone, ok, findings } = store.health();
    assert.deepEqual([timeZone, ok, findings], [zone, true, []], variable);
  }
});

test('a TZ that Node does not take is a finding until it is one that it takes', (t) => {
  const set = inZone(t);
  const store = new TestFolder(t).open();
  for (const variable of [
    'CET-1CEST,M3.5.0,M10.5.0/3', 'CET-1CEST', '<+11>-11:17', 'XYZ-5:17', '+11:17', 'Mars/Olympus', 'europe/berlin',
    ' Europe/Berlin', '/usr/share/zoneinfo/Europe/Berlin', ':/usr/share/zoneinfo/Europe/Berlin', ':/nowhere',
    'MEZ', 'localtime', '\x1b[31m', ':',
  ]) {
    set(variable);
    const { ok, findings } = store.health();
    assert.deepEqual([ok, findings.map(({ kind }) => kind)], [false, ['time-zone']], variable);
    assert.doesNotMatch(findings[0]!.message, /\x1b/);
    assert.equal(store.isHealthy(), true);
    set('Europe/Berlin');
    assert.deepEqual(store.health().findings, [], variable);
  }
});

test('a process that was started with such a TZ says so, also where Node shows a name for it', () => {
  const code = `
    import { SqliteStore } from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)};
    console.log(JSON.stringify(SqliteStore.inMemory().health()));`;
  const zones = [['CET-1CEST,M3.5.0,M10.5.0/3', false], ['BST', false], ['Europe/London', true]] as const;
  for (const [TZ, isTaken] of zones) {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
      encoding: 'utf8', env: { ...process.env, TZ },
    });
    const { timeZone, findings } = JSON.parse(stdout || stderr) as StoreHealth;
    assert.deepEqual(findings.map(({ kind }) => kind), isTaken ? [] : ['time-zone'], TZ);
    assert.equal(timeZone === 'Europe/London', isTaken);
  }
});

test('a zone without a finding is the one by which days are named', (t) => {
  const set = inZone(t);
  const store = new TestFolder(t).open();
  for (const variable of ['Europe/Berlin', ':America/St_Johns', 'Pacific/Kiritimati', 'right/Asia/Tokyo', 'EST5EDT']) {
    set(variable);
    const { timeZone } = store.health();
    for (let hour = 0; hour < 24 * 365; hour += 7) {
      const at = new Date(Date.UTC(2026, 0, 1, hour, 30));
      assert.equal(localDay(at), localDay(at, timeZone), `${variable} ${at.toISOString()}`);
    }
  }
});

test('status shows the zone and the finding', async (t) => {
  const set = inZone(t);
  const folder = new TestFolder(t);
  folder.open().close();
  set('Europe/Berlin');
  const well = await shepherd(['status', '--db', folder.file()]);
  assert.match(well.out, /^time zone +Europe\/Berlin$/m);
  assert.doesNotMatch(well.out, /^ +time-zone$/m);
  set('CET-1CEST,M3.5.0,M10.5.0/3');
  const ill = await shepherd(['status', '--db', folder.file()]);
  assert.equal(ill.code, 1);
  assert.match(ill.out, /^ +time-zone\n +TZ is 'CET-1CEST,M3\.5\.0,M10\.5\.0\/3'/m);
  const { ok, findings } = JSON.parse((await shepherd(['status', '--db', folder.file(), '--json'])).out) as {
    ok: boolean; findings: { kind: string }[];
  };
  assert.deepEqual([ok, findings.map(({ kind }) => kind)], [false, ['time-zone']]);
});

test('a system\'s zone that has changed since the process started is a problem, by whatever way it is given', (t) => {
  inZone(t)('Europe/Berlin'); // the zone that this process has, whatever the machine's is
  const folder = new TestFolder(t);
  const localtime = folder.file('localtime');
  const point = (target: string): void => {
    rmSync(localtime, { force: true });
    symlinkSync(target, localtime);
  };
  for (const [target, isProblem] of [
    ['/usr/share/zoneinfo/Europe/Berlin', false], ['../usr/share/zoneinfo/Europe/Berlin', false],
    ['/usr/share/zoneinfo/posix/Europe/Berlin', false], ['/etc/zoneinfo/Europe/Paris', false],
    ['/usr/share/zoneinfo/Asia/Tokyo', true], ['/usr/share/zoneinfo/Africa/Lagos', true],
    ['/usr/share/zoneinfo/UTC', true],
  ] as const) {
    point(target);
    const zone = new SystemZone(localtime);
    assert.equal(zone.problem(undefined) !== undefined, isProblem, target);
    assert.equal(zone.problem(`:${localtime}`) !== undefined, isProblem, `TZ names ${target}`);
    assert.equal(zone.problem('Europe/Berlin'), undefined, 'TZ is what counts');
  }
});

test('a system\'s zone without a name in it is a problem once it is another file than at the start', (t) => {
  const folder = new TestFolder(t);
  const localtime = folder.file('localtime');
  const other = folder.file('other');
  folder.open().close();
  const absent = new SystemZone(localtime);
  assert.equal(absent.problem(undefined), undefined);
  copyFileSync(folder.file(), localtime);
  assert.notEqual(absent.problem(undefined), undefined);
  const file = new SystemZone(localtime);
  assert.equal(file.problem(undefined), undefined);
  utimesSync(localtime, 1, 1);
  assert.notEqual(file.problem(undefined), undefined);

  rmSync(localtime);
  copyFileSync(folder.file(), other);
  symlinkSync(other, localtime);
  const link = new SystemZone(localtime);
  assert.equal(link.problem(undefined), undefined);
  rmSync(other);
  assert.equal(existsSync(localtime), false);
  assert.notEqual(link.problem(undefined), undefined);
});
