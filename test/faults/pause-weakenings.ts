// Repairs taken out again, to prove that the pause matrix finds what they are for.
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** A change of one file of lib/: the text that stands there, and what stands there instead. */
type Replacement = [file: string, text: string, instead: string];

export interface PauseFault {
  first: string;
  seconds: string[];
  replace: Replacement[];
}

const careless = 'export function readDatabaseBytes<T>(path: string, read: (fd: number) => T): T {'
  + 'return readJournalBytes(path, read); }';

export const pauseFaults: Record<string, PauseFault> = {
  'a descriptor of the database closed beside a handle': {
    first: 'look',
    seconds: ['open', 'recover'],
    replace: [['values/descriptors.ts', 'export function readDatabaseBytes<', `${careless}function careful<`]],
  },
  'recoveries of one path that take no turns': {
    first: 'damaged',
    seconds: ['recover'],
    replace: [['opening/open.ts', 'using _turn = takeTurn(path, options);', '']],
  },
};

/** A copy of the package with such changes, in a temporary folder that is to be removed. */
export function weaken(replacements: readonly Replacement[]): URL {
  const own = fileURLToPath(new URL('../../', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'shepherd-store-weakened-'));
  for (const name of ['lib', 'schema.sql', 'package.json']) {
    cpSync(join(own, name), join(folder, name), { recursive: true });
  }
  for (const [file, text, instead] of replacements) {
    const path = join(folder, 'lib', file);
    const before = readFileSync(path, 'utf8');
    if (before.split(text).length !== 2) throw new Error(`lib/${file} does not have this once, to be changed: ${text}`);
    writeFileSync(path, before.replace(text, () => instead));
  }
  return pathToFileURL(`${folder}/`);
}
