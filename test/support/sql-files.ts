// The SQL files of the package, or of a copy of it, and the table in lib/core/sql-files.ts that says what belongs to
// it.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** The path and SHA-256 of every SQL file below a package's root. */
export function digestsOf(root: URL): Record<string, string> {
  const steps = readdirSync(new URL('lib/migrations/', root)).sort().map((name) => `lib/migrations/${name}`);
  return Object.fromEntries([...steps, 'schema.sql'].map((file) => {
    return [file, createHash('sha256').update(readFileSync(new URL(file, root))).digest('hex')];
  }));
}

/** The table as the code has it. */
export function writtenDigests(root: URL): Record<string, string> {
  const code = readFileSync(new URL('lib/core/sql-files.ts', root), 'utf8');
  const [table] = /(?<=^const digests = \{\n)[^}]*/m.exec(code) ?? [''];
  return Object.fromEntries([...table.matchAll(/'(.*)':\s+'(.*)',/g)].map(([, file, digest]) => [file!, digest!]));
}

/** Has a copy of the package take its SQL files as they are now for its own. */
export function writeDigests(root: URL): void {
  const table = Object.entries(digestsOf(root)).map(([file, digest]) => `  '${file}': '${digest}',\n`).join('');
  const code = new URL('lib/core/sql-files.ts', root);
  writeFileSync(code, readFileSync(code, 'utf8').replace(/(?<=^const digests = \{\n)[^}]*/m, table));
}
