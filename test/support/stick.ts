// File systems that have no hard links, as sticks and cards have them: a small one in a file, mounted by the kernel
// where it knows them. A program in user space serves for exFAT; the one for FAT that Debian has reads back other bytes
// than were written.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Stick {
  /** Where it is mounted. */
  path: string;
  remove(): void;
}

function ran(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function mount(kind: 'vfat' | 'exfat', image: string, at: string): boolean {
  if (ran('mount', '-t', kind, '-o', 'loop', image, at)) return true;
  if (kind === 'vfat') return false;
  const { status, stdout } = spawnSync('losetup', ['--find', '--show', image], { encoding: 'utf8' });
  if (status !== 0) return false;
  const isMounted = ran('mount.exfat-fuse', stdout.trim(), at);
  ran('losetup', '--detach', stdout.trim()); // by the kernel, once nobody uses it any more
  return isMounted;
}

/** A new stick; `undefined` where this kernel or this user may not mount it. */
export function insertStick(kind: 'vfat' | 'exfat'): Stick | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'shepherd-store-stick-'));
  const [image, path] = [join(folder, 'image'), join(folder, 'mounted')];
  const remove = (): void => {
    ran('umount', path);
    rmSync(folder, { recursive: true, force: true });
  };
  mkdirSync(path);
  writeFileSync(image, '');
  truncateSync(image, 64 * 1024 * 1024);
  if (ran(`mkfs.${kind}`, image) && mount(kind, image, path)) return { path, remove };
  remove();
  return undefined;
}
