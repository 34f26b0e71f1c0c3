// The rooms of lib/ (lib/README.md): which may import which, no circles, and lines that can be read.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importsOf, sources } from '../support/imports.ts';
import { root } from '../support/project.ts';

/** The rooms by their height: each may import what is lower. The files that lie in no room have the name ''. */
const heights: Record<string, number> = {
  values: 0, core: 1, reading: 2, migrate: 2, verify: 2, recovery: 3, opening: 4, '': 5, ledger: 6, modules: 7,
  import: 8, cli: 9,
};

function roomOf(path: string): string {
  return /^lib\/([^/]+)\//.exec(path)?.[1] ?? '';
}

/** Whether a file may import another one. */
function isAllowed(from: string, to: string): boolean {
  const [room, other] = [roomOf(from), roomOf(to)];
  if (room !== other) return heights[room]! > heights[other]!;
  // Modules do not import each other, but what all of them share.
  const [module, used] = [from, to].map((path) => /^lib\/modules\/([^/]+)\//.exec(path)?.[1]);
  return room !== 'modules' || used === undefined || module === used;
}

test('every file lies in a room that is known, and every arrow goes down', () => {
  for (const path of sources) {
    assert.ok(roomOf(path) in heights, path);
    for (const imported of importsOf(path).filter((name) => name.startsWith('lib/'))) {
      assert.ok(isAllowed(path, imported), `${path} imports ${imported}`);
    }
  }
  assert.ok(!isAllowed('lib/core/log.ts', 'lib/reading/open.ts'));
  assert.ok(!isAllowed('lib/modules/runs/a.ts', 'lib/modules/facts/b.ts'));
});

/** A way from a file back to itself, types included. */
function circleIn(graph: Map<string, string[]>): string[] | undefined {
  const done = new Set<string>();
  const search = (path: string, way: string[]): string[] | undefined => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const next of graph.get(path) ?? []) {
      const circle = search(next, [...way, path]);
      if (circle) return circle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of graph.keys()) {
    const circle = search(path, []);
    if (circle) return circle;
  }
  return undefined;
}

test('no file imports itself by way of others', () => {
  assert.deepEqual(circleIn(new Map([['a', ['b']], ['b', ['c']], ['c', ['b']]])), ['b', 'c', 'b']);
  assert.equal(circleIn(new Map(sources.map((path) => [path, importsOf(path)]))), undefined);
});

test('no line of .build/, lib/ and test/ has more than 120 columns, and no file of lib/ more than 400 lines', () => {
  const wide = (text: string): number[] =>
    text.split('\n').flatMap((line, index) => ([...line].length > 120 ? [index + 1] : []));
  assert.deepEqual(wide(`${'x'.repeat(120)}\n${'x'.repeat(121)}`), [2]);
  for (const path of globSync(['{.build,lib,test}/**/*.ts', 'lib/**/*.sql', 'schema.sql'], { cwd: root })) {
    // Every store holds this line of a trigger, whose text has to be that of schema.sql.
    const text = readFileSync(join(root, path), 'utf8').replace(/^  WHERE json_extract.*NEW\.event_meta.*$/m, '');
    assert.deepEqual(wide(text), [], path);
    // The centre of a fleet is one file, so that whoever runs it has nothing else to fetch.
    if (path.startsWith('lib/') && path !== 'lib/fleet/postgresql.sql') assert.ok(text.split('\n').length <= 401, path);
  }
});
