// Writes the declarations that whoever imports an entry point can come to, with their comments in full, into files that
// lie beside those of the JavaScript. The rest, half of what the compiler makes, is nobody's business outside.
import {
  type Identifier, isExportDeclaration, isIdentifier, isImportDeclaration, type Node, type SourceFile, type Statement,
} from 'typescript/unstable/ast';
import { type Symbol, SymbolFlags } from 'typescript/unstable/sync';
import { aliased, Names } from './names.ts';
import { placeOf, specifier, writeFiles } from './places.ts';
import { declared, exportsOf, type Program } from './program.ts';
import { builtInsOf, declaredBy } from './scan.ts';

/** A name in a declaration: of something that is declared in the program, or of an export of a module of Node. */
interface Name {
  node: Identifier;
  symbol: Symbol;
  builtIn?: { module: string; name: string };
}

/** A statement of the top level, and the names in it. */
interface Declaration {
  place: string;
  source: SourceFile;
  node: Statement;
  names: Name[];
}

/** Writes what the entry points need of a program of declarations to a folder. `entries`: their paths, no ending. */
export function writeDeclarations(program: Program, entries: readonly string[], folder: string): void {
  const exported = new Map(entries.map((path) => [path, exportsOf(program, program.modules.get(path)!)]));
  const known = declarationsOf(program);
  const files = new Map<string, DeclarationFile>();
  const owners = new Map<number, DeclarationFile>();
  const left = [...exported.values()].flatMap((names) => [...names.values()]);
  for (let symbol = left.shift(); symbol; symbol = left.shift()) {
    const declarations = known.get(symbol.id);
    if (!declarations || owners.has(symbol.id)) continue;
    const { place } = declarations[0]!;
    const file = files.get(place) ?? new DeclarationFile(place, owners);
    files.set(place, file);
    owners.set(symbol.id, file);
    file.add(symbol, declarations);
    left.push(...declarations.flatMap(({ names }) => names.map((name) => name.symbol)));
  }
  const texts = [...files.values()].map((file): [string, string] => [file.path, file.text()]);
  for (const [path, names] of exported) texts.push([path, handOn(path, names, owners)]);
  writeFiles(folder, '.d.ts', texts);
}

/** Every declaration of the program, by the symbol that it declares. */
function declarationsOf({ modules, checker }: Program): Map<number, Declaration[]> {
  const found = new Map<number, Declaration[]>();
  for (const { path, source } of modules.values()) {
    const imports = source.statements.filter((node) => isImportDeclaration(node)).flatMap(builtInsOf);
    const symbols = checker.getSymbolAtLocation(imports.map(([name]) => name));
    const builtIns = new Map(symbols.map((symbol, index) => [symbol!.id, imports[index]![1]]));
    for (const node of source.statements) {
      if (isImportDeclaration(node) || isExportDeclaration(node)) continue;
      const identifiers = identifiersIn(node);
      const names = checker.getSymbolAtLocation(identifiers).flatMap((symbol, index): Name[] => {
        if (!symbol) return [];
        const builtIn = builtIns.get(symbol.id);
        const name = { node: identifiers[index]!, symbol: builtIn ? symbol : declared(checker, symbol) };
        return [builtIn ? { ...name, builtIn } : name];
      });
      const { name } = node as Statement & { name?: Identifier };
      for (const symbol of checker.getSymbolAtLocation(name ? [name] : declaredBy(node))) {
        const declaration = { place: placeOf(path), source, node, names };
        found.set(symbol!.id, [...found.get(symbol!.id) ?? [], declaration]);
      }
    }
  }
  return found;
}

function identifiersIn(node: Node): Identifier[] {
  const found: Identifier[] = isIdentifier(node) ? [node] : [];
  node.forEachChild((child) => void found.push(...identifiersIn(child)));
  return found;
}

/** The declarations that go to one file. */
class DeclarationFile {
  readonly path: string;
  readonly #owners: Map<number, DeclarationFile>;
  readonly #names = new Names([]);
  readonly #own = new Map<number, string>();
  readonly #declarations: Declaration[] = [];
  /** The imports: what stands in the braces, by the module. */
  readonly #imports = new Map<string, Map<string, string>>();

  constructor(path: string, owners: Map<number, DeclarationFile>) {
    this.path = path;
    this.#owners = owners;
  }

  add(symbol: Symbol, declarations: Declaration[]): void {
    this.#own.set(symbol.id, this.#names.take(symbol.name));
    this.#declarations.push(...declarations);
  }

  nameOf(symbol: Symbol): string {
    return this.#own.get(symbol.id)!;
  }

  text(): string {
    const statements = this.#declarations.map((declaration) => this.#print(declaration));
    const imports = [...this.#imports].flatMap(([module, names]) => Array.from(names, ([theirs, ours]) => {
      const name = aliased(theirs, ours);
      return `import ${theirs === '*' ? name : `{ ${name} }`} from '${module}';\n`;
    }));
    return [...imports, ...statements].join('');
  }

  /** The text of a declaration with its comment. */
  #print({ source: { text }, node, names }: Declaration): string {
    let [printed, position] = ['', node.pos];
    for (const name of names) {
      const start = name.node.end - name.node.text.length;
      printed += text.slice(position, start) + this.#nameIn(name);
      position = name.node.end;
    }
    return `${(printed + text.slice(position, node.end)).trim()}\n`;
  }

  /** What stands for a name in this file. */
  #nameIn({ node, symbol, builtIn }: Name): string {
    if (builtIn) return this.#import(builtIn.module, builtIn.name);
    const owner = this.#owners.get(symbol.id);
    if (owner === this) return this.nameOf(symbol);
    return owner ? this.#import(specifier(this.path, owner.path), owner.nameOf(symbol)) : node.text;
  }

  #import(module: string, name: string): string {
    const names = this.#imports.get(module) ?? new Map<string, string>();
    this.#imports.set(module, names);
    const ours = names.get(name) ?? this.#names.take(name === '*' ? module.replace('node:', '') : name);
    names.set(name, ours);
    return ours;
  }
}

/** The text of an entry point. */
function handOn(path: string, exported: Map<string, Symbol>, owners: Map<number, DeclarationFile>): string {
  const byOwner = Map.groupBy(exported, ([, { id }]) => owners.get(id)!);
  return Array.from(byOwner, ([owner, all]) => {
    const names = all.map(([name, symbol]) => {
      const kind = symbol.flags & SymbolFlags.Value ? '' : 'type ';
      return `${kind}${aliased(owner.nameOf(symbol), name)}`;
    });
    return `export { ${names.join(', ')} } from '${specifier(path, owner.path)}';\n`;
  }).join('');
}
