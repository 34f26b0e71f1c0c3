// Whose a new file is, and who else may read or write it. What root makes by hand, a repair or an import, must be the
// service's own: it is shut out of it otherwise.
import { fchmodSync, fchownSync, lstatSync } from 'node:fs';
import { dirname } from 'node:path';

/** Whose mode and owner a new file gets. */
export interface FileLike {
  mode: number;
  uid: number;
  gid: number;
}

/**
 * What a new file is to be like: the first of the files in `store` that is there, beside it; or else it is private, and
 * whose its folder is. Throws the system's error where there is no folder.
 */
export function likeFor(path: string, store: readonly string[] = []): FileLike {
  for (const file of store) {
    const stat = dirname(file) === dirname(path) ? lstatSync(file, { throwIfNoEntry: false }) : undefined;
    if (stat?.isFile()) return stat;
  }
  const { uid, gid } = lstatSync(dirname(path));
  return { mode: 0o600, uid, gid };
}

// Without the right to give files away (a container's root), with users that the system cannot name there, or on a file
// system without owners, the file stays root's: refusing would take the operation away, and help nobody.
const cannotGive = new Set<unknown>(['EPERM', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * Makes an open file, which this process has created with the mode 0600, like another: whose that is, which only root
 * can do, and open to those to whom that is open. By its descriptor: in a folder that is another user's, the name could
 * lead to any file by now.
 */
export function makeLike(fd: number, { mode, uid, gid }: FileLike): void {
  if (process.geteuid?.() === 0) give(fd, uid, gid);
  setMode(fd, 0o600 | (mode & 0o066));
}

/**
 * Sets the mode of a new file anew: an umask such as 0277 would have taken the owner's own bits. Where a file system
 * has no modes to set, as some that are not the kernel's own, all files have the mode that it was mounted with.
 */
export function setMode(fd: number, mode: number): void {
  try {
    fchmodSync(fd, mode);
  } catch (error) {
    if (!['ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Gives an open file or folder to a user and a group, which only root can. */
export function give(fd: number, uid: number, gid: number): void {
  try {
    fchownSync(fd, uid, gid);
  } catch (error) {
    if (!cannotGive.has((error as NodeJS.ErrnoException).code)) throw error;
  }
}
