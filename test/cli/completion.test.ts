// The completion of bash, zsh and fish, as these shells themselves complete.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Args } from '../../lib/cli/args.ts';
import type { Command } from '../../lib/cli/command.ts';
import { completion } from '../../lib/cli/completion.ts';
import { shepherd } from '../support/command.ts';
import { hostileTexts } from '../support/hostile.ts';
import { emptyFolder } from '../support/project.ts';
import { type Asking, askBash, askFish, askZsh } from '../support/shells.ts';
import { needs } from '../support/tools.ts';

const shells: Record<'bash' | 'zsh' | 'fish', Asking> = { bash: askBash, zsh: askZsh, fish: askFish };
const names = Object.keys(shells) as (keyof typeof shells)[];

/** The options of each command, as its help shows them. */
const options = new Map<string, { name: string; value: string | undefined }[]>();

before(async () => {
  const { out } = await shepherd(['help']);
  for (const [, name = ''] of out.split('Exit codes')[0]!.matchAll(/^  ([a-z-]+)  /gm)) {
    if (['help', 'version'].includes(name)) options.set(name, []);
    else {
      const help = (await shepherd(['help', name])).out;
      const rows = help.slice(help.indexOf('\nOptions\n')).matchAll(/^  --([a-z-]+)(?: (\S+))?/gm);
      options.set(name, Array.from(rows, ([, option = '', value]) => ({ name: option, value })));
    }
  }
  assert.ok(options.size > 35 && options.get('audit')!.length > 10);
});

async function scriptOf(shell: string): Promise<string> {
  const { code, out, err } = await shepherd(['completion', shell]);
  assert.deepEqual([code, err], [0, '']);
  return out;
}

/** A folder with two files and a folder. */
function folderOf(t: { after(fn: () => void): void }): string {
  const folder = join(emptyFolder(t), 'here');
  mkdirSync(join(folder, 'folder'), { recursive: true });
  for (const name of ['one.db', 'two words.db']) writeFileSync(join(folder, name), '');
  return folder;
}

/** What was offered, without what a shell says of it, and sorted. */
const words = (offered: readonly string[] | undefined): string[] => {
  return [...new Set((offered ?? []).map((line) => line.replace(/\t[^]*|(?<=^[a-z-]+):[^]*/, '')))].sort();
};

for (const shell of names) {
  test(`${shell} completes every command, and every option that its help shows`, needs(shell), async (t) => {
    const commands = [...options.keys()];
    const lines = ['shepherd-store ', ...commands.map((name) => `shepherd-store ${name} --`)];
    const offered = shells[shell](folderOf(t), await scriptOf(shell), lines);
    assert.deepEqual(words(offered.get('shepherd-store ')), [...commands].sort());
    for (const name of commands) {
      const known = options.get(name)!.map((option) => `--${option.name}`);
      assert.deepEqual(words(offered.get(`shepherd-store ${name} --`)), known.sort(), name);
    }
  });

  test(`${shell} completes files, folders, days and fixed words where they belong`, needs(shell), async (t) => {
    // bash is asked for what it looks for itself.
    const files = shell === 'bash' ? ['<default>'] : ['folder', 'one.db', 'two words.db'];
    const folders = shell === 'bash' ? ['<dirnames>'] : ['folder'];
    const days = ['today', 'tomorrow', 'yesterday'];
    const expected: Record<string, string[]> = {
      'audit --db ': files,
      'audit --db=': files,
      'audit ': files,
      'audit --day ': days,
      'audit --since ': ['today', 'yesterday'],
      'audit --since y': ['yesterday'],
      'verify --archives ': folders,
      'demo ': folders,
      'rebuild-ledger --ledger ': files,
      'runs --status r': ['running'],
      'runs --status=r': ['running'],
      'audit --limit 5 ': files,
      'audit --day "yes': ['yesterday'],
      'completion bash > ': files,
      'man >': files,
      'man > one.db --j': ['--json'],
      'cooldown ': ['clear'],
      'correct minecraft ': days,
      'correct --reason text minecraft t': ['today', 'tomorrow'],
      'limits ': files,
      'import one.db ': files,
      'due lint=24h --d': ['--db'],
      'fleet-schema ': ['postgresql'],
      'completion ': ['bash', 'fish', 'zsh'],
      'help comp': ['completion'],
      'help archive s': [],
      'aud': ['audit'],
      '"audit" --lim': ['--limit'],
      '--v': ['--version'],
      'nonsense ': [],
    };
    // bash takes what is behind the sign for a word of its own; the other two complete the file eq=….
    if (shell === 'bash') Object.assign(expected, { 'audit eq=': [], 'audit eq=o': [], 'audit --json=': [] });
    for (const [name, known] of options) {
      for (const { name: option, value } of known) {
        if (value?.endsWith('FILE')) expected[`${name} --${option} `] = files;
        if (value === 'DIR') expected[`${name} --${option} `] = folders;
        if (value === 'DAY') expected[`${name} --${option} `] = days;
        if (/^[a-z]+(\|[a-z]+)+$/.test(value ?? '')) expected[`${name} --${option} `] = value!.split('|').sort();
      }
    }
    const lines = Object.keys(expected).map((line) => `shepherd-store ${line}`);
    const offered = shells[shell](folderOf(t), await scriptOf(shell), lines);
    for (const [line, wanted] of Object.entries(expected)) {
      const found = words(offered.get(`shepherd-store ${line}`)).map((word) => (
        word.replace(/^--[a-z]+=|\/$/g, '').replace('two\\ words', 'two words')
      ));
      assert.deepEqual(found, wanted, line);
    }
  });

  test(`${shell} completes the command behind -- as one of its own`, needs(shell), async (t) => {
    const [line, other] = ['shepherd-store ship --to x -- mkfif', 'shepherd-store audit -- mkfif'];
    const offered = shells[shell](folderOf(t), await scriptOf(shell), [line, other]);
    assert.ok(words(offered.get(line)).includes('mkfifo'), offered.get(line)!.join(' '));
    assert.ok(!words(offered.get(other)).includes('mkfifo'));
  });

  test(`${shell} shows what a command has to say, and obeys none of it`, needs(shell), async (t) => {
    const folder = folderOf(t);
    const texts = [
      ...['$(touch obeyed)', '`touch obeyed`', "';touch obeyed;'", '"; touch obeyed; "', '[a:b]:c:(touch obeyed)'],
      ...['a:(touch obeyed):b', '%F{red}%1d', '\\', '$HOME', '*', '{a,b}', '~', '!!', '#', ...hostileTexts],
    ].filter((text) => !/[\0\r\n\t]/.test(text) && text.length < 200);
    const commands = texts.map((text, index): Command => ({
      name: `command-${index}`, summary: text, takes: [text.replaceAll(/[[\]…|]/g, '')], notes: [], examples: [],
      options: {
        switch: { help: text }, value: { value: `V${text}`, help: text }, word: { value: 'WORD', help: text },
      },
      words: { WORD: [text] }, run: () => 0,
    }));
    let script = '';
    const { run, ...syntax } = completion(async () => commands);
    const io = { stdout: { write: (text: string) => (script += text) }, stderr: process.stderr };
    await run(new Args(syntax, [shell]), io as never);
    const lines = commands.flatMap(({ name }) => ['', '--', '--value ', '--word '].map((word) => (
      `shepherd-store ${name} ${word}`
    )));
    const offered = shells[shell](folder, script, lines);
    assert.ok(!existsSync(join(folder, 'obeyed')));
    for (const { name } of commands) {
      const found = words(offered.get(`shepherd-store ${name} --`));
      assert.deepEqual(found, ['--help', '--switch', '--value', '--word'], name);
      assert.deepEqual(offered.get(`shepherd-store ${name} --value `), [], name);
    }
    // zsh quotes a word for the line, and bash gives it as it is.
    if (shell !== 'zsh') {
      for (const [index, text] of texts.entries()) {
        assert.ok(offered.get(`shepherd-store command-${index} --word `)!.some((line) => line.startsWith(text)), text);
      }
    }
    if (shell !== 'fish') return;
    const said = offered.get('shepherd-store command-0 --')!;
    assert.ok(said.includes('--switch\t$(touch obeyed)'), said.join('\n'));
  });
}

test('completion names the shells that there is one for, and gives machines the script', async () => {
  for (const name of ['ksh', 'Bash', '__proto__', 'constructor']) {
    const { code, out, err } = await shepherd(['completion', name]);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^shepherd-store: there is no completion for ".*"; there is one for bash, zsh, fish\n/);
  }
  assert.match((await shepherd(['completion'])).err, /SHELL is missing/);
  for (const shell of names) {
    const { out } = await shepherd(['completion', shell, '--json']);
    assert.deepEqual(JSON.parse(out), { shell, script: await scriptOf(shell) });
  }
});
