// Says how another thread can open a database to read it and change nothing.
import { rmSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { chooseMode, copyPrivately, isCurrent, look } from '../../reading/reader.ts';

/** How another thread can open a file at this moment. */
export interface Access {
  url: string;
  isReadOnly: boolean;
  /** Whether what was read since then is what stands at the path. */
  isCurrent(): boolean;
  /** Releases what the access needed; to be called after the file was closed. */
  release(): void;
}

/** Chooses the mode as `ReadOnlyFile` does, or a private copy where `isPrivate` is true. Throws what copying throws. */
export function accessTo(path: string, isPrivate: boolean): Access {
  const found = look(path);
  const mode = isPrivate ? 'copy' : chooseMode(path, found);
  const current = (): boolean => isCurrent(path, { ...found, mode });
  if (mode !== 'copy') {
    const url = `${pathToFileURL(path).href}?${mode === 'live' ? 'readonly_shm' : 'immutable'}=1`;
    return { url, isReadOnly: true, isCurrent: current, release: () => {} };
  }
  const { folder, copy } = copyPrivately(path);
  const release = (): void => rmSync(folder, { recursive: true, force: true });
  return { url: pathToFileURL(copy).href, isReadOnly: false, isCurrent: current, release };
}
