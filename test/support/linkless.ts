// A file system without hard links, as FAT and exFAT are: what node:fs says there.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { TestContext } from 'node:test';

/** From here to the end of the test no hard link can be made: the system answers with this code. */
export function withoutLinks(t: TestContext, code = 'EPERM'): void {
  const original = fs.linkSync;
  fs.linkSync = () => {
    throw Object.assign(new Error(`${code}: link`), { code, syscall: 'link' });
  };
  syncBuiltinESMExports();
  t.after(() => {
    fs.linkSync = original;
    syncBuiltinESMExports();
  });
}

/** The same for the code of another process (`run` of process.ts). */
export const noLinks = `
  fs.linkSync = () => { throw Object.assign(new Error('EPERM: link'), { code: 'EPERM', syscall: 'link' }); };
  (await import('node:module')).syncBuiltinESMExports();`;
