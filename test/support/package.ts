// The package as others get it: packed, and installed into an empty folder without a network.
import assert from 'node:assert/strict';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { emptyFolder, manifest, root, run, topLevel } from './project.ts';

/**
 * Packs and installs the package before the tests of a file; `change` first changes the copy that is packed. `consumer`
 * is the folder whose node_modules has it.
 */
export function installed(change?: (copy: string) => void): { tarball: string; consumer: string } {
  const copy = emptyFolder({ after });
  const consumer = emptyFolder({ after });
  const tarball = join(copy, `${manifest.name}-${manifest.version}.tgz`);
  before(() => {
    // Packed from a copy: building in place would pull dist/ from under whoever else uses it.
    for (const name of topLevel().filter((each) => each !== 'test')) {
      cpSync(join(root, name), join(copy, name), { recursive: true });
    }
    change?.(copy);
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    const packed = run(copy, 'npm', 'pack', '--loglevel=error', '--pack-destination', copy);
    assert.equal(packed.status, 0, packed.stdout + packed.stderr);

    writeFileSync(join(consumer, 'package.json'), '{ "private": true }');
    const install = run(consumer, 'npm', 'install', '--loglevel=error', '--offline', tarball);
    assert.equal(install.status, 0, install.stderr);
  });
  return { tarball, consumer };
}
