// Puts the compiled files of JavaScript together (places.ts says which of them, and why).
//
// The rooms have no circles of imports (test/package/house.test.ts), so the files of one can follow each other in the
// order of their imports, as one text. Of that a bundler leaves out what its program does not use.
import { Bundle, type Whole } from './built-file.ts';
import { aliased } from './names.ts';
import { always, placeOf, specifier, writeFiles } from './places.ts';
import { exportsOf, type Program } from './program.ts';
import { keyOf, scan, type Scanned } from './scan.ts';

const nodeVersion = 'values/node-version';

/** Writes the built files of a program to a folder. `entries`: what other packages import. */
export function writeBundles(program: Program, entries: readonly string[], folder: string): void {
  const files = new Map([...program.modules].map(([path, module]) => [path, scan(program, module)]));
  const whole: Whole = {
    globals: new Set([...files.values()].flatMap((file) => [...file.globals])),
    owners: new Map(),
    exported: (path) => [...exportsOf(program, files.get(path)!)].map(([name, { id }]) => [name, keyOf(name, id)]),
  };
  const bundles = [...filesByPlace(files)].map(([path, parts]) => new Bundle(path, parts, whole));
  for (const bundle of bundles) {
    // A compiled file that has its own place is imported by the names that it exports.
    if (files.has(bundle.path)) for (const [name, key] of whole.exported(bundle.path)) bundle.export(key, name);
  }
  const texts = new Map<string, string>();
  for (const path of new Set([...entries, ...importedLater(files)])) {
    if (placeOf(path) !== path) texts.set(path, handOn(path, whole));
  }
  for (const bundle of bundles) bundle.resolve();
  for (const bundle of bundles) texts.set(bundle.path, bundle.text());
  writeFiles(folder, '.js', texts);
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

/** The files that are imported when they are used, by others than those that they are built together with. */
function importedLater(files: Map<string, Scanned>): string[] {
  return [...files.values()].flatMap((file) => file.places.flatMap(({ meaning }) => {
    return meaning?.kind === 'later' && placeOf(meaning.path) !== placeOf(file.path) ? [meaning.path] : [];
  }));
}

/** The text of a file that hands on what the built file of its room has. */
function handOn(path: string, { owners, exported }: Whole): string {
  const byOwner = Map.groupBy(exported(path), ([, key]) => owners.get(key)!);
  return Array.from(byOwner, ([owner, all]) => {
    const names = all.map(([name, key]) => aliased(owner.export(key), name));
    return `export { ${names.join(', ')} } from '${specifier(path, owner.path)}';\n`;
  }).join('');
}
