// What the build has to know of a file of JavaScript: what it imports, its statements, and at which places of its text
// there is a name, and of what. Names of properties are left alone, because nothing tells whose they are.
import { join } from 'node:path';
import {
  type BindingName, type Identifier, type ImportDeclaration, isBindingElement, isCallExpression, isClassDeclaration,
  isEmptyStatement, isExportAssignment, isExportDeclaration, isFunctionDeclaration, isIdentifier, isImportDeclaration,
  isNamespaceImport, isPrivateIdentifier, isShorthandPropertyAssignment, isVariableStatement, type Node, type Statement,
  type StringLiteral, SyntaxKind,
} from 'typescript/unstable/ast';
import { declared, type Module, type Program } from './program.ts';

/** Says which declaration a name is of. The same in the whole program. */
export type Key = number | string;

/** An export of a module of Node; `*` is all of it. */
interface BuiltIn {
  kind: 'built-in';
  module: string;
  name: string;
}

/** What a name stands for. */
export type Meaning =
  | BuiltIn
  | { kind: 'later'; path: string } // what an import() of a file gives
  | { kind: 'private'; name: string } // a private member of a class, with its #
  | { kind: 'shared'; key: Key } // declared at the top level of a file
  | { kind: 'local'; key: Key; unit: Node };

/** A place in the text of a file; without a meaning what stands there stays as it is, blanks included. */
export interface Place {
  start: number;
  end: number;
  meaning?: Meaning;
  /** `{ name }` means `name: name`, and has to go on meaning it under another name. */
  isShorthand?: boolean;
  /** A member of a class begins here, on a line of its own. */
  isMember?: boolean;
}

export interface Scanned extends Module {
  /** The files of the program that it imports, by their paths, in order. */
  imports: string[];
  /** What is left of it without imports and exports. */
  statements: Statement[];
  /** In the order of the text. */
  places: Place[];
  /** What it declares at its top level. */
  declares: Map<Key, { name: string; isClass: boolean }>;
  /** Names that are declared nowhere: those of the language and of Node. */
  globals: Set<string>;
}

/** A name in the text, and the outermost function around it, or the statement: there, no two names may be the same. */
interface Name {
  node: Identifier;
  unit: Node;
  place: Place;
}

/** Reads a file. Throws for what cannot be put into one file with others. */
export function scan(program: Program, { path, source }: Module): Scanned {
  const scanned: Scanned = {
    path, source, imports: [], statements: [], places: [], declares: new Map(), globals: new Set(),
  };
  const names: Name[] = [];
  const builtIns: [name: Identifier, meaning: Meaning][] = [];
  for (const statement of source.statements) {
    if (isExportAssignment(statement)) throw new Error(`${path} has a default export`);
    if (isImportDeclaration(statement) || isExportDeclaration(statement)) {
      const specifier = statement.moduleSpecifier as StringLiteral | undefined;
      if (specifier?.text.startsWith('.')) scanned.imports.push(pathOf(scanned, specifier));
      else if (isImportDeclaration(statement)) builtIns.push(...builtInsOf(statement));
    } else {
      scanned.statements.push(statement);
      walk(statement, statement, scanned, names);
    }
  }
  addMeanings(program, scanned, names, builtIns);
  return scanned;
}

/** The path of the file that is imported so. */
function pathOf({ path }: Module, { text }: StringLiteral): string {
  return join(path, '..', text).replace(/\.js$/, '');
}

/** What an import takes from a module of Node, by the names for it here; nothing where it imports a file. */
export function builtInsOf({ importClause, moduleSpecifier }: ImportDeclaration): [Identifier, BuiltIn][] {
  const module = (moduleSpecifier as StringLiteral).text;
  const bindings = importClause?.namedBindings;
  if (!bindings || module.startsWith('.')) return [];
  if (isNamespaceImport(bindings)) return [[bindings.name, { kind: 'built-in', module, name: '*' }]];
  return [...bindings.elements].map(({ name, propertyName }) => {
    return [name, { kind: 'built-in', module, name: (propertyName ?? name).text }];
  });
}

const literals: readonly SyntaxKind[] = [
  SyntaxKind.StringLiteral, SyntaxKind.RegularExpressionLiteral, SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead, SyntaxKind.TemplateMiddle, SyntaxKind.TemplateTail,
];

const members: readonly SyntaxKind[] = [
  SyntaxKind.Constructor, SyntaxKind.MethodDeclaration, SyntaxKind.PropertyDeclaration, SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor, SyntaxKind.ClassStaticBlockDeclaration,
];

/** Adds the places in a node to what is known of the file, and the names among them to `names`. */
function walk(node: Node, unit: Node, scanned: Scanned, names: Name[]): void {
  const { source, places } = scanned;
  if (isEmptyStatement(node)) throw new Error(`${scanned.path} has an empty statement`); // whose semicolon would go
  const place: Place = { start: node.getStart(source), end: node.end };
  const isMember = members.includes(node.kind) && isClassDeclaration(node.parent) && node.parent.parent === source;
  if (isMember) places.push({ start: place.start, end: place.start, isMember });
  if (literals.includes(node.kind)) places.push(place);
  if (isIdentifier(node) && !isNameOfProperty(node)) {
    const { parent } = node;
    place.isShorthand = isShorthandPropertyAssignment(parent) ? parent.name === node :
      isBindingElement(parent) && parent.name === node && !parent.propertyName && !parent.dotDotDotToken &&
      parent.parent.kind === SyntaxKind.ObjectBindingPattern;
    places.push(place);
    names.push({ node, unit, place });
  }
  if (isPrivateIdentifier(node)) places.push({ ...place, meaning: { kind: 'private', name: node.text } });
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
    places.push({ ...place, meaning: { kind: 'later', path: pathOf(scanned, node.arguments[0] as StringLiteral) } });
    return;
  }
  node.forEachChild((child) => walk(child, isMember ? node : unit, scanned, names));
}

const withNames: readonly SyntaxKind[] = [
  ...members, SyntaxKind.PropertyAccessExpression, SyntaxKind.PropertyAssignment, SyntaxKind.MetaProperty,
];

function isNameOfProperty(node: Identifier): boolean {
  const parent = node.parent as Node & { name?: Node; propertyName?: Node };
  return parent.propertyName === node || (withNames.includes(parent.kind) && parent.name === node);
}

/** Asks the compiler what the names stand for. */
function addMeanings(
  { checker }: Program, scanned: Scanned, names: Name[], builtIns: [name: Identifier, meaning: Meaning][],
): void {
  const symbols = checker.getSymbolAtLocation(names.map(({ node }) => node));
  const builtInSymbols = checker.getSymbolAtLocation(builtIns.map(([name]) => name));
  const meanings = new Map(builtInSymbols.map((symbol, index) => [symbol!.id, builtIns[index]![1]]));
  const declaring = new Set(scanned.statements.flatMap(declaredBy));
  for (const [index, { node }] of names.entries()) {
    if (!declaring.has(node)) continue;
    const key = keyOf(node.text, symbols[index]!.id);
    scanned.declares.set(key, { name: node.text, isClass: isClassDeclaration(node.parent) });
    meanings.set(symbols[index]!.id, { kind: 'shared', key });
  }
  for (const [index, { node, unit, place }] of names.entries()) {
    const symbol = isShorthandPropertyAssignment(node.parent) && node.parent.name === node
      ? checker.getShorthandAssignmentValueSymbol(node.parent) : symbols[index];
    if (!symbol || symbol.declarations.length === 0) {
      scanned.globals.add(node.text);
      continue;
    }
    const original = meanings.has(symbol.id) ? symbol : declared(checker, symbol);
    place.meaning = meanings.get(original.id) ?? (original === symbol
      ? { kind: 'local', key: symbol.id, unit }
      : { kind: 'shared', key: keyOf(original.name, original.id) });
  }
}

/** The compiler writes its own functions into each file that needs them; they are one for the program. */
export function keyOf(name: string, id: number): Key {
  return name.startsWith('__') ? name : id;
}

/** The names that a statement of the top level declares. */
export function declaredBy(statement: Statement): Identifier[] {
  if (isFunctionDeclaration(statement) || isClassDeclaration(statement)) return statement.name ? [statement.name] : [];
  if (!isVariableStatement(statement)) return [];
  return [...statement.declarationList.declarations].flatMap(({ name }) => namesIn(name));
}

const functions: readonly SyntaxKind[] = [
  SyntaxKind.FunctionDeclaration, SyntaxKind.FunctionExpression, SyntaxKind.ArrowFunction, SyntaxKind.MethodDeclaration,
];

const plain: readonly SyntaxKind[] = [
  ...literals, SyntaxKind.VariableStatement, SyntaxKind.VariableDeclarationList, SyntaxKind.VariableDeclaration,
  SyntaxKind.Identifier, SyntaxKind.NumericLiteral, SyntaxKind.TrueKeyword, SyntaxKind.FalseKeyword,
  SyntaxKind.ObjectLiteralExpression, SyntaxKind.PropertyAssignment, SyntaxKind.ShorthandPropertyAssignment,
  SyntaxKind.ArrayLiteralExpression, SyntaxKind.ExportKeyword,
];

/** Whether a statement only declares, so that every bundler sees that it does nothing else. */
export function isPlain(node: Node): boolean {
  if (functions.includes(node.kind) || isClassDeclaration(node)) return true;
  return plain.includes(node.kind) && node.forEachChild((child) => isPlain(child) ? undefined : true) === undefined;
}

function namesIn(name: BindingName): Identifier[] {
  if (isIdentifier(name)) return [name];
  return [...name.elements].flatMap((element) => {
    return isBindingElement(element) && element.name ? namesIn(element.name) : [];
  });
}
