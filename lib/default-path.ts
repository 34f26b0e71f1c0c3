// Where a user's own store lies when nobody says where.
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { checkText, invalid } from './values/checks.ts';
import { attempt } from './values/errors.ts';

/**
 * The file of a program's store among its user's data: `$XDG_DATA_HOME/<name>/<name>.db`, or below `~/.local/share`
 * where that variable is not set, empty or no absolute path (XDG Base Directory Specification 0.8). Makes nothing:
 * `open` makes the file and the folders that lack, 0700. Throws `ERR_STORE_INVALID_ARGUMENT` for a name that is not one
 * folder's.
 */
export function defaultPath(name: string): string {
  const isPath = /[/\\]|\.\.|^\.$/.test(checkText('name', name));
  if (isPath) throw invalid('name', name, 'the name of one folder, without a slash or ".."');
  const dataHome = process.env['XDG_DATA_HOME'] ?? '';
  return join(isAbsolute(dataHome) ? dataHome : join(homeFolder(), '.local/share'), name, `${name}.db`);
}

/**
 * The user's home folder: `$HOME`, or what the system knows. Throws `ERR_STORE_INVALID_ARGUMENT` for a `$HOME` that is
 * no absolute path.
 */
export function homeFolder(): string {
  const home = attempt('find the home folder', homedir);
  // An empty one would silently make a path below the working folder of what is joined to it.
  if (!isAbsolute(home)) throw invalid('$HOME', home, 'an absolute path');
  return home;
}
