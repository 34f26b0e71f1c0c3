#!/usr/bin/env node
// The command `shepherd-store` as it is started. The program is loaded once it is known that this Node can load it: an
// older one fails at its modules and its syntax, before any line runs.
import { nodeProblem } from '../node-version.ts';

const problem = nodeProblem(process.versions.node);
if (problem !== undefined) {
  const code = 'ERR_STORE_UNSUPPORTED';
  const asJson = JSON.stringify({ error: { code, message: problem } });
  process.stderr.write(`${process.argv.includes('--json') ? asJson : `shepherd-store: ${problem} (${code})`}\n`);
  process.exitCode = 1;
} else if (import.meta.main) {
  // Also true where npm's link in a bin folder was started.
  void import('./program.ts').then(({ run }) => run());
}
