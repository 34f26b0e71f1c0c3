// Part of `npm run build` (`node build/bundle.ts [FOLDER]`, dist/ by default): puts what is always shipped into one
// file, dist/shepherd-store.js. Node takes about a millisecond for each file that it loads, on a desktop core, and a
// service that loads sixty of them takes twice as long to start. Every other file of these rooms stays, and hands on
// what the one file has: so the modules and the command import what they imported before.
//
// The rooms have no circles of imports (test/package/house.test.ts), so each file can become a function that runs once,
// in the order of the imports, and gives what the file exports.
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const dist = resolve(process.argv[2] ?? join(import.meta.dirname, '../dist'));
const rooms = ['', 'core/', 'values/', 'opening/', 'recovery/', 'reading/', 'migrate/', 'verify/'];
const statement = /^(import|export) (\* as \w+|\{[^}]*\}) from '([^']+)';$/gm;
const declaration = /^export ((?:async )?(?:class|const|let|function\*?)) (\{[^}]*\}|\w+)/gm;

/** A file of the rooms, and the name that stands for what it exports. */
interface Bundled {
  name: string;
  text: string;
  exports: string[];
}

const bundled = new Map<string, Bundled>();
const builtIns = new Map<string, string>();

function visit(path: string): Bundled {
  const known = bundled.get(path);
  if (known) return known;
  const exports: string[] = [];
  const text = readFileSync(path, 'utf8').replace(/^export \{\};$/m, '')
    .replace(statement, (_, kind: string, names: string, from: string) => {
      const source = from.startsWith('.') ? visit(resolve(dirname(path), from)).name : builtIn(from);
      if (kind === 'export') exports.push(...listed(names));
      return `const ${names.startsWith('*') ? names.slice('* as '.length) : renamed(names)} = ${source};`;
    })
    .replace(declaration, (_, kind: string, names: string) => {
      exports.push(...listed(names));
      return `${kind} ${names}`;
    });
  const left = /^(import|export)\b.*/m.exec(text);
  if (left) throw new Error(`${path} has a statement that cannot be bundled: ${left[0]}`);
  const file = { name: relative(dist, path).replace(/\.js$/, '').replaceAll(/\W/g, '_'), text, exports };
  bundled.set(path, file); // behind the files that it imports
  return file;
}

function builtIn(module: string): string {
  const name = `node_${module.replace('node:', '').replaceAll(/\W/g, '_')}`;
  builtIns.set(module, name);
  return name;
}

/** The names between braces, or the one name. */
function listed(names: string): string[] {
  return names.replaceAll(/[{}]/g, '').split(',').map((name) => name.trim()).filter((name) => name !== '');
}

/** `{ a as b }` of an import, as a pattern. */
function renamed(names: string): string {
  return names.replaceAll(' as ', ': ');
}

visit(join(dist, 'values/node-version.js')); // the first, because the refusal of an old Node calls it
for (const room of rooms) for (const path of globSync(`${room}*.js`, { cwd: dist })) visit(join(dist, path));
// An import of node:util or node:crypto asks for every export, and so loads what Node would otherwise load at its first
// use only: that took a tenth of the start.
const requires = Array.from(builtIns, ([module, name]) => `const ${name} = process.getBuiltinModule('${module}');\n`);
// A Node that is too old to have it is told which one is needed, as core/sqlite.ts tells one that has no SQLite.
const refusal = `if (!process.getBuiltinModule) {
  const problem = values_node_version.nodeProblem(process.versions.node);
  throw Object.assign(new Error(problem), { name: 'StoreError', code: 'ERR_STORE_UNSUPPORTED' });
}
`;
const functions = Array.from(bundled.values(), ({ name, text, exports }) =>
  `export const ${name} = (() => {\n${text}\nreturn { ${exports.join(', ')} };\n})();\n`);
for (const [path, { name, exports }] of bundled) {
  // A Node that is too old for the one file has to run this one, to say which Node is needed.
  if (path.endsWith('node-version.js')) continue;
  const from = relative(dirname(path), join(dist, 'shepherd-store.js'));
  const specifier = from.startsWith('.') ? from : `./${from}`;
  const handOn = `import { ${name} } from '${specifier}';\nexport const { ${exports.join(', ')} } = ${name};\n`;
  writeFileSync(path, exports.length === 0 ? 'export {};\n' : handOn);
}
writeFileSync(join(dist, 'shepherd-store.js'), [functions[0], refusal, ...requires, ...functions.slice(1)].join(''));
