// The owner and the mode of a new file. A file that root makes in a repair or an import would shut the service out, so
// it gets the owner of the file that it belongs to.
import { fchmodSync, fchownSync, lstatSync } from 'node:fs';
import { dirname } from 'node:path';

/** The mode and owner that a new file gets, as `stat` gives them for another file. */
export interface FileLike {
  mode: number;
  uid: number;
  gid: number;
}

/**
 * Decides the mode and owner of a new file: those of the first file in `store` that exists in the same folder, or else
 * private and owned by the folder's owner. Throws the system's error if the folder does not exist.
 */
export function likeFor(path: string, store: readonly string[] = []): FileLike {
  for (const file of store) {
    const stat = dirname(file) === dirname(path) ? lstatSync(file, { throwIfNoEntry: false }) : undefined;
    if (stat?.isFile()) return stat;
  }
  const { uid, gid } = lstatSync(dirname(path));
  return { mode: 0o600, uid, gid };
}

// The file stays root's if root may not give files away (in a container), if the user does not exist there, or if the
// file system has no owners. An error would stop the whole operation and help nobody.
const cannotGive = new Set<unknown>(['EPERM', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * Gives an open file, which this process has created with the mode 0600, the group and other access of another file,
 * and as root its owner too. This is done by descriptor, because in another user's folder the name could lead to any
 * file by now.
 */
export function makeLike(fd: number, { mode, uid, gid }: FileLike): void {
  if (process.geteuid?.() === 0) give(fd, uid, gid);
  setMode(fd, 0o600 | (mode & 0o066));
}

/**
 * Sets the mode of a new file again, because a umask such as 0277 would have removed the owner's own bits. The error of
 * a file system without modes, as some outside the kernel are, is ignored: its files have the mode of the mount.
 */
export function setMode(fd: number, mode: number): void {
  try {
    fchmodSync(fd, mode);
  } catch (error) {
    if (!['ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Gives an open file or folder to a user and a group, as only root can. */
export function give(fd: number, uid: number, gid: number): void {
  try {
    fchownSync(fd, uid, gid);
  } catch (error) {
    if (!cannotGive.has((error as NodeJS.ErrnoException).code)) throw error;
  }
}
