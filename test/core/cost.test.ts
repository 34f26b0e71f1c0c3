// What operations cost in the things that are scarce on the machine, counted from outside by strace: syncs, bytes
// written and statements. It is left out where there is no strace.
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { needs } from '../support/tools.ts';
import { readTrace, type SystemCall, tracing } from '../support/trace.ts';

const count = 500;

// Over 500 operations: how many frames (4,096 bytes of page and 24 of header) go to the -wal, and how many statements
// run. The last frame of a commit is written twice: psow=0 fills up the sector, but for the commit that ends where a
// sector does, one in 512 frames: which operation meets that goes by the pages of all before it. A number that rises is
// a cost to be explained, one that falls is to be written down here.
const expected: Record<string, { frames: number; statements: number }> = {
  appendAudit: { frames: 1042, statements: 2015 },
  'appendAudit with an eventId': { frames: 1565, statements: 2010 },
  'addUsage to a total': { frames: 1002, statements: 2010 },
  'addUsage of a new entry': { frames: 2066, statements: 2010 },
  setCooldownUntil: { frames: 2090, statements: 2010 },
  clearCooldown: { frames: 2079, statements: 2010 },
  'appendAudits of 50': { frames: 2748, statements: 26750 },
  'clearCooldown of none': { frames: 0, statements: 2010 },
  'transaction of nothing': { frames: 0, statements: 1505 },
  'transaction of 2': { frames: 1529, statements: 4533 },
  'transaction of 40': { frames: 2399, statements: 62000 },
  'a session from start to end': { frames: 2816, statements: 17628 },
  'two days in one transaction': { frames: 1502, statements: 4533 },
  saveSnapshot: { frames: 1000, statements: 6053 },
  getUsage: { frames: 0, statements: 500 },
  getUsageRange: { frames: 0, statements: 500 },
  getUsageForDay: { frames: 0, statements: 500 },
  getCooldownUntil: { frames: 0, statements: 500 },
  listCooldowns: { frames: 0, statements: 500 },
  getStatus: { frames: 0, statements: 500 },
  'getRecentAudits(100)': { frames: 0, statements: 500 },
  auditHead: { frames: 0, statements: 500 },
  'iterateAudits over 100': { frames: 0, statements: 1000 },
  loadSnapshot: { frames: 0, statements: 1500 },
  isHealthy: { frames: 0, statements: 1500 },
  health: { frames: 0, statements: 6500 },
};

// Every durable operation: one sync of the -wal, and what the snapshot's plain file needs beside it.
const plain = ['-wal'];
const withFile = ['temporary file', '-wal', 'rename', 'folder'];
const durable: Record<string, string[]> = {
  appendAudit: plain,
  'appendAudit with an eventId': plain,
  'appendAudits of 50': plain,
  'addUsage to a total': plain,
  'addUsage of a new entry': plain,
  setCooldownUntil: plain,
  clearCooldown: plain,
  'transaction of 2': plain,
  'transaction of 40': plain,
  'a session from start to end': withFile,
  'two days in one transaction': plain,
  saveSnapshot: withFile,
};

const calls = [
  'fsync',
  'fdatasync',
  'sync_file_range',
  'write',
  'writev',
  'pwrite64',
  'pwritev',
  'ftruncate',
  'fallocate',
  '/^rename',
  '/^unlink',
];

/** What one phase of the worker did to the folder: the calls of each operation, and its statements. */
interface Phase {
  operations: SystemCall[][];
  statements: number;
}

/** The phases by name, from the dots and words that the worker told between its system calls. */
function phasesOf(trace: SystemCall[], folder: string): Map<string, Phase> {
  const phases = new Map<string, Phase>();
  let phase: Phase | undefined;
  let current: SystemCall[] = [];
  for (const call of trace) {
    const [, word, rest = ''] = /^1<[^>]*>, "(begin|statements|\.) ?(.*?)\\n"/.exec(call.args) ?? [];
    if (word === 'begin') phases.set(rest, (phase = { operations: [], statements: 0 }));
    else if (word === '.') phase?.operations.push(current);
    else if (word === 'statements') phase!.statements = Number(rest);
    if (word !== undefined) current = [];
    else if (call.path.startsWith(folder)) current.push(call);
  }
  return phases;
}

/** The part of a call's file in the store. */
function partOf({ path }: SystemCall, folder: string): string {
  if (path === folder) return 'folder';
  return path.endsWith('.tmp')
    ? 'temporary file'
    : basename(path).replace('store.db-', '-').replace('store.db', 'database').replace('store.snapshot.json', 'file');
}

const isSync = ({ name }: SystemCall): boolean => /sync/.test(name);
/** SQLite begins a -wal anew after a checkpoint, with a header of 32 bytes at its beginning, which it syncs. */
const isWalHeader = (call: SystemCall): boolean => call.path.endsWith('-wal') && call.args.endsWith(', 32, 0');

function framesOf({ operations }: Phase): number {
  const writes = operations
    .flat()
    .filter((call) => call.path.endsWith('-wal') && call.name === 'pwrite64' && !isWalHeader(call));
  return writes.reduce((bytes, { result }) => bytes + result, 0) / (4096 + 24);
}

/**
 * The syncs and renames of an operation in order, without those of a checkpoint and of the new beginning of the -wal
 * after it.
 */
function syncsOf(operation: SystemCall[], folder: string): string[] {
  const header = operation.findIndex(isWalHeader);
  const steps: string[] = [];
  for (const [index, call] of operation.entries()) {
    const part = partOf(call, folder);
    if (part === 'database' && isSync(call)) steps.splice(steps.lastIndexOf('-wal'), 1); // it synced the -wal first
    else if (isSync(call) && !(header >= 0 && index === header + 1)) steps.push(part);
    else if (call.name.startsWith('rename')) steps.push('rename');
  }
  return steps;
}

test('operations cost the syncs, frames and statements that are written down here', needs('strace'), async (t) => {
  const folder = new TestFolder(t);
  const output = folder.file('trace');
  const command = tracing(output, calls, '--seccomp-bpf');
  await new Worker(t, 'cost', [folder.file(), String(count)], { command, env: plainEnvironment() }).result();
  const phases = phasesOf(readTrace(output), folder.path);
  const steps = (name: string): string[] =>
    phases
      .get(name)!
      .operations[0]!.map((call) => `${call.name} ${partOf(call, folder.path)}`)
      .filter((step) => !/pwrite64|shm/.test(step));
  const checkpoints = ({ operations }: Phase): number =>
    operations.flat().filter((call) => isSync(call) && partOf(call, folder.path) === 'database').length;
  const once = ['make', 'first write', 'close', 'open', 'write after open', 'close again'];

  await t.test(
    'every durable operation is synced once in the -wal, before it returns; a snapshot also its file and folder, in '
      + 'order',
    () => {
      for (const [name, due] of Object.entries(durable)) {
        const { operations } = phases.get(name)!;
        assert.equal(operations.length, count, name);
        for (const [index, operation] of operations.entries())
          assert.deepEqual(syncsOf(operation, folder.path), due, `${name} ${index}`);
      }
    },
  );

  await t.test('what changes nothing writes nothing', () => {
    const reads = [...phases].filter(([name]) => !(name in durable) && !once.includes(name));
    assert.ok(reads.length >= 14);
    for (const [name, { operations }] of reads) {
      assert.equal(operations.length, count, name);
      assert.deepEqual(operations.flat(), [], name);
    }
  });

  await t.test('the frames in the -wal and the statements of each operation are as few as they were', () => {
    const found = [...phases].filter(([name]) => !once.includes(name)).map(([name, phase]) => {
      return [name, { frames: framesOf(phase), statements: phase.statements - checkpoints(phase) }];
    });
    assert.deepEqual(Object.fromEntries(found), expected);
  });

  await t.test(
    'opening a store that was closed well costs one sync, of the folder; the first write begins the -wal',
    () => {
      assert.deepEqual(steps('open'), ['fsync folder']);
      assert.deepEqual(steps('write after open'), ['fsync -wal', 'fsync folder', 'fsync -wal']);
      assert.ok(phases.get('open')!.statements < 50);
    },
  );

  await t.test('closing secures the -wal and then the database once, and leaves one file', () => {
    for (const name of ['close', 'close again'])
      assert.deepEqual(steps(name), ['fsync -wal', 'ftruncate database', 'fsync database', 'unlink -wal']);
  });

  await t.test('a checkpoint comes only after its thousand frames', () => {
    for (const [name, phase] of phases) {
      if (!once.includes(name)) assert.ok(checkpoints(phase) <= Math.ceil(framesOf(phase) / 1_000), name);
    }
  });
});
