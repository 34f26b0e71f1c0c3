// The SQL files of the package, or of a copy of it, and their first lines: the seals by which the code knows them.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

/** The paths of the SQL files below a package's root, and the first line that each has to have. */
export function sealsOf(root: URL): Record<string, string> {
  const steps = readdirSync(new URL('lib/migrations/', root)).sort().map((name) => `lib/migrations/${name}`);
  return Object.fromEntries([...steps, 'schema.sql'].map((file) => {
    const text = readFileSync(new URL(file, root), 'utf8');
    const title = file === 'schema.sql' ? `schema.sql for version ${steps.length / 2}` : basename(file);
    const below = createHash('sha256').update(text.replace(/^.*\n/, '')).digest('hex');
    return [file, `-- ${title}, SHA-256 below: ${below}`];
  }));
}

/** The first lines as they stand. */
export function writtenSeals(root: URL): Record<string, string> {
  return Object.fromEntries(Object.keys(sealsOf(root)).map((file) => {
    return [file, readFileSync(new URL(file, root), 'utf8').split('\n')[0]!];
  }));
}

/** Has a copy of the package take its SQL files as they are now for its own. */
export function writeSeals(root: URL): void {
  for (const [file, seal] of Object.entries(sealsOf(root))) {
    writeFileSync(new URL(file, root), readFileSync(new URL(file, root), 'utf8').replace(/^.*/, seal));
  }
}
