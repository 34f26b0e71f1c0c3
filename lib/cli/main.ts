#!/usr/bin/env node
// The command `shepherd-store` as it is started. It loads the program only after it has checked the version of Node: an
// older Node fails at the program's modules and syntax before any line of it runs, and could not say why.
import { nodeProblem } from '../values/node-version.ts';

const problem = nodeProblem(process.versions.node);
if (problem !== undefined) {
  const code = 'ERR_STORE_UNSUPPORTED';
  const asJson = JSON.stringify({ error: { code, message: problem } });
  process.stderr.write(`${process.argv.includes('--json') ? asJson : `shepherd-store: ${problem} (${code})`}\n`);
  process.exitCode = 1;
} else if (import.meta.main) {
  // `import.meta.main` is also true when npm's link in a bin folder was started.
  void import('./program.ts').then(({ run }) => run());
}
