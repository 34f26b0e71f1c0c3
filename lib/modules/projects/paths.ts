// Finds the one name of a project: its canonical path, or the path that it is known by already.
import { isUtf8 } from 'node:buffer';
import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ModuleConnection } from '../../core/door.ts';
import { homeFolder } from '../../default-path.ts';
import { checkText, invalid, quote } from '../../values/checks.ts';
import { attempt, type StoreError } from '../../values/errors.ts';
import { absolutePath } from '../../values/paths.ts';

/**
 * Gives the path by which a project is known. A project that is known by the path as it is given, or made absolute,
 * keeps that name, because its folder may have been moved behind a link since, and imported projects have the paths of
 * another machine. Any other project gets its canonical path.
 */
export function projectPath(connection: ModuleConnection, name: string, path: unknown): string {
  const canonical = canonicalPath(name, path);
  const given = path as string;
  if (given === canonical) return canonical;
  const sql = 'SELECT 1 FROM projects WHERE path = ?';
  const isKnown = (each: string): boolean => connection.get(sql, each) !== undefined;
  return connection.read('look for the project', () => [given, absolute(given)].find(isKnown)) ?? canonical;
}

function absolute(path: string): string {
  return absolutePath(/^~(?=\/|$)/.test(path) ? homeFolder() + path.slice(1) : path);
}

/**
 * Makes a path canonical. `~` and `~/…` begin in the home folder, a relative path in the working folder; links are
 * resolved as far as the path exists, so that a project keeps its name while its folder is away; there is no trailing
 * slash. Throws `ERR_STORE_INVALID_ARGUMENT`, and `ERR_STORE_PERMISSION` for a path that this user may not follow.
 */
function canonicalPath(name: string, path: unknown): string {
  const text = checkText(name, path);
  if (Buffer.byteLength(text) > longestPath) throw tooLong(name, path);
  return attempt(`resolve the path ${quote(text)}`, () => {
    let missing = '';
    for (let ancestor = absolute(text); ; ancestor = dirname(ancestor)) {
      const real = existing(name, ancestor);
      if (real !== undefined) return join(real, missing);
      missing = join(basename(ancestor), missing);
    }
  });
}

/** Resolves the links of a path; gives `undefined` where nothing is there. */
function existing(name: string, path: string): string | undefined {
  try {
    const real = realpathSync.native(path, 'buffer');
    // Decoded as a text, two folders whose names are no UTF-8 could become one project.
    if (!isUtf8(real)) throw invalid(name, path, 'a path that does not lead to a name that is no UTF-8');
    return real.toString();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'ENAMETOOLONG') throw tooLong(name, path);
    throw error;
  }
}

// Linux takes no longer path (PATH_MAX counts the NUL). realpath only reports that for a path that exists up to there.
const longestPath = 4095;

function tooLong(name: string, path: unknown): StoreError {
  return invalid(name, path, 'a path no longer than the system takes');
}
