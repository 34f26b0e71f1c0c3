// The compiler's view of a folder of JavaScript or of declarations: its syntax trees, and what each name stands for.
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Node, SourceFile } from 'typescript/unstable/ast';
import { API, type Checker, type Symbol, SymbolFlags } from 'typescript/unstable/sync';

/** A file of the folder, by its path from there, without the ending. */
export interface Module {
  path: string;
  source: SourceFile;
}

export interface Program {
  modules: Map<string, Module>;
  checker: Checker;
}

/** Reads all files of a folder whose names end so, and gives what `use` makes of them. */
export function withProgram<T>(folder: string, ending: '.js' | '.d.ts', use: (program: Program) => T): T {
  const config = join(folder, 'tsconfig.json');
  // Without the library a name of the language has no symbol, and so is never taken for one of the folder.
  const compilerOptions = { allowJs: true, noLib: true, types: [], target: 'esnext', module: 'nodenext', noEmit: true };
  writeFileSync(config, JSON.stringify({ compilerOptions, include: [`**/*${ending}`] }));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const api = new API({ cwd: folder });
  try {
    const [project] = api.updateSnapshot({ openProjects: [config] }).getProjects();
    const { checker, program, rootFiles } = project!;
    const modules = rootFiles.filter((path) => path.endsWith(ending)).sort().map((file): Module => {
      return { path: relative(folder, file).slice(0, -ending.length), source: program.getSourceFile(file)! };
    });
    return use({ modules: new Map(modules.map((module) => [module.path, module])), checker });
  } finally {
    api.close();
  }
}

/** What a name stands for where it was declared: an import stands for what it imports. */
export function declared(checker: Checker, symbol: Symbol): Symbol {
  return symbol.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** What a module exports, by the names under which it does. */
export function exportsOf({ checker }: Program, { source }: Module): Map<string, Symbol> {
  const symbol = checker.getSymbolAtLocation(source as Node);
  const exported = symbol ? checker.getExportsOfModule(symbol) : [];
  return new Map(exported.map((each) => [each.name, declared(checker, each)]));
}
