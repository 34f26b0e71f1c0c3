// The SQL that lies beside this code: schema.sql and the steps of lib/migrations/.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { StoreError, toStoreError } from './errors.ts';

/**
 * What belongs to this package, by its path and SHA-256. A bundle takes the code to a place where these files are not,
 * and where a schema.sql of the program around it may be instead: nothing is run that is not what it should be. After a
 * change test/sql-files.test.ts says what has to stand here.
 */
const digests = {
  'lib/migrations/000001_core.down.sql':
    '026bc30e76dc368e9439955cb51e32059211cfedfe23d93df378f7d6e0755c48',
  'lib/migrations/000001_core.up.sql':
    '8e2662e2491830796c82cd972b3ba03505c16ad4bebe609f08539fb29f70e9ca',
  'lib/migrations/000002_runs.down.sql':
    '18160c23893dcb5397a0e47d69797f159a61ba957675e98ecd546063532062db',
  'lib/migrations/000002_runs.up.sql':
    '9bf24fc4fdef6fcf78aa709bf0b63fbd48fd1ff2c9b1c588845c2f6cb46bd94f',
  'lib/migrations/000003_facts.down.sql':
    '4b0a7d238b8b8d44a067e40c72bdbc67e468e0a5d543acde204c67a2fa02ba65',
  'lib/migrations/000003_facts.up.sql':
    'c5063dc167e1f0be0a14048c1f1d60b8725bb77e255c0ea99531ca0927af7cd3',
  'lib/migrations/000004_projects.down.sql':
    '5f1d14ef50308f03f0022b739e0077d9438f8c75e0c9a975d1da43f5a3f33416',
  'lib/migrations/000004_projects.up.sql':
    'b6e9624bc8e81aa18fcfa3b833afeabf76212430c12449ff101dbc6c18d8eadf',
  'lib/migrations/000005_cooldowns_set_at.down.sql':
    '7cce6fbfa5a5036e0eedc2a2de2d15cb420802b851d36daaaab43b30bdf5563a',
  'lib/migrations/000005_cooldowns_set_at.up.sql':
    'fc34bb7fa703ee6a790fe994c91ecd8b4d4cf1f2314bbd545227819abfde02b4',
  'schema.sql':
    '5a13e9b7b0ddb73a6b31e50ca039e6a20126e285c4e6a3fb432e2fdf906201cc',
} as const;

export type SqlFile = keyof typeof digests;

/** Every file, in the order of their paths. */
export const sqlFiles = Object.keys(digests) as SqlFile[];

const texts = new Map<SqlFile, string>();

/**
 * The text of one of them, read once. Throws `ERR_STORE_MIGRATION` where the file is missing or another, and
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
    text = readFileSync(path, 'utf8').replaceAll('\r\n', '\n'); // as a checkout for Windows may have it
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
    return fileURLToPath(new URL(`../${file}`, import.meta.url));
  } catch (cause) {
    // A bundle as CommonJS has no import.meta.url, one in memory has none that leads to a folder.
    throw new StoreError('ERR_STORE_MIGRATION', `${file} cannot be found by import.meta.url: ${hint}`, { cause });
  }
}
