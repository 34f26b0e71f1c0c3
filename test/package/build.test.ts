// What the build makes of JavaScript does what the JavaScript does, whatever its names and signs are; and the build
// refuses what it cannot put into one file with others.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { writeBundles } from '../../.build/bundle.ts';
import { withProgram } from '../../.build/program.ts';
import { emptyFolder } from '../support/project.ts';

/** As the compiler writes it: with all semicolons, and without comments. */
const program = String.raw`
import { join, sep as separator } from 'node:path';
import * as system from 'node:fs';
import { base, bump, count, Counter } from '../values/base.js';
const path = 'hides the name of a module';
const Ee = 'and short names of the build';
const e = 'e';
const system_1 = { base, path, e, join, separator, list: [1, , ], };
const parts = ({ a = base, b: { c = e, ...others } = {}, [e]: named = ${'`${e}${base}`'} }, [f = e, , ...g] = []) => {
  return { a, c, others, named, f, g };
};
function assigned(given) { let a, b, c; ({ a = base, b: [b = e], ...c } = given); [a, b] = [b, a]; return { a, b, c }; }
function labels() {
  let found = '';
  e: for (let n = 0; n < 3; n++) { for (const e of [1, 2, 3]) { if (e === 2) continue e; found += e; } }
  return found;
}
function signs(a, b) {
  let n = a;
  return [
    a - -b, a + +b, a - --n, a++ + ++b, - -a, a / b / 2, a / +/\d/.exec('7')[0], 1 .toFixed(), a ? .5 : 1,
    !(a in [1]), 'x/y }'.replace(/\//g, ';}'), /[/\]]+/.test('/'), /n/g.source + 4 / 2, arguments.length, typeof a,
  ];
}
const text = ${'`line 1\n  line 2 ${[1, 2].map((n) => { return `in ${n};`; }).join(\';\')} }\n  ;}`'};
class Named extends Counter {
  #n = 3;
  static at = 'a static field';
  static { this.at += '.'; }
  get n() { return this.#n; }
  set n(n) { this.#n = n; }
  static async() { return 'a method'; }
  ['with ' + e]() { return #n in this; }
  async *steps({ n = this.#n } = {}) { yield n; yield* [super.next(), new.target === undefined]; }
}
function closures(process) {
  const found = [];
  for (let n = 0; n < 2; n++) found.push(() => n);
  const five = (function fact(n) { return n < 2 ? 1 : n * fact(n - 1); })(5);
  try { throw new Error('thrown'); } catch ({ message }) {
    return { process, message, found: found.map((e) => e()), five };
  }
}
function branches(n) {
  switch (n) {
    case -1: return 'minus';
    case 1: { const n = 'one'; return n; }
    default: do n--; while (n > 5); if (n) return n; else return e;
  }
}
export async function all() {
  bump();
  const [named, steps] = [new Named(), []];
  named.n++;
  for await (const step of named.steps()) steps.push(step);
  const later = await import('../modules/later/later.js');
  return [
    path, Ee, e, { ...system_1, join: join('a', 'b') }, typeof system.readFileSync,
    parts({}), parts({ b: { d: 1 }, e: 2 }, [, 2, 3]), assigned({ b: [], z: 1 }), labels(), signs(6, 3), text,
    named.n, Named.at, Named.async(), named['with e'](), steps, Named.name, closures(1), [-1, 1, 7, 0].map(branches),
    count, later.twice(base), Object.keys(later), many(), undefined,
  ];
}
`;

/** So many names that some of the short ones would be words of the language, or names of modules. */
const names = Array.from({ length: 800 }, (_, index) => `name${index}`);
const many = `function many() {
  const ${names.map((name, index) => `${name} = ${index}`).join(', ')};
  return [typeof system.readFileSync, ${names.join(', ')}];
}`;

const files: Record<string, string> = {
  'package.json': '{ "type": "module" }',
  'values/node-version.js': 'export function nodeProblem() { return undefined; }',
  'values/base.js': `export const base = 7;
    export let count = 0;
    export function bump() { count++; }
    export class Counter { #n = 1; next() { return this.#n++; } }`,
  'modules/later/later.js': `import { base as seven } from '../../values/base.js';
    import { twice as inner } from './inner.js';
    export function twice(base) { return [inner(base), seven, { seven }]; }
    export { bump as again } from '../../values/base.js';`,
  'modules/later/inner.js': 'export const twice = (n) => 2 * n;',
};

/** Writes files, and what the build makes of them to another folder. Gives both folders. */
function built(t: TestContext, text: string): string[] {
  const [given, work, made] = [emptyFolder(t), emptyFolder(t), emptyFolder(t)];
  for (const [path, each] of Object.entries({ ...files, 'core/program.js': text })) {
    for (const folder of [given, work]) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), each);
    }
  }
  withProgram(work, '.js', (compiled) => writeBundles(compiled, ['core/program'], made));
  writeFileSync(join(made, 'package.json'), files['package.json']!);
  return [given, made];
}

test('what is built gives what its sources give, whatever hides a name or stands beside a sign', async (t) => {
  const results = await Promise.all(built(t, program + many).map(async (folder): Promise<unknown> => {
    return (await import(pathToFileURL(join(folder, 'core/program.js')).href)).all();
  }));
  assert.deepEqual(results[1], results[0]);
});

test('a bundler may leave out each statement that is built', (t) => {
  const own = 'function own() { return (this && this.name) || 0; }';
  const [, made] = built(t, `export const now = Date.now();\nexport ${own}`);
  const text = readFileSync(join(made!, 'shepherd-store.js'), 'utf8');
  assert.match(text, /^const \w+=\/\* @__PURE__ \*\/\(\(\)=>\(Date\.now\(\)\)\)\(\);$/m);
  assert.match(text, /\(this&&this\.name\)\|\|0/);
});

for (const [name, text, message] of [
  ['takes an array apart', 'export const [a, b] = Date.now();', /can never be left out/],
  ['declares two names', 'export const a = Date.now(), b = Date.now();', /can never be left out/],
  ['only does something', 'Date.now();', /can never be left out/],
  ['is empty', 'export function f() { for (;;); }', /empty statement/],
  ['is a default export', 'export default 5;', /default export/],
] as const) {
  test(`the build refuses a statement that ${name}`, (t) => assert.throws(() => built(t, text), { message }));
}
