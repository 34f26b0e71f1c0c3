// The files of lib/, and what each of them imports.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { root } from './project.ts';

export const sources = globSync('lib/**/*.ts', { cwd: root }).sort();

/** What a file imports, types included, as paths from the project's folder or the names of built-in modules. */
export function importsOf(path: string): string[] {
  const text = readFileSync(join(root, path), 'utf8');
  const hidden = /\bimport\(\s*[^'"\s]|\bcreateRequire\b|\brequire\(/;
  assert.doesNotMatch(text, hidden, `${path} imports something that cannot be read off`);
  return [...text.matchAll(/(?:^|[\s;}])(?:from|import)\s*\(?\s*(['"])(.*?)\1/gm)].map((match) => match[2]!)
    .map((specifier) => specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier);
}
