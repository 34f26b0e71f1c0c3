// A built file: the compiled files in it, and which name stands in it for what.
import type { Statement } from 'typescript/unstable/ast';
import { aliased, Names } from './names.ts';
import { always, placeOf, specifier } from './places.ts';
import { print } from './print.ts';
import { declaredBy, isPlain, type Key, type Meaning, type Scanned } from './scan.ts';

/** What the built files have in common. */
export interface Whole {
  /** Names that none of them may hide. */
  globals: Set<string>;
  /** The built file that each declaration is in. */
  owners: Map<Key, Bundle>;
  /** What a compiled file exports, by its path. */
  exported(path: string): [name: string, key: Key][];
}

/** A Node that is too old for the one file is told which one is needed, as core/sqlite.ts tells one without SQLite. */
function refusal(nodeProblem: string): string {
  const error = `Object.assign(new Error(${nodeProblem}(process.versions.node)),{name:'StoreError',\
code:'ERR_STORE_UNSUPPORTED'})`;
  return `if(!process.getBuiltinModule)throw ${error};`;
}

export class Bundle {
  readonly path: string;
  readonly #files: readonly Scanned[];
  readonly #names: Names;
  readonly #whole: Whole;
  /** What is declared in it. */
  readonly #own = new Map<Key, string>();
  /** What others import from it, by which name. */
  readonly #exported = new Map<Key, string>();
  readonly #imported = new Map<Key, string>();
  readonly #builtIns = new Map<string, string>();
  /** The compiler's own functions that are printed. */
  readonly #printed = new Set<string>();

  /** What no built file has yet becomes its own. */
  constructor(path: string, files: readonly Scanned[], whole: Whole) {
    const { globals, owners } = whole;
    this.path = path;
    this.#files = files;
    this.#names = new Names(globals);
    this.#whole = whole;
    for (const { declares } of files) {
      for (const [key, { name, isClass }] of declares) {
        // The compiler's own functions are in each compiled file, and one built file has them for all.
        if (typeof key === 'string' && owners.has(key)) continue;
        // The name of a class is seen outside: an object that is printed shows it.
        this.#own.set(key, isClass ? this.#names.take(name) : this.#names.takeShort());
        if (!owners.has(key)) owners.set(key, this);
      }
    }
  }

  /** Lets others import a declaration, and gives the name for it; `wanted` by default the one that it has here. */
  export(key: Key, wanted?: string): string {
    const name = this.#exported.get(key) ?? wanted ?? this.#own.get(key)!;
    this.#exported.set(key, name);
    return name;
  }

  /** Finds the names of all that comes from elsewhere, before any of `text` gives names to what is inside. */
  resolve(): void {
    for (const { places } of this.#files) {
      for (const { meaning } of places) if (meaning && meaning.kind !== 'local') this.#nameOf(meaning);
    }
    for (const key of this.#exported.keys()) this.#sharedName(key);
  }

  #nameOf(meaning: Meaning): string {
    if (meaning.kind === 'shared') return this.#sharedName(meaning.key);
    if (meaning.kind === 'private') return this.#names.private(meaning.name);
    if (meaning.kind === 'later') return this.#importedLater(meaning.path);
    if (meaning.kind === 'local') throw new Error(`${this.path} has a name that belongs to no function`);
    const { module, name } = meaning;
    const alias = this.#builtIns.get(module) ?? this.#names.take(module.replace('node:', '').replaceAll('/', '_'));
    this.#builtIns.set(module, alias);
    return name === '*' ? alias : `${alias}.${name}`;
  }

  /** What stands for an import() of a compiled file: what is here already needs no other file. */
  #importedLater(path: string): string {
    if (placeOf(path) !== this.path) return `import('${specifier(this.path, path)}')`;
    const names = this.#whole.exported(path).map(([name, key]) => `${name}:${this.#sharedName(key)}`);
    return `Promise.resolve({${names.join(',')}})`;
  }

  #sharedName(key: Key): string {
    const known = this.#own.get(key) ?? this.#imported.get(key);
    if (known !== undefined) return known;
    const owner = this.#whole.owners.get(key);
    if (!owner) throw new Error(`${this.path} names what no file declares`);
    const name = this.#names.take(owner.export(key));
    this.#imported.set(key, name);
    return name;
  }

  text(): string {
    const [first = '', ...rest] = this.#files.map((file) => this.#print(file));
    const parts = [this.#head(), first, ...rest];
    if (this.path === always) {
      const [nodeProblem] = this.#files[0]!.declares.keys();
      parts.splice(0, 2, first, refusal(this.#sharedName(nodeProblem!)), this.#head());
    }
    const exported = Array.from(this.#exported, ([key, name]) => aliased(this.#sharedName(key), name));
    if (exported.length > 0) parts.push(`export{${exported.join(',')}};`);
    const [, shebang] = /^(#!.*\n)/.exec(this.#files.at(-1)!.source.text) ?? [];
    return `${shebang ?? ''}${parts.filter((part) => part !== '').join('\n')}\n`;
  }

  /** The imports. */
  #head(): string {
    const byOwner = Map.groupBy(this.#imported, ([key]) => this.#whole.owners.get(key)!);
    const imports = Array.from(byOwner, ([owner, all]) => {
      const names = all.map(([key, name]) => aliased(owner.export(key), name));
      return `import{${names.join(',')}}from'${specifier(this.path, owner.path)}';`;
    });
    // An import of node:util or node:crypto asks for every export, and so loads what Node would otherwise load at its
    // first use only: that took a tenth of the start. A bundler leaves out what is pure and not used.
    const builtIns = Array.from(this.#builtIns, ([module, name]) => {
      return `const ${name}=/* @__PURE__ */process.getBuiltinModule('${module}');`;
    });
    return [...imports, ...builtIns].join('\n');
  }

  #print(file: Scanned): string {
    const short = this.#names.shorten(file);
    const nameOf = (meaning: Meaning): string => {
      return meaning.kind === 'local' ? short.get(meaning.key)! : this.#nameOf(meaning);
    };
    return file.statements.filter((statement) => this.#isMine(statement)).map((statement) => {
      // Bundlers warn of a `this` outside of functions, where the compiler asks whether somebody has given its own.
      const text = print(file, statement, nameOf).replace(/\(this&&this\.__\w+\)\|\|/, '');
      if (this.path.startsWith('cli/') || isPlain(statement)) return text;
      // A bundler cannot see by itself that it may leave this out where nobody uses it.
      const [, start, value] = /^((?:const|let|var) [\w$]+=)(.*);$/s.exec(text) ?? [];
      if (value === undefined || declaredBy(statement).length > 1) {
        throw new Error(`${file.path} has a statement that can never be left out: ${text}`);
      }
      return `${start}/* @__PURE__ */(()=>(${value}))();`;
    }).join('\n');
  }

  /** Whether a statement is to be printed: one of the compiler's own functions only once. */
  #isMine(statement: Statement): boolean {
    const [name] = declaredBy(statement);
    if (!name?.text.startsWith('__')) return true;
    if (this.#whole.owners.get(name.text) !== this || this.#printed.has(name.text)) return false;
    this.#printed.add(name.text);
    return true;
  }
}
