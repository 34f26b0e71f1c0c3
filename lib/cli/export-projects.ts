// Projects for export.
import type { ModuleConnection } from '../core/door.ts';
import type { Project } from '../modules/projects/projects.ts';
import { projectOf } from '../modules/projects/rows.ts';
import { connect, type SqliteStore } from '../store.ts';
import { type Asked, pageSize, type Table, Unread } from './export-table.ts';
import { attemptRow, keyText } from './rows.ts';

/** The projects by path. */
export function projectsTable({ store }: Asked): Table<Project> {
  return {
    columns: ['path', 'run_count', 'last_run_at', 'claimed_at'],
    pages: projectsIn(store),
    cells: ({ path, runCount, lastRunAt, claimedAt }) => [path, runCount, lastRunAt, claimedAt],
    document: (project) => project,
  };
}

function* projectsIn(store: SqliteStore): Generator<(Project | Unread)[], void, undefined> {
  const door = connect(store);
  const sql = `SELECT path FROM projects WHERE ?1 IS NULL OR path > ?1 ORDER BY path LIMIT ${pageSize}`;
  for (let last: string | null = null; ; ) {
    const after: string | null = last;
    const page = door.readTogether('read the projects', (): [path: string, rows: (Project | Unread)[]][] => {
      return door.all<[string]>(sql, after).map(([path]) => [path, readProject(door, path)]);
    });
    yield page.flatMap(([, rows]) => rows);
    if (page.length < pageSize) return;
    last = page.at(-1)![0];
  }
}

function readProject(door: ModuleConnection, path: string): (Project | Unread)[] {
  const { value, error } = attemptRow(() => door.read('read the project', () => projectOf(door, path)));
  if (error) return [new Unread({ path: keyText(path) }, error)];
  return value ? [value] : [];
}
