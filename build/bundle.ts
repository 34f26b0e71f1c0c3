// Puts the compiled files of JavaScript together (places.ts says which of them, and why).
//
// The rooms have no circles of imports (test/package/house.test.ts), so the files of one can follow each other in the
// order of their imports, as one text. Of that a bundler leaves out what its program does not use.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Bundle, type Owners } from './built-file.ts';
import { always, placeOf, specifier } from './places.ts';
import { exportsOf, type Program } from './program.ts';
import { keyOf, type Key, scan, type Scanned } from './scan.ts';

const nodeVersion = 'values/node-version';

/** Writes the built files of a program to a folder. `entries`: what other packages import. */
export function writeBundles(program: Program, entries: readonly string[], folder: string): void {
  const files = new Map([...program.modules].map(([path, module]) => [path, scan(program, module)]));
  const globals = new Set([...files.values()].flatMap((file) => [...file.globals]));
  const owners: Owners = new Map();
  const bundles = [...filesByPlace(files)].map(([path, parts]) => new Bundle(path, parts, globals, owners));
  const exported = (path: string): [name: string, key: Key][] => {
    return [...exportsOf(program, program.modules.get(path)!)].map(([name, { id }]) => [name, keyOf(name, id)]);
  };
  const texts = new Map<string, string>();
  for (const bundle of bundles) {
    if (!files.has(bundle.path)) continue;
    for (const [name, key] of exported(bundle.path)) bundle.export(key, name);
  }
  const importedLater = [...files.values()].flatMap(({ path, importsLater }) => {
    if (importsLater.length > 0 && placeOf(path) !== path) throw new Error(`${path} is moved, and its import() is not`);
    return importsLater;
  });
  for (const path of new Set([...entries, ...importedLater])) {
    if (placeOf(path) !== path) texts.set(path, handOn(path, exported(path), owners));
  }
  for (const bundle of bundles) bundle.resolve();
  for (const bundle of bundles) texts.set(bundle.path, bundle.text());
  for (const [path, text] of texts) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, `${path}.js`), text);
  }
}

/** The compiled files of each built one, in the order of their imports; what imports nothing of the others is first. */
function filesByPlace(files: Map<string, Scanned>): Map<string, Scanned[]> {
  const ordered = new Set<Scanned>();
  const add = (path: string): void => {
    const file = files.get(path);
    if (!file) throw new Error(`${path} is imported and was not compiled`);
    if (ordered.has(file)) return;
    for (const imported of file.imports) add(imported);
    ordered.add(file);
  };
  add(nodeVersion); // the refusal of an old Node calls it
  for (const path of files.keys()) if (placeOf(path) === always) add(path);
  for (const path of files.keys()) add(path);
  const places = Map.groupBy(ordered, ({ path }) => placeOf(path));
  // The command asks which Node it runs on before it loads anything else, so it has that file of its own.
  places.get('cli/main')?.unshift(files.get(nodeVersion)!);
  return places;
}

/** The text of an entry point, which hands on what the built file of its room has. */
function handOn(path: string, exported: readonly [name: string, key: Key][], owners: Owners): string {
  const byOwner = Map.groupBy(exported, ([, key]) => owners.get(key)!);
  return Array.from(byOwner, ([owner, all]) => {
    const names = all.map(([name, key]) => {
      const theirs = owner.export(key);
      return theirs === name ? name : `${theirs} as ${name}`;
    });
    return `export { ${names.join(', ')} } from '${specifier(path, owner.path)}';\n`;
  }).join('');
}
