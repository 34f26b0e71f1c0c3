// What the tests about the project itself share: its folder, its package.json, and running a program in a folder.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export const manifest = readJson(join(root, 'package.json')) as {
  name: string;
  version: string;
  type: string;
  license: string;
  author: string;
  engines: { node: string };
  files: string[];
  bin: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
  scripts: Record<string, string>;
  devDependencies: Record<string, string>;
};

/** The entry points that hold code, as `shepherd-store`, `shepherd-store/sessions`, …, with their conditions. */
export const entryPoints = Object.entries(manifest.exports)
  .filter((entry): entry is [string, Record<string, string>] => typeof entry[1] === 'object')
  .map(([path, conditions]) => ({ name: path.replace('.', manifest.name), path, conditions }));

/** An empty folder that is removed when the hook or test ends. */
export function emptyFolder(owner: { after(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'shepherd-store-project-'));
  owner.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface Outcome { status: number | null; stdout: string; stderr: string }

/**
 * Runs a program in a folder to its end, with this Node first on the PATH and nothing of the npm or test run around it.
 */
export function run(cwd: string, program: string, ...args: string[]): Outcome {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_config_package|npm_package_.*|npm_lifecycle_.*|NODE_OPTIONS|NODE_TEST_CONTEXT)$/.test(name),
    ),
  );
  // In another folder runs a copy, or a program of others, of whose coverage nobody asks.
  if (cwd !== root) delete env['NODE_V8_COVERAGE'];
  env['PATH'] = [dirname(process.execPath), env['PATH']].join(delimiter);
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Runs JavaScript or TypeScript in a folder with this Node. */
export function node(cwd: string, ...args: string[]): Outcome {
  return run(cwd, process.execPath, ...args);
}

/** Type-checks the folder's tsconfig.json with the project's own compiler, which `npm ci` installs. */
export function tsc(cwd: string): Outcome {
  return node(cwd, join(root, 'node_modules/typescript/bin/tsc'), '-p', cwd);
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** The names of the top level: what is committed, or, in a folder without history, what is neither made nor ignored. */
export function topLevel(): string[] {
  if (!existsSync(join(root, '.git'))) {
    return readdirSync(root)
      .filter((name) => !['node_modules', 'dist', 'coverage'].includes(name))
      .sort();
  }
  return [
    ...new Set(
      run(root, 'git', 'ls-files', '-z')
        .stdout.split('\0')
        .map((path) => path.split('/')[0]!),
    ),
  ]
    .filter((name) => name !== '')
    .sort();
}
