// The benchmark runs, and measures everything that it promises; what comes out is not asserted.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyFolder, node, readJson, root } from '../support/project.ts';
import { needs } from '../support/tools.ts';

const targets = {
  'durable append': '≥ 0.9',
  'durable addUsage': '≥ 0.95',
  'end of a session': '≥ 2.5',
  'bulk append, an event': '≥ 0.5',
  getUsage: '≥ 0.95',
  getCooldownUntil: '≥ 0.95',
  'getRecentAudits(100)': '≥ 1',
  'getStatus of 50 entries': '≥ 3',
  'evaluateAll of 50 entries in 5 groups': '≤ 10',
  'report of # days of 40 entries': '≤ 6',
  'page of that report': '≤ 2000',
  saveSnapshot: '≥ 0.8',
  'process start to first durable write': '≤ 1.25',
  'memory after # operations': '≤ 4',
  'fsyncs of a durable operation': '≤ 1',
  'fsyncs of a transaction': '≤ 1',
  'fsyncs that a snapshot adds': '≤ 2',
  'fsyncs that a ledger adds': '≤ 1',
  'bytes written per addUsage': '≤ 1.05',
  'bytes written per append': '≤ 1.05',
  'bytes written per end of session': '≤ 1.05',
  'verifyAudit over # events, an event': '≥ 0.5',
  'memory of verifyAudit over # events, above idle': '≤ 32',
  'memory of Ledger.verify over # events, above idle': '≤ 32',
  'memory of verifyParity over # events, above idle': '≤ 32',
  'memory of replay over # events, above idle': '≤ 32',
  'memory of rebuildDatabase over # events, above idle': '≤ 32',
  'longest wait of a service, # events archived': '≤ 500',
  'memory above idle, # events archived': '≤ 32',
  'largest -wal, # events archived': '≤ 16',
  'longest wait of a service, # events archived with a ledger': '≤ 500',
  'memory above idle, # events archived with a ledger': '≤ 32',
  'largest -wal, # events archived with a ledger': '≤ 16',
  'export of # events as CSV, an event': '≥ 0.2',
  'memory of an export of # events, above idle': '≤ 32',
  'memory of an export of as many sessions, above idle': '≤ 32',
  'open at # rows': '≤ 1.2',
  'getRecentAudits(100) at # rows': '≤ 1.2',
  'getUsage at # rows': '≤ 1.2',
  'appendAudit at # rows': '≤ 1.2',
  'packed tarball': '≤ 150',
  'the core alone, bundled and minified': '≤ 85',
  'localDay alone, bundled and minified': '≤ 3',
  'runtime dependencies': '≤ 0',
};

test('the benchmark measures every row of its table, and says which peers are missing', (t) => {
  const folder = emptyFolder(t);
  const json = join(folder, 'result.json');
  const { status, stdout, stderr } = node(root, 'test/bench/main.ts', '--quick', '--folder', folder, '--json', json);
  assert.equal(status, 0, stderr);
  const { rows } = readJson(json) as {
    rows: {
      what: string;
      peer: string;
      ours: number | null;
      theirs?: number;
      value?: number;
      target?: string;
      isMet?: boolean;
    }[];
  };
  const judged = rows.filter(({ target }) => target !== undefined);
  assert.deepEqual(
    Object.fromEntries(
      judged.map(({ what, target }) => [what.replace(/ \d[\d,]* (?=operations|events|rows|days)/, ' # '), target]),
    ),
    targets,
  );
  assert.equal(judged.length, Object.keys(targets).length);
  const [{ skip }, { skip: unbundled }] = [needs('strace'), needs('esbuild')];
  if (skip) t.diagnostic(`fsyncs are ${skip}`);
  if (unbundled) t.diagnostic(`bundles are ${unbundled}`);
  for (const { what, peer, ours, value, isMet } of rows) {
    if ((skip && what.startsWith('fsyncs')) || (unbundled && what.includes('bundled'))) {
      assert.equal(ours, null, what);
      continue;
    }
    assert.equal(typeof ours, 'number', what);
    assert.ok(stdout.includes(`| ${what} `), what);
    const isMissing = peer.endsWith(' (missing)');
    assert.equal(isMissing, /better-sqlite3|write-file-atomic|lowdb/.test(peer), what);
    assert.equal(typeof value, isMissing ? 'undefined' : 'number', what);
    if (isMissing) assert.equal(isMet, undefined, what);
  }
});
