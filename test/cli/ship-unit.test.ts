// The unit of systemd that sends, as the document of the command has it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { documentAt, examplesOf } from '../support/documents.ts';
import { TestFolder } from '../support/folder.ts';

const document = documentAt('lib/cli/README.md');
const [unit = ''] = [...examplesOf(document).values()].flat()
  .filter(({ savedAs }) => savedAs === 'shepherd-ship.service').map(({ text }) => text.replaceAll(/\\\n */g, ''));

test('the unit runs psql as the document says, follows, and gives the signal that ends it to ship alone', () => {
  const [, own, behind] = /^ExecStart=(\/.* ship .*) -- (.*)$/m.exec(unit) ?? [];
  assert.match(own!, / --follow( |$)/);
  assert.match(unit, /^KillMode=mixed$/m);
  assert.match(unit, /^Restart=always$/m);
  const [, folder] = / --db (\/.*)\/[^/ ]+ /.exec(own!) ?? [];
  for (const setting of ['ReadWritePaths', 'RequiresMountsFor']) assert.ok(unit.includes(`\n${setting}=${folder}\n`));
  const [, inShell] = /^\| a shell \| `(psql .*)` \|$/m.exec(document.text) ?? [];
  assert.equal(behind, `/usr/bin/${inShell!.replaceAll('\\', '\\\\')}`);
});

test('systemd, where it is there, finds nothing wrong with the unit', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) {
    return t.diagnostic('without systemd-analyze, what is above has to do');
  }
  const path = new TestFolder(t).file('shepherd-ship.service');
  // It looks for the programs, which need not be where a kiosk has them.
  writeFileSync(path, unit.replaceAll(/(?<=^ExecStart=|-- )\/\S+/gm, process.execPath));
  const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
  const said = (stdout + stderr).split('\n').filter((line) => line.includes('shepherd-ship'));
  assert.deepEqual(said, []);
});
