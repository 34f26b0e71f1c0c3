// How much memory the walks over a whole log take: SHEPHERD_MEMORY_EVENTS=1000000 node --test
// test/faults/memory.test.ts
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { TestFolder } from '../support/folder.ts';

const count = Number(process.env['SHEPHERD_MEMORY_EVENTS'] ?? 200_000);

const walks: [name: string, code: string][] = [
  ['verifyAudit', '(await store.verifyAudit()).checked'],
  ['Ledger.verify', '(await ledger.verify()).checked'],
  ['verifyParity', '(await verifyParity(store, ledger)).ledgerCount'],
  ['replay', '(await replay(store, ledger)).skippedExisting'],
  ['rebuildDatabase', "(await rebuildDatabase(ledger, `${ledger.path}.db`)).events"],
];

/** How far the process rises above what it had when it was idle, at its highest, and what the walk gave. */
function measure(folder: TestFolder, code: string): { result: number; mebibytes: number } {
  const text = `
    import { readFileSync, writeFileSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    import { SqliteStore } from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)};
    import { Ledger, rebuildDatabase, replay,
    verifyParity } from ${JSON.stringify(new URL('../../lib/ledger/index.ts', import.meta.url).href)};
    const ledger = Ledger.open(${JSON.stringify(folder.file('audit.jsonl'))});
    const store = SqliteStore.open(${JSON.stringify(folder.file())}, { ledger });
    await setTimeout(200);
    writeFileSync('/proc/self/clear_refs', '5'); // the highest begins anew
    const idle = process.memoryUsage.rss();
    const result = ${code};
    // Not resourceUsage().maxRSS, which a process inherits from the one that started it.
    const highest = Number(/VmHWM:\\s*(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    console.log(JSON.stringify({ result, mebibytes: Math.round((highest - idle) / 2 ** 20) }));
    store.close();`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as { result: number; mebibytes: number };
}

test('no walk over a long log takes more than 24 MiB above an idle process', (t) => {
  const folder = new TestFolder(t, { checked: false }); // the walks are the check
  const store = SqliteStore.open(folder.file(), { ledger: Ledger.open(folder.file('audit.jsonl')) });
  for (let made = 1; made < count; ) { // ledger_attached is the first
    const size = Math.min(5_000, count - made);
    store.appendAudits(
      Array.from({ length: size }, () => ({
        event: { type: 'session_started', sessionId: `session-${made++}`, entryId: 'minecraft' },
      })),
    );
  }
  store.close();
  for (const [name, code] of walks) {
    const { result, mebibytes } = measure(folder, code);
    t.diagnostic(`${name} of ${count} events: ${mebibytes} MiB`);
    assert.equal(result, count, name);
    assert.ok(mebibytes <= 24, `${name}: ${mebibytes} MiB`);
  }
});
