// A reporter for node:test that tells which tests did not run. `.ci/run` adds it to the README's command.
//
// A green exit proves little: Node 20 finds no test at all in these files and exits 0, a loop over an empty table
// reports nothing, and a skipped test passes. So the places where tests are declared are read from the source text, and
// at each of them at least one test must have ended, neither skipped nor left for later. Node says at which line and
// column a test was declared, and taking the types away moves nothing. So there is no number of tests to keep up to
// date.
import { globSync, readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/** Yields a line for each fault and, only if there is none, one that begins with "all ran". */
export default async function* allRan(events: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  const missing = declaredTests('test/**/*.ts');
  let faults = 0;
  let ended = 0;
  for await (const { type, data } of events) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details.type === 'suite') continue;
    ended += 1;
    const place = `${relative('.', data.file ?? '')}:${data.line}:${data.column}`;
    missing.delete(place);
    for (const [word, why] of [
      ['failed', type === 'test:fail'],
      ['skipped', data.skip],
      ['to do', data.todo],
    ] as const) {
      if (why === undefined || why === false) continue;
      faults += 1;
      yield `${word}: "${data.name}" at ${place}${typeof why === 'string' ? ` (${why})` : ''}\n`;
    }
  }
  for (const place of missing) yield `never ran: ${place}\n`;
  if (faults + missing.size === 0) yield `all ran: ${ended} tests\n`;
}

/**
 * The places, as path:line:column, where the call of a test begins; a test file without any counts as its own first
 * place.
 */
function declaredTests(pattern: string): Set<string> {
  // `test(`, `it(`, `t.test(`, `it.skip(` and the like, but not `/x/.test(`, `'test('` or a comment. Node reports the
  // last name.
  const call = /(?<![\w$.'"`])(?:it|(?:t\.)?test)(?:\.(?:only|skip|todo|expectFailure))?(?=\()/g;
  const places = new Set<string>();
  for (const path of globSync(pattern).sort()) {
    const before = places.size;
    for (const [index, line] of readFileSync(resolve(path), 'utf8').split('\n').entries()) {
      if (/^\s*(\/\/|\*|\/\*)/.test(line)) continue;
      for (const match of line.matchAll(call))
        places.add(`${path}:${index + 1}:${match.index + match[0].lastIndexOf('.') + 2}`);
    }
    if (places.size === before && path.endsWith('.test.ts')) places.add(`${path} declares no test`);
  }
  return places;
}
