// What a user would pick instead. It is installed outside of this package, which depends on nothing, and stays there
// for the next run. A peer that cannot be had is missing from the result, which says so.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { run } from '../support/project.ts';
import type { Database, Driver } from './bare.ts';

const versions: Record<string, string> = { 'better-sqlite3': '13', lowdb: '7', 'write-file-atomic': '8' };

interface Lowdb {
  LowSync: new (adapter: object, data: object) => { data: object; write(): void };
  JSONFileSync: new (path: string) => object;
}

export interface Peers {
  betterSqlite3?: Driver;
  writeFileAtomic?: (path: string, text: string) => void;
  /** Replaces the JSON file at a path by a value, each time it is called. */
  lowdb?: (path: string) => (value: object) => void;
  /** The version that each peer has. */
  versions: Record<string, string>;
}

export const noPeers: Peers = { versions: {} };

/** Installs what is not there yet in this folder, and loads it. */
export function findPeers(folder: string): Peers {
  mkdirSync(folder, { recursive: true });
  const lacking = Object.keys(versions).filter((name) => versionIn(folder, name)?.split('.')[0] !== versions[name]);
  if (lacking.length > 0) install(folder);
  const require = createRequire(join(folder, 'peers.js'));
  const load = <T>(name: string, path = name): T | undefined => {
    try {
      return require(path) as T;
    } catch (error) {
      console.error(`${name} is missing: ${(error as Error).message.split('\n')[0]}`);
      return undefined;
    }
  };
  const Better = load<new (path: string, options: object) => Database>('better-sqlite3');
  const writeFileAtomic = load<{ sync: (path: string, text: string) => void }>('write-file-atomic');
  const low = load<Lowdb>('lowdb', 'lowdb/node');
  const core = load<Lowdb>('lowdb');
  return {
    ...(Better && { betterSqlite3: (path: string) => new Better(path, { timeout: 5_000 }) }),
    ...(writeFileAtomic && { writeFileAtomic: writeFileAtomic.sync }),
    ...(low && core && { lowdb: (path: string) => writerOf(new core.LowSync(new low.JSONFileSync(path), {})) }),
    versions: Object.fromEntries(Object.keys(versions).flatMap((name) => {
      const version = versionIn(folder, name);
      return version === undefined ? [] : [[name, version]];
    })),
  };
}

function writerOf(low: { data: object; write(): void }): (value: object) => void {
  return (value) => {
    low.data = value;
    low.write();
  };
}

function versionIn(folder: string, name: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as { version: string })
      .version;
  } catch {
    return undefined;
  }
}

function install(folder: string): void {
  const wanted = Object.entries(versions).map(([name, version]) => `${name}@${version}`);
  console.error(`installing ${wanted.join(', ')} into ${folder}`);
  const { status, stderr } = run(
    folder,
    'npm',
    'install',
    '--prefix',
    folder,
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...wanted,
  );
  if (status !== 0) console.error(`npm install failed: ${stderr.trim()}`);
}
