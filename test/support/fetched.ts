// Programs of the npm registry that tests call, and that package.json does not have because the package is neither made
// nor used with them. Each is installed once, into a folder in the user's cache, and stays there for the next run.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './project.ts';

/** What is installed for each of them. */
const packages = {
  esbuild: ['esbuild@0.28.2'],
  rollup: ['rollup@4.68.8'],
  postject: ['postject@1.0.0-alpha.6'],
  jest: ['jest@30.5.2'],
  vitest: ['vitest@4.1.12'],
  duckdb: ['@duckdb/node-api@1.5.6-r.1'],
  deno: ['deno@2.9.6'],
  bun: ['bun@1.4.5'],
  'typescript 5.8': ['typescript@5.8.3', '@types/node@24'],
} as const;

export type Fetched = keyof typeof packages;

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'shepherd-store-tests');

/** The folder whose node_modules has the program; `undefined` where it cannot be had. */
export function fetchTool(name: Fetched): string | undefined {
  const folder = join(cache, packages[name].join('+').replaceAll('/', '+'));
  if (existsSync(folder)) return folder;
  let work: string | undefined;
  try {
    mkdirSync(cache, { recursive: true });
    work = mkdtempSync(join(cache, '.new-'));
    const options = ['--prefix', work, '--no-audit', '--no-fund', '--no-save', '--loglevel=error', '--fetch-retries=0'];
    if (run(work, 'npm', 'install', ...options, ...packages[name]).status !== 0) return undefined;
    renameSync(work, folder);
  } catch {
    // there is no npm, or no cache that this user may write to, or another process was faster
  } finally {
    if (work !== undefined) rmSync(work, { recursive: true, force: true });
  }
  return existsSync(folder) ? folder : undefined;
}

/** The file of a program that `needs` has found. */
export function programOf(name: Fetched, command: string = name): string {
  return join(fetchTool(name)!, 'node_modules/.bin', command);
}
