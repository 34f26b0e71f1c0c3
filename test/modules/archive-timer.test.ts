// The timer and its service, as the document of archives has them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { test } from 'node:test';
import { documentAt, examplesOf } from '../support/documents.ts';
import { TestFolder } from '../support/folder.ts';

/** The texts of the units by their names. */
const units = new Map(
  [...examplesOf(documentAt('lib/modules/archive/README.md')).values()].flat()
    .filter(({ language }) => language === 'ini').map(({ savedAs, text }) => [savedAs!, text]),
);

/** The settings of a unit as `Section.Name`. Throws for a line that is neither a section nor a setting. */
function settingsOf(name: string): Map<string, string> {
  const settings = new Map<string, string>();
  let section = '';
  // A backslash at the end of a line continues it.
  for (const line of units.get(name)!.replaceAll(/\\\n */g, '').split('\n').filter((each) => each !== '')) {
    const [, heading] = /^\[(\w+)\]$/.exec(line) ?? [];
    const [, key, value] = /^(\w+)=(\S.*)$/.exec(line) ?? [];
    if (heading !== undefined) section = heading;
    else if (key !== undefined && section !== '') settings.set(`${section}.${key}`, value!);
    else throw new Error(`${name}: ${line}`);
  }
  return settings;
}

test('the service of the timer may write where the store and the archives lie, and nowhere else', () => {
  const settings = settingsOf('shepherd-archive.service');
  const [program, script, command, ...args] = settings.get('Service.ExecStart')!.split(' ');
  assert.ok(isAbsolute(program!) && isAbsolute(script!), 'a unit has no PATH of a shell, and no folder to begin in');
  assert.equal(command, 'archive');
  const valueOf = (option: string): string => args[args.indexOf(option) + 1]!;
  const folders = [dirname(valueOf('--db')), valueOf('--folder')];
  assert.equal(settings.get('Service.ProtectSystem'), 'strict');
  assert.deepEqual(settings.get('Service.ReadWritePaths')!.split(' '), folders);
  assert.deepEqual(settings.get('Unit.RequiresMountsFor')!.split(' '), folders);
  assert.equal(settings.get('Service.Type'), 'oneshot');
  assert.notEqual(settings.get('Service.IOSchedulingClass'), 'idle');
  assert.ok(Number(settings.get('Service.Nice')) < 19);
});

test('the timer starts each night the service that has its name, also where the machine was off', () => {
  assert.deepEqual([...units.keys()], ['shepherd-archive.service', 'shepherd-archive.timer']);
  const settings = settingsOf('shepherd-archive.timer');
  assert.match(settings.get('Timer.OnCalendar')!, /^\*-\*-\* \d\d:\d\d:\d\d$/);
  assert.equal(settings.get('Timer.Persistent'), 'true');
  assert.equal(settings.get('Install.WantedBy'), 'timers.target');
});

test('systemd, where it is there, finds nothing wrong with the units', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) {
    return t.diagnostic('without systemd-analyze, what is above has to do');
  }
  const folder = new TestFolder(t);
  const paths = [...units].map(([name, text]) => {
    // It looks for the program, which need not be where a kiosk has it.
    writeFileSync(folder.file(name), text.replace('/usr/bin/node', process.execPath));
    return join(folder.path, name);
  });
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...paths], {
    encoding: 'utf8', env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder.path}:` },
  });
  assert.deepEqual([status, stdout, stderr], [0, '', '']);
});
