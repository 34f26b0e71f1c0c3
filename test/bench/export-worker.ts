// How far an export of the log lifts the memory of the process above what it has when it is idle, at its highest, and
// how long it takes.
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const [path, subject] = process.argv.slice(2);
if (path !== undefined) {
  const { main } = await import('../../lib/cli/program.ts');
  const stdout = createWriteStream('/dev/null');
  const io = { stdout, stderr: process.stderr };
  await main(['export', 'cooldowns', '--db', path], io); // loads the command
  await setTimeout(200);
  writeFileSync('/proc/self/clear_refs', '5'); // VmHWM begins anew: starting takes more than being idle does
  const idle = process.memoryUsage.rss();
  const start = performance.now();
  if ((await main(['export', subject!, '--db', path], io)) !== 0) throw new Error('the export failed');
  const seconds = (performance.now() - start) / 1000;
  const highest = Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  console.log(JSON.stringify({ bytes: highest - idle, seconds }));
}
