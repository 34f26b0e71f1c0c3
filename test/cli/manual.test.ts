// The page of the manual, as the two programs show it that systems have for that.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { Args } from '../../lib/cli/args.ts';
import type { Command } from '../../lib/cli/command.ts';
import { manual } from '../../lib/cli/manual.ts';
import { shepherd } from '../support/command.ts';
import { hostileTexts } from '../support/hostile.ts';
import { manifest } from '../support/project.ts';
import { needs } from '../support/tools.ts';

/** The page as a program shows it, without bold print, which is a character written twice; blanks are made one. */
function shownBy(program: readonly string[], page: string): string {
  const { status, stdout, stderr } = spawnSync(program[0]!, program.slice(1), { input: page, encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, ''], program.join(' '));
  return stdout.replaceAll(/\x1b\[\d+m|.\x08/gu, '').replaceAll(/\s+/g, ' ');
}

const programs: Record<'mandoc' | 'groff', readonly string[]> = {
  mandoc: ['mandoc', '-Tutf8', '-O', 'width=78'],
  groff: ['groff', '-man', '-Tutf8', '-ww', '-K', 'utf8', '-P-c'],
};

async function page(): Promise<string> {
  const { code, out, err } = await shepherd(['man']);
  assert.deepEqual([code, err], [0, '']);
  return out;
}

for (const name of ['mandoc', 'groff'] as const) {
  test(`${name} shows each command with its summary, options, notes and examples`, needs(name), async () => {
    const shown = shownBy(programs[name], await page());
    const { out } = await shepherd(['help']);
    const names = Array.from(out.split('Exit codes')[0]!.matchAll(/^  ([a-z-]+)  /gm), ([, command]) => command!);
    assert.ok(names.length > 35);
    let at = shown.indexOf('COMMANDS');
    for (const command of names.filter((each) => !['help', 'version'].includes(each))) {
      const help = (await shepherd(['help', command])).out;
      at = shown.indexOf(` ${help.split('\n')[0]} `, at);
      assert.ok(at > 0, `${command} and its summary`);
      const [, usage = '', options = '', rest = ''] = /Usage: (.*)\n\nOptions\n([^]*?)\n\n([^]*)/.exec(help) ?? [];
      for (const line of [usage, ...options.split('\n'), ...rest.split('\n')]) {
        // Notes are filled anew, so that how many blanks stand between two words means nothing.
        const text = line.trim().replaceAll(/\s+/g, ' ');
        if (/^(Examples?)?$/.test(text)) continue;
        assert.ok(shown.indexOf(text, at) > 0, `${command}: ${text}`);
      }
    }
    for (const variable of ['SHEPHERD_STORE_DB', 'XDG_DATA_HOME', 'TZ', 'NO_COLOR', 'FORCE_COLOR']) {
      assert.ok(shown.includes(variable), variable);
    }
    assert.match(shown, / EXIT STATUS .* 0 all is well 1 a finding: .* 130 interrupted .* SEE ALSO /);
    assert.ok(shown.includes(`shepherd-store ${manifest.version}`));
  });

  test(`${name} shows hostile texts as they are, and takes none for a request`, needs(name), async () => {
    const texts = [
      '.so /etc/hostname', "'br", '\\X(y', '\\fBbold\\fP', '.', '..', '\\', '"quoted" text', '-–—',
      "it's ~/.local ^x `y`", ...hostileTexts,
    ].filter((text) => /^[\x20-\x7e…–—é漢]{1,60}$/.test(text));
    assert.ok(texts.length > 25);
    const command: Command = {
      name: 'name', summary: 'Summary', takes: [], notes: texts, examples: texts, run: () => 0,
      options: Object.fromEntries(texts.map((help, index) => [`option-${index}`, { help }])),
    };
    let out = '';
    const { run, ...syntax } = manual(async () => [command], '1.2.3');
    const io = { stdout: { write: (text: string) => (out += text) }, stderr: process.stderr };
    await run(new Args(syntax, []), io as never);
    const shown = shownBy(programs[name], out);
    for (const text of texts) {
      const times = shown.split(text.trim()).length - 1;
      assert.ok(times >= 3, `${text}: ${times} times`);
    }
  });
}

test('the page has no fault that mandoc knows of', needs('mandoc'), async () => {
  const { stdout, stderr } = spawnSync('mandoc', ['-Tlint', '-Wwarning'], { input: await page(), encoding: 'utf8' });
  // The page has no date, so that a version always prints the same one.
  assert.equal(stdout + stderr, 'mandoc: <stdin>:1:23: WARNING: missing date, using "": TH\n');
});

test('the page is the same at each time, and machines get it as a text', async () => {
  const text = await page();
  assert.match(text, /^\.TH SHEPHERD\\-STORE 1 "" "shepherd\\-store \d+\.\d+\.\d+" "User commands"\n/);
  const { out } = await shepherd(['man', '--json'], { clock: () => new Date(0) });
  assert.deepEqual(JSON.parse(out), { name: 'shepherd-store', section: 1, page: text });
});
