// The file of figures that a monitor's exporter reads: replaced by rename, so that nobody reads a part of it.
import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { attempt } from '../values/errors.ts';
import { temporaryName } from '../values/files.ts';
import { setMode } from '../values/owner.ts';

/** The ending of the files that node_exporter reads. A temporary name has another one. */
export const textfileEnding = '.prom';

// The only file of this package that is not private: the exporter that reads it is another user's process. Who may come
// by is for the folder to say.
const mode = 0o644;

/**
 * Puts a text in the place of what is at a path, whatever that is: of a link, not of the file to which it leads. It is
 * not synced. Figures are worth nothing after a power cut, the next ones come within a minute, and an fsync each minute
 * would wear out a card.
 */
export function replaceTextfile(path: string, text: string): void {
  attempt(`write ${path}`, () => {
    const temporary = temporaryName(path);
    const fd = openSync(temporary, 'wx', mode);
    try {
      try {
        setMode(fd, mode); // whatever the umask is
        writeFileSync(fd, text);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });
}
