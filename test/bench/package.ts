// The package as it is shipped: JavaScript, in a folder of its own, and what npm would pack of it.
import { cpSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fetchTool, programOf } from '../support/fetched.ts';
import { manifest, node, root, run } from '../support/project.ts';
import { limited, type Row } from './row.ts';

/** Builds the package in a new folder, with the programs beside it that run in processes of their own. */
export function buildPackage(folder: string): void {
  mkdirSync(folder);
  const built = node(root, join(root, '.build/main.ts'), join(folder, 'dist'));
  if (built.status !== 0) throw new Error(`the build failed: ${built.stdout}${built.stderr}`);
  for (const name of [
    'package.json',
    'README.md',
    'LICENSE',
    ...manifest.files.filter((name) => !name.includes('dist')),
  ])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  const workers = ['start', 'memory', 'walk', 'append', 'archive', 'export'].map((name) => `${name}-worker`);
  for (const name of [...workers, 'bare']) {
    const text = stripTypeScriptTypes(readFileSync(join(import.meta.dirname, `${name}.ts`), 'utf8'));
    writeFileSync(
      join(folder, `${name}.js`),
      text.replaceAll('../../lib/', './dist/').replace(/(from|import\() *'(\.[^']*)\.ts'/g, "$1 '$2.js'"),
    );
  }
}

/** What a built package weighs: packed, inside of a program, and what it brings along. */
export function packed(folder: string): Row[] {
  const { status, stdout, stderr } = run(folder, 'npm', 'pack', '--dry-run', '--json', '--ignore-scripts');
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`);
  const [tarball] = JSON.parse(stdout) as { size: number }[];
  const scripts = globSync('dist/**/*.js', { cwd: folder }).sort().map((file) => readFileSync(join(folder, file)));
  return [
    limited('packed tarball', tarball!.size / 1_000, 150, 'kB'),
    limited('the core alone, bundled and minified', bundledBytes(folder, 'SqliteStore') / 1_000, 85, 'kB'),
    limited('localDay alone, bundled and minified', bundledBytes(folder, 'localDay') / 1_000, 3, 'kB'),
    limited('its JavaScript, packed', gzipSync(Buffer.concat(scripts), { level: 9 }).length / 1_000, undefined, 'kB'),
    limited(
      'runtime dependencies',
      Object.keys(manifest).filter((field) => /^(dep|opt|peer|bundle).*dependencies$/i.test(field)).length,
      0,
      '',
    ),
  ];
}

/** How many bytes a program has that esbuild makes of one export; NaN where esbuild cannot be had. */
function bundledBytes(folder: string, name: string): number {
  if (!fetchTool('esbuild')) return NaN;
  writeFileSync(join(folder, 'one.mjs'), `export { ${name} } from './dist/index.js';`);
  const options = ['--bundle', '--minify', '--platform=node', '--format=esm', '--outfile=one.js'];
  const { status, stderr } = run(folder, programOf('esbuild'), 'one.mjs', ...options, '--log-level=error');
  if (status !== 0) throw new Error(`esbuild failed: ${stderr}`);
  return statSync(join(folder, 'one.js')).size;
}
