// What a user's compiler and editor see: the type tests of test/types/, checked in a project as a user has one, against
// the sources and against the installed package, and the comments in its declarations.
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { installed } from '../support/package.ts';
import { emptyFolder, entryPoints, manifest, root, tsc } from '../support/project.ts';

const { consumer } = installed();
const packageFolder = join(consumer, 'node_modules', manifest.name);

const typeTests = globSync('test/types/*.ts', { cwd: root });
const compilerOptions = {
  strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false,
  target: 'es2024', lib: ['es2024', 'esnext.disposable'], types: ['node'], allowImportingTsExtensions: true,
  noEmit: true,
};
const resolutions = {
  node16: { module: 'node16', moduleResolution: 'node16' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
};

/** A project with the type tests in it, which import the sources that lie beside them or the installed package. */
function makeProject(t: TestContext, from: 'sources' | 'package', options: object): string {
  const project = emptyFolder(t);
  for (const folder of ['test/types', 'node_modules/@types']) mkdirSync(join(project, folder), { recursive: true });
  symlinkSync(join(root, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'));
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const config = { compilerOptions: { ...compilerOptions, ...options } };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config));
  if (from === 'sources') cpSync(join(root, 'lib'), join(project, 'lib'), { recursive: true });
  else symlinkSync(packageFolder, join(project, 'node_modules', manifest.name));
  for (const path of typeTests) {
    const text = readFileSync(join(root, path), 'utf8');
    writeFileSync(join(project, path), from === 'sources' ? text : byName(text));
  }
  return project;
}

/** A text that imports the entry points of the package by their names, instead of their sources by path. */
function byName(text: string): string {
  return entryPoints.reduce((changed, { name, conditions }) => {
    const source = conditions['types']!.replace('./dist/', '../../lib/').replace('.d.ts', '.ts');
    return changed.replaceAll(`'${source}'`, `'${name}'`);
  }, text);
}

for (const from of ['sources', 'package'] as const) {
  for (const [name, resolution] of Object.entries(resolutions)) {
    test(`the types of the ${from} are as one expects, with moduleResolution ${name}`, (t) => {
      const project = makeProject(t, from, resolution);
      for (const path of typeTests) {
        const text = readFileSync(join(project, path), 'utf8');
        assert.equal(text.includes('/lib/'), from === 'sources' && text.includes('import'), path);
      }
      assert.deepEqual(tsc(project), { status: 0, stdout: '', stderr: '' });
    });
  }
}

test('a filter by type narrows as soundly in a project without exactOptionalPropertyTypes', (t) => {
  const project = makeProject(t, 'package', { ...resolutions.node16, exactOptionalPropertyTypes: false });
  writeFileSync(join(project, 'test/types/absent.ts'), ''); // there every optional field takes undefined
  assert.deepEqual(tsc(project), { status: 0, stdout: '', stderr: '' });
});

test('the type tests would find a type that is not as they expect', (t) => {
  const project = makeProject(t, 'package', resolutions.node16);
  const path = join(project, 'test/types/narrowed.ts');
  writeFileSync(path, readFileSync(path, 'utf8').replace(', source: \'badge-17\', since: undefined', ', since: null'));
  assert.match(tsc(project).stdout, /^test\/types\/narrowed\.ts.*TS2769/);
});

/** Something that a file exports, or a member of it that is not private, with the comment before it. */
interface Declared {
  /** `SqliteStore`, `SqliteStore.open` */
  name: string;
  comment: string;
  isMember: boolean;
  isMethod: boolean;
}

const exported = /^export (?:declare |abstract |async )*(?:class|interface|type|const|function)\*? (\w+)/;
const member = /^ +(?:(?:static|readonly|async|get|set) |\*)*(?!static|constructor|private)(\w+)(\??[(<])?/;

/** What a source or a declaration file exports by name. */
function declaredIn(text: string): Declared[] {
  const found: Declared[] = [];
  let [owner, indentation, comment] = ['', 0, ''];
  for (const line of text.split('\n')) {
    if (isComment(line) || (comment !== '' && !comment.endsWith('*/\n'))) {
      comment += `${line.trim()}\n`;
      continue;
    }
    const depth = line.search(/\S/);
    if (depth === 0) [owner, indentation] = [exported.exec(line)?.[1] ?? '', 0];
    if (depth === 0 && owner !== '') found.push({ name: owner, comment, isMember: false, isMethod: false });
    if (depth > 0) indentation ||= depth;
    const [, name, isMethod] = (owner !== '' && depth > 0 && depth === indentation && member.exec(line)) || [];
    if (name !== undefined) {
      found.push({ name: `${owner}.${name}`, comment, isMember: true, isMethod: isMethod !== undefined });
    }
    comment = '';
  }
  return found;
}

function isComment(line: string): boolean {
  return line.trimStart().startsWith('/**');
}

/** The names that an entry point exports, of its own or of other files. */
function exportedNames(source: string): string[] {
  const lists = Array.from(source.matchAll(/^export (?:type )?\{([^}]*)\}/gm), ([, names]) => names!.split(','));
  const listed = lists.flat().map((name) => name.trim()).filter((name) => name !== '');
  return [...listed, ...declaredIn(source).filter(({ isMember }) => !isMember).map(({ name }) => name)];
}

function readAll(folder: string, pattern: string): string[] {
  return globSync(pattern, { cwd: folder }).map((path) => readFileSync(join(folder, path), 'utf8'));
}

test('every public name, and every method of one, has its comment in the packed declarations, in full', () => {
  const entrySources = entryPoints.map(({ conditions }) => {
    return readFileSync(join(root, conditions['types']!.replace('./dist/', 'lib/').replace('.d.ts', '.ts')), 'utf8');
  });
  const names = new Set(entrySources.flatMap(exportedNames));
  const isPublic = ({ name }: Declared): boolean => names.has(name.split('.')[0]!);
  const packed = readAll(packageFolder, 'dist/**/*.d.ts').flatMap(declaredIn).filter(isPublic);
  const whole = packed.filter(({ isMember }) => !isMember).map(({ name }) => name);
  assert.deepEqual(new Set(whole), names);
  for (const { name, comment, isMember, isMethod } of packed) {
    if (isMethod || !isMember) assert.notEqual(comment, '', `${name} has no comment`);
    assert.ok(!comment.includes('@internal'), name);
  }
  const comments = new Set(packed.map(({ name, comment }) => `${name}\n${comment}`));
  const written = readAll(root, 'lib/**/*.ts').flatMap(declaredIn)
    .filter((each) => isPublic(each) && !each.comment.includes('@internal'));
  for (const { name, comment } of written) {
    if (comment !== '') assert.ok(comments.has(`${name}\n${comment}`), `${name} lacks its comment\n${comment}`);
  }
  const documented = written.filter(({ comment }) => comment !== '').length;
  assert.ok(documented > 250, `${documented} comments`);
});
