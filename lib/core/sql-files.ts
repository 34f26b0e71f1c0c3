// The SQL that lies beside this code: schema.sql and the steps of lib/migrations/.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { StoreError, toStoreError } from '../values/errors.ts';

/** A step of the schema: the version that it leads to, or back from, and what this version brought. */
export interface MigrationStep {
  version: number;
  description: string;
}

interface Migration extends MigrationStep {
  up: SqlFile;
  down: SqlFile;
}

/** The steps in `lib/migrations/`, a file pair a version, from 1 on. */
export function listMigrations(): Migration[] {
  const ups = sqlFiles.filter((file) => file.endsWith('.up.sql'));
  return ups.map((up, index) => ({
    version: index + 1,
    description: up.slice('lib/migrations/000001_'.length, -'.up.sql'.length).replaceAll('_', ' '),
    up,
    down: up.replace('.up.sql', '.down.sql') as SqlFile,
  }));
}

/**
 * The SQL files of this package by path, with their SHA-256. A bundle takes the code to a place where they are missing,
 * or where the program around it has a schema.sql of its own, so only a file with the right hash is run. After a change
 * test/core/sql-files.test.ts says what has to stand here.
 */
const digests = {
  'lib/migrations/000001_core.down.sql': '026bc30e76dc368e9439955cb51e32059211cfedfe23d93df378f7d6e0755c48',
  'lib/migrations/000001_core.up.sql': '56876de6a08568236a399b59a4f224252e08095b221fe47b0ed233bcd3939d5a',
  'lib/migrations/000002_runs.down.sql': '18160c23893dcb5397a0e47d69797f159a61ba957675e98ecd546063532062db',
  'lib/migrations/000002_runs.up.sql': '9bf24fc4fdef6fcf78aa709bf0b63fbd48fd1ff2c9b1c588845c2f6cb46bd94f',
  'lib/migrations/000003_facts.down.sql': '4b0a7d238b8b8d44a067e40c72bdbc67e468e0a5d543acde204c67a2fa02ba65',
  'lib/migrations/000003_facts.up.sql': 'c5063dc167e1f0be0a14048c1f1d60b8725bb77e255c0ea99531ca0927af7cd3',
  'lib/migrations/000004_projects.down.sql': '5f1d14ef50308f03f0022b739e0077d9438f8c75e0c9a975d1da43f5a3f33416',
  'lib/migrations/000004_projects.up.sql': 'b6e9624bc8e81aa18fcfa3b833afeabf76212430c12449ff101dbc6c18d8eadf',
  'lib/migrations/000005_cooldowns_set_at.down.sql': '7cce6fbfa5a5036e0eedc2a2de2d15cb420802b851d36daaaab43b30bdf5563a',
  'lib/migrations/000005_cooldowns_set_at.up.sql': 'b91cf3f6d59fc89f0974adbb6b87447adffd29e9d2c07978f4c1440c03f8e149',
  'lib/migrations/000006_derived_days.down.sql': '0bb9e5ac3c63115ff03b6a45b4fc644505f9f80b68097ca68cb98df091c9bd80',
  'lib/migrations/000006_derived_days.up.sql': 'd25c1107a589d78d5be767071e68a47cc4584262aace8527c7efec1dd4fdd453',
  'schema.sql': '8ef0ff971eda72e9f602bc9ddcdd2687d9a2a424717de982f23a9e5822ae8e86',
} as const;

export type SqlFile = keyof typeof digests;

/** Every file, in the order of their paths. */
export const sqlFiles = Object.keys(digests) as SqlFile[];

const texts = new Map<SqlFile, string>();

/**
 * The text of one of these files, read once. Throws `ERR_STORE_MIGRATION` where the file is missing or another, and
 * `ERR_STORE_PERMISSION` or `ERR_STORE_IO` where it cannot be read; each with its path.
 */
export function readSql(file: SqlFile): string {
  const text = texts.get(file) ?? read(file);
  texts.set(file, text);
  return text;
}

function read(file: SqlFile): string {
  const path = place(file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8').replaceAll('\r\n', '\n'); // a checkout for Windows may have CRLF
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw toStoreError(cause, `read ${path}`);
    throw new StoreError('ERR_STORE_MIGRATION', `${path} is missing: ${hint}`, { cause });
  }
  if (hash('sha256', text) === digests[file]) return text;
  throw new StoreError('ERR_STORE_MIGRATION', `${path} is not the ${file} of this version of shepherd-store: ${hint}`);
}

const hint = 'schema.sql and lib/migrations/ belong beside the folder of its code, also where that is bundled';

function place(file: SqlFile): string {
  try {
    const { url } = import.meta;
    // A bundled file lies one folder below the root of its project, as those in dist/ do.
    return fileURLToPath(new URL(/\/core\/sql-files\.[jt]s$/.test(url) ? `../../${file}` : `../${file}`, url));
  } catch (cause) {
    // A CommonJS bundle has no import.meta.url, and one in memory has none that leads to a folder.
    throw new StoreError('ERR_STORE_MIGRATION', `${file} cannot be found by import.meta.url: ${hint}`, { cause });
  }
}
