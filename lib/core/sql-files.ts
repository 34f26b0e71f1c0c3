// The SQL that lies beside this code: schema.sql and the steps of lib/migrations/. The build replaces this file by one
// that holds the texts (.build/sql-files.ts), so that the JavaScript needs no file beside it.
import { hash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StoreError, toStoreError } from '../values/errors.ts';

/** A step of the schema: the version that it leads to, or back from, and what this version brought. */
export interface MigrationStep {
  version: number;
  description: string;
}

interface Migration extends MigrationStep {
  up: string;
  down: string;
}

const hint = 'schema.sql and lib/migrations/ belong beside its TypeScript; what is bundled is its JavaScript';

/**
 * The steps in `lib/migrations/`, a file pair a version, from 1 on. There are none where the folder is missing: then
 * `readSql` refuses schema.sql, which names the version that the steps lead to.
 */
export const migrations: readonly Migration[] = stepNames().map((name, index) => {
  const stem = `lib/migrations/${name}`;
  const description = name.slice('000001_'.length).replaceAll('_', ' ');
  return { version: index + 1, description, up: `${stem}.up.sql`, down: `${stem}.down.sql` };
});

function stepNames(): string[] {
  try {
    const files = readdirSync(pathOf('lib/migrations'));
    const names = files.map((file) => /^(\d{6}_\w+)\.(?:up|down)\.sql$/.exec(file)?.[1]);
    return [...new Set(names)].filter((name) => name !== undefined).sort();
  } catch {
    return []; // an import cannot be refused with a code; readSql says what is wrong
  }
}

const texts = new Map<string, string>();

/**
 * The text of schema.sql or of a step, read once. A bundle takes this TypeScript to a place where the files are
 * missing, or where the program around it has a schema.sql of its own, and half an update leaves files of two
 * versions. So each file is checked against its first line. Throws, with the file's path, `ERR_STORE_MIGRATION` where
 * it is missing or another, and `ERR_STORE_PERMISSION` or `ERR_STORE_IO` where it cannot be read.
 */
export function readSql(file: string): string {
  const text = texts.get(file) ?? read(file);
  texts.set(file, text);
  return text;
}

function read(file: string): string {
  const path = pathOf(file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8').replaceAll('\r\n', '\n'); // a checkout for Windows may have CRLF
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw toStoreError(cause, `read ${path}`);
    throw new StoreError('ERR_STORE_MIGRATION', `${path} is missing: ${hint}`, { cause });
  }
  if (text.startsWith(`${sealOf(file, text)}\n`)) return text;
  throw new StoreError('ERR_STORE_MIGRATION', `${path} is not the ${titleOf(file)} of shepherd-store: ${hint}`);
}

/** The first line that a file has to have: its title, and the SHA-256 of the lines below it. */
function sealOf(file: string, text: string): string {
  return `-- ${titleOf(file)}, SHA-256 below: ${hash('sha256', text.slice(text.indexOf('\n') + 1))}`;
}

/** schema.sql names the newest step, because it leads a new file to where the steps lead an older one. */
function titleOf(file: string): string {
  return file === 'schema.sql' ? `schema.sql for version ${migrations.length}` : basename(file);
}

function pathOf(file: string): string {
  try {
    return fileURLToPath(new URL(`../../${file}`, import.meta.url));
  } catch (cause) {
    // A CommonJS bundle has no import.meta.url, and one in memory has none that leads to a folder.
    throw new StoreError('ERR_STORE_MIGRATION', `${file} cannot be found by import.meta.url: ${hint}`, { cause });
  }
}
