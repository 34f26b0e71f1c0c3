// Every example of every document, as a stranger would try it: installed by the blocks of the README, pasted or saved
// as it stands, each section in a folder of its own, and compared with the output that the document shows.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { documentAt, documents, type Example, examplesOf, isShown } from '../support/documents.ts';
import { cloneProject, Machine } from '../support/machine.ts';
import { emptyFolder, root, tsc } from '../support/project.ts';
import { PostgreSql } from '../support/postgresql.ts';
import { needs } from '../support/tools.ts';

const folder = emptyFolder({ after });
const machine = new Machine(folder);
const npm = { skip: !machine.canInstall() && 'left out for want of the npm registry' };
// Two folders in which the README's blocks install the package.
const [vendored, packed] = ['vendored', 'packed'].map((name) => join(folder, name)) as [string, string];

const allExamples = documents.flatMap((document) => [...examplesOf(document).values()].flat());
const [install, clone] = ['Install', 'Try it, test it'].map((section) => {
  const examples = examplesOf(documentAt('README.md')).get(section) ?? [];
  assert.equal(examples.length, 2, `the blocks of "${section}"`);
  return examples as [Example, Example];
}) as [[Example, Example], [Example, Example]];

/** The places of the examples that have been run or saved, or whose test was left out. */
const seen = new Set<string>(npm.skip ? allExamples.map(({ place }) => place) : []);

/** Runs one example in a folder, compares what it prints with what its document shows, and gives what it prints. */
function runExample(cwd: string, example: Example, text = example.text, env: NodeJS.ProcessEnv = {}): string {
  const { place, savedAs, language, shown } = example;
  seen.add(place);
  if (savedAs !== undefined || language === 'ts') writeFileSync(join(cwd, savedAs ?? 'example.ts'), text);
  if (savedAs !== undefined) return '';
  const { status, stdout, stderr } = machine.paste(cwd, language === 'ts' ? 'node example.ts' : text, env);
  assert.equal(status, 0, `${place}\n${stdout}${stderr}`);
  if (shown !== undefined) assert.ok(isShown(stdout, shown), `${place} shows\n${shown}and prints\n${stdout}${stderr}`);
  return stdout;
}

before(() => {
  if (npm.skip) return;
  for (const path of [vendored, packed]) mkdirSync(path);
  runExample(vendored, install[0]);
  runExample(packed, install[1]);
});

test('the README installs the package in an empty folder, vendored and packed, and nothing beside it', npm, () => {
  assert.deepEqual(readdirSync(vendored).sort(), ['kiosk', 'kiosk.ts', 'package.json', 'vendor']);
  const byNpm = ['node_modules', 'package-lock.json', 'package.json'];
  assert.deepEqual(readdirSync(packed).sort(), ['kiosk', 'kiosk.ts', ...byNpm]);
});

test('the commands of the README for a clone play the demo, and install what the tests need and run them', npm, () => {
  const fresh = join(folder, 'fresh');
  cloneProject(fresh);
  runExample(fresh, clone[0]);
  // The whole suite, of which this is a part, is run by this command in CI: here one file of it is left.
  for (const name of readdirSync(join(fresh, 'test'))) {
    if (!['support', 'default-path.test.ts'].includes(name)) rmSync(join(fresh, 'test', name), { recursive: true });
  }
  assert.match(runExample(fresh, clone[1]), /^\S+ pass [1-9]/m);
});

/** What a name of the package is where it is vendored, by the rule that the README gives. */
function vendoredName(name: string): string {
  const path = name === '' ? '' : ['ledger', 'import'].includes(name) ? `${name}/` : `modules/${name}/`;
  return `./vendor/shepherd-store/lib/${path}${path.startsWith('modules') ? name : 'index'}.ts`;
}

/** A new folder with a copy of what is installed in another one. */
function folderLike(installed: string, names: readonly string[]): string {
  const path = mkdtempSync(join(folder, 'section-'));
  for (const name of names) {
    cpSync(join(installed, name), join(path, name), { recursive: true, verbatimSymlinks: true });
  }
  return path;
}

test('the examples of the README print what is shown when they are tried from top to bottom in one folder', npm, () => {
  const sections = [...examplesOf(documentAt('README.md')).values()];
  for (const example of sections.flat().slice(install.length + clone.length)) runExample(packed, example);
});

const server = new PostgreSql();
after(() => server.stop());

/** What a section of a document needs besides npm. */
function toolsOf(examples: readonly Example[]): ReturnType<typeof needs> {
  if (examples.some(({ savedAs }) => savedAs === 'verify.sh')) return needs('jq', 'openssl');
  return examples.some(({ text }) => /^createdb /m.test(text)) ? needs('postgres') : needs();
}

/** The server that a section's commands are to find. */
async function serverOf(examples: readonly Example[]): Promise<NodeJS.ProcessEnv> {
  if (!examples.some(({ text }) => /^createdb /m.test(text))) return {};
  const { socket } = await server.database({ empty: true });
  return { PGHOST: socket, PGUSER: 'postgres' };
}

for (const document of documents) {
  for (const [section, examples] of examplesOf(document)) {
    if (examples.some(({ place }) => [...install, ...clone].some((example) => example.place === place))) continue;
    const options = npm.skip ? npm : toolsOf(examples);
    if (options.skip) for (const { place } of examples) seen.add(place);
    test(`${document.path}, "${section}": the examples run and print what is shown`, options, async () => {
      const cwd = folderLike(packed, ['package.json', 'node_modules', 'kiosk.ts']);
      const env = await serverOf(examples);
      for (const example of examples) runExample(cwd, example, example.text, env);
    });
    // Commands that name the package are those of the packed one.
    if (examples.some(({ language, text }) => language !== 'ts' && text.includes('shepherd-store'))) continue;
    test(`${document.path}, "${section}": the examples print the same where the package is vendored`, options, () => {
      const cwd = folderLike(vendored, ['package.json', 'vendor', 'kiosk.ts']);
      for (const example of examples) {
        const names = /(?<=')shepherd-store(?:\/(\w+))?(?=')/g;
        runExample(cwd, example, example.text.replaceAll(names, (_, name = '') => vendoredName(name)));
      }
    });
  }
}

test('the programs of the documents type-check strictly', npm, () => {
  const cwd = folderLike(packed, ['package.json', 'node_modules']);
  symlinkSync(join(root, 'node_modules/@types'), join(cwd, 'node_modules/@types'));
  const compilerOptions = {
    module: 'nodenext', target: 'es2024', lib: ['es2024', 'esnext.disposable'], types: ['node'], noEmit: true,
    strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true,
  };
  writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  for (const { place, text } of allExamples.filter(({ language }) => language === 'ts')) {
    writeFileSync(join(cwd, `${place.replaceAll(/[/:.]/g, '-')}.ts`), text);
  }
  assert.deepEqual(tsc(cwd), { status: 0, stdout: '', stderr: '' });
});

test('every fenced block of every document has been run, or is what one of them prints', (t) => {
  assert.deepEqual(allExamples.filter(({ place }) => !seen.has(place)).map(({ place }) => place), []);
  const shown = allExamples.filter((example) => example.shown !== undefined).length;
  t.diagnostic(`${allExamples.length} blocks of ${documents.length} documents run, ${shown} outputs compared`);
});

test('an output is another one where a word, a line or their order differs, and not where only a day does', () => {
  const shown = 'taken: 24 events on 2026-11-21\n…\nanchor 15:…\n';
  assert.ok(isShown('taken: 24 events on 1999-01-01\nanchor 15:0f\n', shown));
  assert.ok(isShown('taken: 24 events on 1999-01-01\nmore\nof it\nanchor 15:0f\n', shown));
  for (const printed of [
    'taken: 25 events on 1999-01-01\nanchor 15:0f\n', 'taken: 24 events on 1999-01-01\n',
    'anchor 15:0f\ntaken: 24 events on 1999-01-01\n', 'taken: 24 events on 1999-01-01\nanchor 15:0f\nmore\n',
  ]) assert.ok(!isShown(printed, shown), printed);
});
