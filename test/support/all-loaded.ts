// A reporter for node:test that tells which files of lib/ no test loads: Node's coverage does not count such a file at
// all, so without this a new module without any test would leave the percentages as they are. `.ci/run` adds it to the
// coverage report.
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/** Yields a line for each file that was not loaded and, only if there is none, one that begins with "all loaded". */
export default async function* allLoaded(events: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  const loaded = new Set<string>();
  for await (const { type, data } of events) {
    if (type === 'test:coverage') for (const file of data.summary.files) loaded.add(file.path);
  }
  const missing = globSync('lib/**/*.ts').filter((path) => !loaded.has(resolve(path)) && hasCode(path));
  for (const path of missing) yield `never loaded: ${path}\n`;
  if (missing.length === 0) yield `all loaded: ${loaded.size} files\n`;
}

/** Importing a file that has only types is erased, so that it never loads; nothing in it could be covered either. */
function hasCode(path: string): boolean {
  return /\S/.test(stripTypeScriptTypes(readFileSync(path, 'utf8')).replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, ''));
}
