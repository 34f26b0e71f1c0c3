// What the tests of imports share: the files of the services, and other processes that import or hold a source open.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import type { TestFolder } from './folder.ts';
import { change, dump } from './shepherdd.ts';

/** For a process of its own. */
export const importModule = new URL('../../lib/import/index.ts', import.meta.url).href;

/** Runs a module in a process of its own. */
export function runModule(code: string): { status: number | null; signal: string | null; stderr: string } {
  const { status, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
  });
  return { status, signal, stderr };
}

/** A copy of a fixture in the folder, after `sql`. */
export function makeFrom(folder: TestFolder, fixture: string, sql = '', name = fixture): string {
  const path = folder.file(name);
  copyFileSync(new URL(`../fixtures/${fixture}`, import.meta.url), path);
  if (sql !== '') change(path, sql);
  return path;
}

/** Takes every constraint from a database's tables, so that they can hold what their service would not write. */
export function loosen(...tables: string[]): string {
  const each = tables.map(
    (name) => `CREATE TABLE loose AS SELECT * FROM ${name}; DROP TABLE ${name}; ALTER TABLE loose RENAME TO ${name};`,
  );
  return `PRAGMA foreign_keys = OFF; ${each.join(' ')}`;
}

/**
 * A service in a process of its own that has the source open in WAL mode, with its last commit, made by `sql`, in the
 * WAL only.
 */
export async function runService(source: string, sql: string): Promise<{ kill(): Promise<void> }> {
  const code = `
    import { DatabaseSync } from 'node:sqlite';
    const db = new DatabaseSync(${JSON.stringify(source)});
    db.exec(${JSON.stringify(`PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; ${sql}`)});
    console.log('ready');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const exited = once(child, 'exit');
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Aborts at the given share of the work. */
export function abortAt(
  share: number,
  reason: unknown,
): { signal: AbortSignal; onProgress: (progress: { done: number; total: number }) => void } {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    onProgress: ({ done, total }) => done >= total * share && controller.abort(reason),
  };
}

/** The rows, without what differs from one import to another: when it was and what the store is called. */
export function timeless(path: string): unknown {
  const { audit_log: log = [], store_meta: _, schema_version: __, cooldowns = [], ...rest } = dump(path);
  const events = log.map((row) => {
    const { id, event_type: type, event_data: data, event_meta: meta } = row as Record<string, unknown>;
    return { id, type, data, meta };
  });
  return [rest, cooldowns.map((row) => ({ ...(row as object), set_at: undefined })), events];
}
