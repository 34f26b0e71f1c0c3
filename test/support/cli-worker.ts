// Processes that the tests of the command need beside their own: a service that writes, and a user who may only read.
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { main } from '../../lib/cli/program.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { tell } from './child.ts';

/** Writes an event and usage again and again until it is killed; to a ledger as well where one is given. */
async function write(path: string, ledgerPath?: string): Promise<void> {
  using store = SqliteStore.open(path, ledgerPath === undefined ? {} : { ledger: Ledger.open(ledgerPath) });
  for (let count = 1; ; count++) {
    store.appendAudit({ type: 'policy_loaded', entryCount: count });
    store.addUsage('busy', '2026-11-21', 1_000);
    store.saveSnapshot({ timestamp: new Date() });
    tell(String(count));
    await sleep(5);
  }
}

/** Runs commands as nobody, and tells of each its exit code, its output and its errors, as JSON. */
async function look(...commands: string[]): Promise<void> {
  // Node's binary may lie where that user cannot execute it, so the user is changed here.
  if (process.getuid?.() === 0) {
    process.setgroups?.([]);
    process.setgid?.(65534);
    process.setuid?.(65534);
  }
  for (const command of commands) {
    const said = { out: '', err: '' };
    const stream = (name: 'out' | 'err'): NodeJS.WritableStream => new Writable({
      write(chunk: Buffer, _encoding, done) {
        said[name] += chunk.toString();
        done();
      },
    });
    const code = await main(JSON.parse(command) as string[], { stdout: stream('out'), stderr: stream('err') });
    tell(JSON.stringify({ code, ...said }));
  }
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'write') await write(rest[0]!, rest[1]);
else if (mode === 'look') await look(...rest);
