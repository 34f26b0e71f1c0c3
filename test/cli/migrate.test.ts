// The command migrate: what it says of the steps it takes, and of those it refuses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textWidth } from '../../lib/cli/text.ts';
import { pattern, type Said, shepherd } from '../support/command.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { Companion } from '../support/process.ts';
import { allRows } from '../support/rows.ts';

const migrate = (path: string, ...args: string[]): Promise<Said> => shepherd(['migrate', '--db', path, ...args]);

test('it moves a store down and up, and says from where to where and what each step is about', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file();
  folder.open().close();
  assert.deepEqual(await migrate(path), { code: 0, out: `${path} has schema version 10 already\n`, err: '' });
  assert.deepEqual(await migrate(path, '--to', '2'), {
    code: 0,
    out:
      `migrated: ${path} from schema version 10 to 2\n  down from 10  fleet\n  down from 9  archive\n` +
      '  down from 8  limits\n  down from 7  older versions\n' +
      '  down from 6  derived days\n' +
      '  down from 5  cooldowns set at\n  down from 4  projects\n  down from 3  facts\n',
    err: '',
  });
  assert.deepEqual(JSON.parse((await migrate(path, '--to', '3', '--json')).out), {
    path,
    from: 2,
    to: 3,
    steps: [{ version: 3, description: 'facts' }],
  });
  assert.deepEqual(await migrate(path), {
    code: 0,
    out:
      `migrated: ${path} from schema version 3 to 10\n` +
      '  up to 4  projects\n  up to 5  cooldowns set at\n  up to 6  derived days\n  up to 7  older versions\n' +
      '  up to 8  limits\n  up to 9  archive\n  up to 10  fleet\n',
    err: '',
  });
  folder.open();
});

test('a step down that would lose rows is refused with what they are, and taken with --force', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file();
  const store = folder.open();
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  makeDatabase(path, allRows);
  const before = picture(folder.path);
  const refused = await migrate(path, '--to', '3');
  assert.equal(refused.code, 1);
  assert.match(refused.out, /^what the steps down lose:\n/); // before anything is done
  assert.match(
    refused.err,
    pattern(
      /^shepherd-store: [^\n]*lose rows of former_identities \(2\), rows of outboxes \(2\)[^\n]*/,
      /: --force loses them \(ERR_STORE_MIGRATION\)\n$/,
    ),
  );
  assert.deepEqual(picture(folder.path), before);
  assert.equal((await migrate(path, '--to', '3', '--force')).code, 0);
  const { code, out } = await migrate(path, '--to', '0', '--force');
  assert.equal(code, 0);
  assert.match(
    out,
    pattern(
      /from schema version 3 to 0\n  down from 3  facts\n  down from 2  runs\n  down from 1  core\n/,
      /its snapshot file is .*store\.snapshot\.json\.migrated-down-.* now\n$/,
    ),
  );
  assert.match((await migrate(path)).out, /from schema version 0 to 10\n  up to 1  core\n/);
});

test('what steps down would lose is printed first, all of it, and --dry-run does nothing else', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file();
  const store = folder.open();
  store.setCooldownUntil('minecraft', new Date());
  store.close();
  makeDatabase(path, allRows);
  const before = picture(folder.path);
  const lost = ['values of cooldowns.set_at: 1', 'rows of overrides: 2', 'rows of balances: 2', 'rows of facts: 2',
    'rows of projects: 2', 'rows of task_history: 2',
    'rows of assigned_tasks: 2', 'rows of run_records: 2', 'rows of project_snapshots: 2',
    'rows of outboxes: 2', 'rows of former_identities: 2'];
  const dry = await migrate(path, '--to', '2', '--dry-run');
  assert.deepEqual([dry.code, dry.err], [0, '']);
  const said = pattern(/^would be migrated: .* from schema version 10 to 2\n/,
    /([^]*)what the steps down lose:\n([^]*)$/);
  const [, steps, losses] = said.exec(dry.out)!;
  assert.deepEqual(steps!.match(/down from \d+/g), [10, 9, 8, 7, 6, 5, 4, 3].map((version) => `down from ${version}`));
  assert.deepEqual(losses!.trimEnd().split('\n').sort(), lost.map((line) => `  ${line}`).sort());
  const document = JSON.parse((await migrate(path, '--to', '2', '--dry-run', '--json')).out);
  assert.deepEqual([document.from, document.to, document.lost.length, document.steps.length], [10, 2, lost.length, 8]);
  assert.deepEqual(picture(folder.path), before);
  assert.equal((await migrate(path, '--to', '11', '--dry-run')).code, 2);
  makeDatabase(folder.file('other.db'), 'CREATE TABLE a (b);');
  assert.match((await migrate(folder.file('other.db'), '--dry-run')).err, /ERR_STORE_NOT_A_STORE/);
  const forced = await migrate(path, '--to', '2', '--force');
  assert.ok(forced.out.startsWith('what the steps down lose:\n  ') && forced.out.includes('\nmigrated: '), forced.out);
  const up = (await migrate(path, '--dry-run')).out;
  assert.match(up, /^would be migrated: [^\n]* 2 to 10\n(  up to \d+ [^\n]*\n){8}$/);
  assert.equal((await migrate(path, '--to', '0', '--dry-run')).code, 0);
  folder.open();
});

test('a file of the four tables goes up', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), fourTables);
  assert.match((await migrate(folder.file(), '--to', '1')).out, /from schema version 0 to 1\n  up to 1  core\n$/);
  assert.equal(folder.open().getUsage('minecraft', '2026-11-20'), 90_000);
});

test('what cannot be migrated is a line with its code, and wrong use a usage line', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  makeDatabase(folder.file('other.db'), 'CREATE TABLE a (b);');
  const before = picture(folder.path);
  const cases: [args: string[], code: number, said: RegExp][] = [
    [['--db', folder.file('absent.db')], 2, /\(ERR_STORE_NOT_FOUND\)\n$/],
    [['--db', folder.file('other.db')], 1, /\(ERR_STORE_NOT_A_STORE\)\n$/],
    [['--db', folder.file(), '--to', '11'], 2, /--to must be a whole number from 0 to 10, got "11"\nUsage: /],
    [['--db', folder.file(), '--to', '-1'], 2, /--to.*\nUsage: /],
    [['--db', folder.file(), '--force=yes'], 2, /--force.*\nUsage: /],
  ];
  for (const [args, code, said] of cases) {
    const result = await shepherd(['migrate', ...args]);
    assert.deepEqual([result.code, result.out], [code, ''], args.join(' '));
    assert.match(result.err, said);
  }
  assert.deepEqual(picture(folder.path), before);
  const help = await shepherd(['migrate', '--help']);
  assert.match(help.out, /^Usage: shepherd-store migrate \[FILE\] \[options\]$/m);
  for (const line of help.out.split('\n')) assert.ok(textWidth(line) <= 80, line);
  assert.match((await shepherd(['--help'])).out, /^  migrate +Moves/m);
});

test('beside a running service it is refused; --force waits for nobody, and the service writes no more', async (t) => {
  const folder = new TestFolder(t);
  const service = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    report(store.addUsage('a', '2026-11-21', 1));
    await told();
    report([codeOf(() => store.addUsage('a', '2026-11-21', 1)), store.getUsage('a', '2026-11-21')]);
    store.close();`);
  await service.next();
  assert.match((await migrate(folder.file(), '--to', '3', '--dry-run')).out, /^would be migrated: /);
  assert.notEqual((await migrate(folder.file(), '--to', '3')).code, 0);
  assert.equal((await migrate(folder.file(), '--to', '3', '--force')).code, 0);
  assert.deepEqual(await service.ask('write'), ['ERR_STORE_MIGRATION', 1]);
  await service.end();
  assert.equal((await migrate(folder.file())).code, 0);
});
