// The package as others get it: packed, and installed into an empty folder without a network.
import assert from 'node:assert/strict';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, manifest, root, run, topLevel } from './project.ts';

/** Packs the package, installs it into the folder `consumer`, and removes all of it when the hook or test ends. */
export function packAndInstall(owner: { after(fn: () => void): void }): { tarball: string; consumer: string } {
  const [copy, consumer] = [emptyFolder(owner), emptyFolder(owner)];
  // Packed from a copy: building in place would pull dist/ from under whoever else uses it.
  for (const name of topLevel().filter((name) => name !== 'test')) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const packed = run(copy, 'npm', 'pack', '--loglevel=error', '--pack-destination', copy);
  assert.equal(packed.status, 0, packed.stdout + packed.stderr);

  const tarball = join(copy, `${manifest.name}-${manifest.version}.tgz`);
  writeFileSync(join(consumer, 'package.json'), '{ "private": true }');
  const installed = run(consumer, 'npm', 'install', '--loglevel=error', '--offline', tarball);
  assert.equal(installed.status, 0, installed.stderr);
  return { tarball, consumer };
}
