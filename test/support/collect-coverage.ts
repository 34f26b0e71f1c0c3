// Puts V8's raw coverage of an earlier run, which RAW_COVERAGE names, where the run of node:test that this file is part
// of looks for its own. So `.ci/run` gets Node's coverage report from the run of the README's command, which knows
// nothing about coverage, and no test has to run once more for it. Without RAW_COVERAGE it does nothing.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const from = process.env['RAW_COVERAGE'];
const to = process.env['NODE_V8_COVERAGE'];

if (from !== undefined && to !== undefined) {
  const lib = new URL('../../lib/', import.meta.url).href;
  for (const name of readdirSync(from)) {
    const result = coverageOf(readFileSync(join(from, name), 'utf8')).filter(({ url }) => url.startsWith(lib));
    if (result.length > 0) writeFileSync(join(to, name), JSON.stringify({ result }));
  }
}

/** A process that was killed while it wrote leaves half a file: it covers nothing, as one that was killed before. */
function coverageOf(text: string): { url: string }[] {
  try {
    return (JSON.parse(text) as { result: { url: string }[] }).result;
  } catch {
    return [];
  }
}
