// Where a user's own store lies when nobody says where.
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { checkText, invalid } from './values/checks.ts';
import { attempt } from './values/errors.ts';

/**
 * Returns the path of a program's store in its user's data folder: `$XDG_DATA_HOME/<name>/<name>.db`, or the same below
 * `~/.local/share` if that variable is not set, empty or not an absolute path (XDG Base Directory Specification 0.8).
 * Makes nothing: `open` makes the file and the missing folders, with the mode 0700. Throws `ERR_STORE_INVALID_ARGUMENT`
 * if `name` is not the name of one folder.
 */
export function defaultPath(name: string): string {
  const isPath = /[/\\]|\.\.|^\.$/.test(checkText('name', name));
  if (isPath) throw invalid('name', name, 'the name of one folder, without a slash or ".."');
  const dataHome = process.env['XDG_DATA_HOME'] ?? '';
  return join(isAbsolute(dataHome) ? dataHome : join(homeFolder(), '.local/share'), name, `${name}.db`);
}

/**
 * Returns the user's home folder: `$HOME`, or the one that the system has for this user. Throws
 * `ERR_STORE_INVALID_ARGUMENT` if `$HOME` is not an absolute path.
 */
export function homeFolder(): string {
  const home = attempt('find the home folder', homedir);
  // Joined to an empty $HOME, a path would silently end up below the working folder.
  if (!isAbsolute(home)) throw invalid('$HOME', home, 'an absolute path');
  return home;
}
