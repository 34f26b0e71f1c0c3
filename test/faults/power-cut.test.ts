// The power is cut at every point, in a model: test/faults/. A sample of it runs here; `npm run faults` looks at all of
// it.
//
// SHEPHERD_FAULTS_STATES: about how many states of the store's own are looked at; 5,000 by default.
// SHEPHERD_FAULTS_SEED: repeats another run's choice. SHEPHERD_PART: which of the workloads and faults
// (test/support/part.ts).
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { renewWal } from '../../lib/recovery/found-wal.ts';
import { TestFolder } from '../support/folder.ts';
import { partOf } from '../support/part.ts';
import { needs } from '../support/tools.ts';
import { Disk } from './disk.ts';
import { count, type Done, jobs, runAll, untilFound } from './main.ts';
import { runPeer } from './peers.ts';
import { type Operation, record } from './trace.ts';

test(
  'after a power cut at any point nothing acknowledged is missing or there twice, and each fault that is put in is '
    + 'found',
  needs('strace'),
  async (t) => {
    const states = Number(process.env['SHEPHERD_FAULTS_STATES'] ?? 5_000);
    const seed = Number(process.env['SHEPHERD_FAULTS_SEED'] ?? 1);
    t.diagnostic(`SHEPHERD_FAULTS_SEED=${seed} SHEPHERD_FAULTS_STATES=${states}`);
    const all = untilFound(jobs(seed, states));
    const chosen = partOf(all);
    const done: Done[] = [];
    await runAll(chosen, (each) => {
      done.push(each);
      t.diagnostic(
        `${each.kind} ${each.name}: ${each.outcome.points} points, ${count(each, 'states')} states, `
          + `${count(each, 'lost')} lost, ${each.seconds.toFixed(0)} s`,
      );
    });
    const own = done.filter(({ kind }) => kind === 'workload');
    const total = own.reduce((sum, each) => sum + count(each, 'states'), 0);
    t.diagnostic(`${total} distinct states`);
    assert.deepEqual(
      own.flatMap(({ name, outcome }) => outcome.examples.map((example) => `${name}: ${example}`)),
      [],
    );
    assert.deepEqual(
      done.filter((each) => each.kind === 'fault' && count(each, 'lost') === 0).map(({ name }) => name),
      [],
      'faults that were not found',
    );
    assert.ok(total >= (Math.min(states, 5_000) * chosen.length) / all.length, `only ${total} states`);
  },
);

test(
  'a file that is written in place, or renamed without fsync, is found to lose what was acknowledged',
  needs('strace'),
  async () => {
    for (const name of ['writeFileSync', 'writeFileSync, renameSync']) {
      const { lost } = await runPeer(name, 1, 200, process.cwd());
      for (const [model, states] of Object.entries(lost)) assert.ok(states > 0, `${name}, ${model}`);
    }
  },
);

/** What a few lines of code do in the folder `in/`. */
function recordCode(folder: TestFolder, code: string): Promise<Operation[]> {
  mkdirSync(folder.file('in'), { recursive: true });
  return record({
    folder: folder.file('in'),
    command: [process.execPath, '-e', `const path = ${JSON.stringify(folder.file('in/file'))}; ${code}`],
    output: folder.file('trace'),
  });
}

test('a change of a file that the model does not know ends the recording', needs('strace', 'perl'), async (t) => {
  const folder = new TestFolder(t);
  await assert.rejects(recordCode(folder, "fs.symlinkSync('elsewhere', path)"), /symlink/);
  await assert.rejects(
    recordCode(folder, "fs.writeFileSync(path, 'a'); child_process.execFileSync('sync', ['-f', path])"),
    /syncfs/,
  );
  await assert.rejects(recordCode(folder, "fs.writeFileSync(path, 'a'); child_process.execFileSync('perl', ['-e', "
    + "'open(F, \"+<\", $ARGV[0]); syscall(9, 0, 4096, 3, 1, fileno(F), 0)', path])"), /shared mapping/);
});

test('with nothing lost the model is the real folder, whatever way it was written', needs('strace'), async (t) => {
  const folder = new TestFolder(t);
  const operations = await recordCode(folder, `
    fs.writeFileSync(path, 'begin');
    fs.appendFileSync(path, ' and end');
    fs.truncateSync(path, 7);
    const fd = fs.openSync(path, 'r+');
    fs.writevSync(fd, [Buffer.from('x'), Buffer.from('yz')], 20);
    fs.writevSync(fd, [Buffer.from('B')]);
    fs.closeSync(fd);
    fs.copyFileSync(path, path + '-copy');
    fs.linkSync(path, path + '-link');
    fs.renameSync(path, path + '-renamed');
    fs.mkdirSync(path + '-folder');
    fs.writeFileSync(path + '-folder/inner', 'inner');
    fs.unlinkSync(path + '-link');
    fs.promises.writeFile(path + '-later', 'by a thread');`);
  const start = folder.file('empty');
  mkdirSync(start);
  const disk = new Disk(start, 'strict', folder.file('in'));
  for (const operation of operations) disk.apply(operation);
  const real = new Disk(folder.file('in'), 'strict');
  const contents = ({ names }: Disk): unknown[] =>
    [...names].map(([path, entry]) => [path, entry === 'folder' ? entry : entry.cache.toString('latin1')]).sort();
  assert.deepEqual(contents(disk), contents(real));
  assert.equal(disk.names.size, 5);
});

/** A file `a` in the model, of 8 KiB that are durable. */
function aDisk(t: TestContext): { disk: Disk; path: string; a: () => { cache: Buffer; durable: Buffer } } {
  const folder = new TestFolder(t, { checked: false });
  writeFileSync(folder.file('a'), Buffer.alloc(8_192, 'o'));
  const disk = new Disk(folder.path, 'strict');
  const path = folder.file('a');
  return { disk, path, a: () => disk.names.get(path) as { cache: Buffer; durable: Buffer } };
}

test('what an fsync that failed was to write stays in the cache and is on the disk no more by a later one', (t) => {
  const { disk, path, a } = aDisk(t);
  disk.apply({ type: 'write', path, offset: 0, data: Buffer.from('lost') });
  disk.apply({ type: 'sync', path, failed: true });
  disk.apply({ type: 'write', path, offset: 4_096, data: Buffer.from('kept') });
  disk.apply({ type: 'sync', path, failed: false });
  assert.equal(a().cache.toString('latin1', 0, 4), 'lost');
  assert.equal(a().durable.toString('latin1', 0, 4), 'oooo');
  assert.equal(a().durable.toString('latin1', 4_096, 4_100), 'kept');
  // Its page, changed again, is written whole.
  disk.apply({ type: 'write', path, offset: 100, data: Buffer.from('x') });
  disk.apply({ type: 'sync', path, failed: false });
  assert.equal(a().durable.toString('latin1', 0, 4), 'lost');
});

test('a name is durable with its folder; in the kinder model with any fsync', (t) => {
  const folder = new TestFolder(t, { checked: false });
  writeFileSync(folder.file('a'), 'a');
  for (const model of ['strict', 'kind'] as const) {
    const disk = new Disk(folder.path, model);
    disk.apply({ type: 'rename', from: folder.file('a'), path: folder.file('b') });
    disk.apply({ type: 'sync', path: folder.file('b'), failed: false });
    assert.deepEqual([...disk.durableNames.keys()].map((path) => path.slice(-1)), [model === 'strict' ? 'a' : 'b']);
    disk.apply({ type: 'sync', path: folder.path, failed: false });
    assert.deepEqual([...disk.durableNames.keys()], [folder.file('b')]);
  }
});

test('a copy of the -wal that a power cut left unfinished is made anew, and one that cannot be made leaves the -wal '
  + 'as it is', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file();
  folder.open().close();
  writeFileSync(`${path}-wal`, 'frames');
  writeFileSync(`${path}-wal.new`, 'fra');
  renewWal(path);
  assert.deepEqual(readdirSync(folder.path).sort(), ['store.db', 'store.db-wal']);
  mkdirSync(join(folder.path, 'store.db-wal.new', 'in the way'), { recursive: true });
  assert.throws(() => renewWal(path), { code: 'ERR_FS_EISDIR' });
});
