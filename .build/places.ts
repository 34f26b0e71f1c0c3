// Which built file a file of lib/ goes to. Node takes about a millisecond for each file that it loads, on a desktop
// core, and a service that loads sixty of them takes twice as long to start: so what is always shipped becomes one
// file, each optional part another one, and the command a third one.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** What is always shipped. */
export const always = 'shepherd-store';

const alwaysShipped = ['core', 'values', 'opening', 'recovery', 'reading', 'migrate', 'verify'];

/** Files of the command that stay files: processes of their own, and commands that import an optional part. */
const apart = [
  ...['main', 'demo-service', 'archive', 'backup', 'facts', 'import', 'ledger', 'limits', 'policy-file', 'projects'],
  ...['report', 'runs', 'renew-identity', 'ship', 'transport', 'vacuum', 'with-ledger'],
  ...['export-archives', 'export-facts', 'export-projects', 'export-runs'],
];

/** The built file of a file of lib/; both by their paths there, without the ending. */
export function placeOf(path: string): string {
  const [room, ...inner] = path.split('/');
  if (inner.length === 0 || alwaysShipped.includes(room!)) return always;
  if (room === 'modules' && inner.length === 2) return `modules/${inner[0]}`;
  if (room === 'cli') return apart.includes(inner[0]!) ? path : 'cli/program';
  return room === 'ledger' || room === 'import' ? room : path;
}

/** How one file imports another; both by their paths without the ending. */
export function specifier(from: string, to: string): string {
  const path = relative(dirname(from), `${to}.js`);
  return path.startsWith('.') ? path : `./${path}`;
}

/** Writes files to a folder; `texts`: what is in each, by its path there without the ending. */
export function writeFiles(folder: string, ending: '.js' | '.d.ts', texts: Iterable<[string, string]>): void {
  for (const [path, text] of texts) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path + ending), text);
  }
}
