// A process of the pause matrix: loads the package once and does the jobs that its standard input names, one line each.
import { readSync } from 'node:fs';
import { type Job, loadLibrary, perform } from './pause-tasks.ts';

/** A line of the parent's, without an event loop; `undefined` at its end. */
function readLine(): string | undefined {
  const chunk = Buffer.alloc(1);
  let text = '';
  for (;;) {
    if (readSync(0, chunk, 0, 1, null) === 0) return undefined;
    if (chunk[0] === 10) return text;
    text += chunk.toString('latin1');
  }
}

const root = process.argv[2];
if (root !== undefined && process.env['NODE_TEST_CONTEXT'] === undefined) {
  const library = await loadLibrary(new URL(root));
  for (let line = readLine(); line !== undefined; line = readLine()) await perform(library, JSON.parse(line) as Job);
}
