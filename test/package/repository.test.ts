// What the repository says about itself: package.json, the lock file, the top level.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { entryPoints, manifest, readJson, root, topLevel } from '../support/project.ts';

test('package.json says what the package is, and asks for nothing at run time', () => {
  assert.partialDeepStrictEqual(manifest, {
    name: 'shepherd-store', type: 'module', license: 'MIT', engines: { node: '^24.15.0 || >=26.0.0' },
    bin: { 'shepherd-store': 'dist/cli/main.js' }, files: ['dist'], sideEffects: false,
  });
  assert.deepEqual(Object.keys(manifest).filter((field) => /dependencies|bundle/i.test(field)), ['devDependencies']);
  assert.deepEqual(Object.keys(manifest.devDependencies).sort(), ['@types/node', 'typescript']);
  // Nothing runs at the installation of the package.
  assert.deepEqual(Object.keys(manifest.scripts).sort(), ['bench', 'build', 'check', 'faults', 'prepack', 'test']);
  // Its authors are those of the licence. It has no home on the network, and names none.
  const licence = readFileSync(join(root, 'LICENSE'), 'utf8');
  assert.match(licence, new RegExp(`^Copyright \\(c\\) \\d+ ${manifest.author}$`, 'm'));
  assert.deepEqual(['repository', 'homepage', 'bugs'].filter((field) => field in manifest), []);
  const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
  assert.equal(/^## (\d+\.\d+\.\d+)/m.exec(changelog)?.[1], manifest.version);
});

test('each optional module has its entry point, with its types first, and nothing else has one', () => {
  const folders = ['ledger', 'import'].filter((name) => globSync(`lib/${name}/*.ts`, { cwd: root }).length > 0);
  const modules = globSync('lib/modules/*/', { cwd: root }).map((path) =>
    path.replace(/^lib\/modules\/(.*?)\/?$/, '$1'),
  );
  assert.deepEqual(
    entryPoints.map(({ path }) => path).sort(),
    ['.', ...[...folders, ...modules].map((name) => `./${name}`)].sort(),
  );
  assert.equal(manifest.exports['./package.json'], './package.json');
  for (const { conditions } of entryPoints) {
    assert.deepEqual(Object.keys(conditions), ['types', 'default']);
    assert.equal(conditions['types'], conditions['default']?.replace(/\.js$/, '.d.ts'));
  }
});

test('the lock file holds hashes and no download addresses, and stays so', () => {
  const lock = readJson(join(root, 'package-lock.json')) as {
    version: string;
    packages: Record<string, Record<string, unknown>>;
  };
  assert.equal(lock.version, manifest.version);
  assert.doesNotMatch(JSON.stringify(lock), /:\/\//);
  for (const [path, entry] of Object.entries(lock.packages))
    assert.equal(typeof entry['integrity'], path === '' ? 'undefined' : 'string', path);
  assert.match(readFileSync(join(root, '.npmrc'), 'utf8'), /^omit-lockfile-registry-resolved=true$/m);
});

test('the top level holds the package, its sources and its tests, and nothing else', () => {
  assert.deepEqual(
    topLevel().filter((name) => !name.startsWith('.')),
    [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'lib',
      'package-lock.json',
      'package.json',
      'schema.sql',
      'test',
      'tsconfig.json',
    ],
  );
});
