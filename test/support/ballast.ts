// A file system with so much room left.
import assert from 'node:assert/strict';
import { statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const pageBytes = 4096;

/** Leaves so many pages free. */
export function fill(mount: string, pages: number): void {
  const { bavail, bsize } = statfsSync(mount);
  const bytes = bavail * bsize - pages * pageBytes;
  assert.ok(bytes >= 0);
  writeFileSync(join(mount, 'ballast'), Buffer.alloc(bytes));
  assert.equal(statfsSync(mount).bavail, pages);
}
