// Counts which functions of the package an operation calls, by V8's precise coverage.
import { Session } from 'node:inspector/promises';
import { SqliteStore } from '../../lib/index.ts';

/** What an operation does in the package: how many functions it calls, and in which files. */
export interface Calls {
  calls: number;
  files: string[];
}

const operations: Record<string, (store: SqliteStore | undefined, path: string) => SqliteStore | undefined> = {
  open: (_store, path) => SqliteStore.open(path),
  addUsage: (store) => void store!.addUsage('minecraft', '2026-11-21', 1_000),
  saveSnapshot: (store) => store!.saveSnapshot({ timestamp: new Date('2026-11-21T10:00:00Z') }) as undefined,
};

async function count(operation: string, path: string): Promise<Calls> {
  // The file is a store that was closed as it should be. A first round loads and prepares what every later one has.
  const first = SqliteStore.open(path);
  first.addUsage('minecraft', '2026-11-21', 1_000);
  first.saveSnapshot({ timestamp: new Date('2026-11-21T10:00:00Z') });
  if (operation === 'open') first.close();
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  await session.post('Profiler.takePreciseCoverage');
  const opened = operations[operation]!(first, path);
  const { result } = await session.post('Profiler.takePreciseCoverage');
  (opened ?? first).close();
  const files = new Set<string>();
  let calls = 0;
  for (const { url, functions } of result) {
    const [, file] = /\/(lib\/.*)$/.exec(url) ?? [];
    for (const { ranges } of file === undefined ? [] : functions) {
      const times = ranges[0]!.count;
      if (times > 0) files.add(file!);
      calls += times;
    }
  }
  return { calls, files: [...files].sort() };
}

const [operation, path] = process.argv.slice(2);
if (import.meta.main && operation !== undefined) console.log(JSON.stringify(await count(operation, path!)));
