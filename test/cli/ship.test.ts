// The command ship: every batch arrives, or is kept and sent again, whatever becomes of the program that takes it.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nextWaitMs } from '../../lib/cli/ship.ts';
import { type CoreEvent, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { Outbox, type Position } from '../../lib/modules/outbox/outbox.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { type Said, shepherd } from '../support/command.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { needs } from '../support/tools.ts';

const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

/** A folder with the store of so many events, closed again. */
function filled(t: TestContext, events: number, entryId = 'minecraft'): TestFolder {
  const folder = new TestFolder(t);
  append(folder, events, entryId);
  return folder;
}

function append(folder: TestFolder, events: number, entryId = 'minecraft'): void {
  using store = SqliteStore.open(folder.file());
  const event: CoreEvent = { type: 'launch_denied', entryId, reasons: [] };
  store.appendAudits(Array.from({ length: events }, () => ({ event })));
}

/** Sends to a command in a process of its own, from this process. */
function ship(folder: TestFolder, options: readonly string[], ...command: readonly string[]): Promise<Said> {
  return shepherd(['ship', '--db', folder.file(), '--to', 'centre', ...options, '--', ...command]);
}

/** A command that takes a batch: it goes to the end of the file `taken`, and then a script is run. */
function taking(folder: TestFolder, script = ''): string[] {
  return ['sh', '-c', `cat >> "$0" || exit 9\n${script}`, folder.file('taken')];
}

/** The same; it says by the file `taken.begun` that it has begun, and waits for `taken.go`, at most a minute. */
function waiting(folder: TestFolder): string[] {
  const wait = 'for i in $(seq 3000); do [ -e "$0.go" ] && break; sleep 0.02; done';
  return taking(folder, `touch "$0.begun"; ${wait}`);
}

/** The ids that have arrived, in their order, repeated ones too. */
function arrived(folder: TestFolder): number[] {
  const path = folder.file('taken');
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1); // a line without its end is just being written
  return lines.map((line) => JSON.parse(line) as { id?: number }).flatMap(({ id }) => id ?? []);
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

/** The last row that was acknowledged. */
function positionIn(folder: TestFolder): Position {
  using store = SqliteStore.openReadOnly(folder.file());
  return new Outbox(store, 'centre').position;
}

interface Running {
  child: ChildProcess;
  said(): Said;
  /** The exit code or the signal. */
  ended: Promise<number | string | null>;
}

/** The same in a process of its own, which can be killed. */
function start(
  t: TestContext, folder: TestFolder, options: readonly string[], command: readonly string[],
  before: readonly string[] = [],
): Running {
  const [file, ...args] = [
    ...before, process.execPath, program, 'ship', '--db', folder.file(), '--to', 'centre', ...options, '--', ...command,
  ];
  const child = spawn(file!, args, { env: plainEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { code: -1, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  const ended = new Promise<number | string | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  t.signal.addEventListener('abort', () => child.kill('SIGKILL'));
  return { child, said: () => said, ended };
}

/** Waits until something holds, for half a minute at most. */
async function until(holds: () => boolean, said: () => string): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    assert.ok(waited < 60_000, said()); // a follower that has failed a few times waits for longer than half a minute
    await sleep(10);
  }
}

test('all that is there is sent in batches, each with a header, and afterwards there is nothing to send', async (t) => {
  const folder = filled(t, 25);
  const { code, out, err } = await ship(folder, ['--batch', '10'], ...taking(folder, 'echo not shown'));
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^sent: rows 1 to 10, [\d.]+ KiB\nsent: rows 11 to 20, .*\nsent: rows 21 to 25, .*\n$/);
  const lines = readFileSync(folder.file('taken'), 'utf8').trimEnd().split('\n');
  assert.deepEqual([lines.length, arrived(folder)], [25 + 3, upTo(25)]);
  const again = await ship(folder, [], ...taking(folder));
  assert.deepEqual([again.code, again.out], [0, 'Nothing to send.\n']);
  append(folder, 1);
  assert.match((await ship(folder, [], ...taking(folder))).out, /^sent: row 26, /);
  assert.deepEqual(arrived(folder), upTo(26));
  assert.deepEqual(namesIn(folder.path).sort(), ['store.db', 'taken']);
});

test('--once sends one batch, and --json gives a line for each', async (t) => {
  const folder = filled(t, 25);
  const first = await ship(folder, ['--once', '--batch', '10', '--json'], ...taking(folder));
  const { id, hash } = positionIn(folder);
  assert.equal(id, 10);
  const { at, ...told } = JSON.parse(first.out) as { at: string };
  assert.ok(Date.parse(at) > 0);
  const { size: bytes } = statSync(folder.file('taken'));
  assert.deepEqual(told, { outbox: 'centre', sent: { from: 1, to: 10, anchor: { id, hash }, bytes } });
  const rest = await ship(folder, ['--batch', '10', '--json'], ...taking(folder));
  assert.equal(rest.out.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown).length, 2);
  assert.deepEqual(arrived(folder), upTo(25));
  assert.deepEqual(await ship(folder, ['--json'], ...taking(folder)), { code: 0, out: '', err: '' });
});

test('what a service writes meanwhile does not keep it from ending', async (t) => {
  const folder = filled(t, 5);
  const service = folder.open();
  const sending = ship(folder, ['--batch', '1'], ...taking(folder, 'sleep 0.05'));
  for (let count = 0; count < 200; count++) {
    service.appendAudit({ type: 'service_started' });
    await sleep(1);
  }
  assert.equal((await sending).code, 0);
  assert.deepEqual(arrived(folder), upTo(arrived(folder).length));
  assert.ok(arrived(folder).length >= 5 && arrived(folder).length < 205, `${arrived(folder).length}`);
});

test('everything behind -- is the command and its arguments, also what looks like an option or is empty', async (t) => {
  const folder = filled(t, 1);
  const args = ['--json', '-5', '--to', '', '--', '--help', 'a b', "it's", '$HOME'];
  const script = 'cat >/dev/null; for arg in "$@"; do echo "<$arg>" >> "$0"; done; exit 4';
  const { code, err } = await ship(folder, [], 'sh', '-c', script, folder.file('args'), ...args);
  assert.equal(code, 1);
  assert.match(err, /^shepherd-store: row 1 was not sent: sh ended with the exit code 4\n$/); // and no JSON
  assert.deepEqual(readFileSync(folder.file('args'), 'utf8').trimEnd().split('\n'), args.map((arg) => `<${arg}>`));
});

test('wrong use is named, and nothing is sent or made', async (t) => {
  const folder = filled(t, 1);
  const db = ['--db', folder.file()];
  const wrong: [argv: string[], said: RegExp][] = [
    [[...db, '--', 'cat'], /--to is missing: give a name\n/],
    [[...db, '--to', '--', 'cat'], /--to/],
    [[...db, '--to', 'centre'], /the command to run is missing: write it behind --, as in --to centre -- COMMAND\n/],
    [[...db, '--to', 'centre', '--'], /the command to run is missing/],
    [[...db, '--to', 'centre', '--', ''], /the command to run is empty/],
    [[...db, '--to', 'centre', 'cat'], /unexpected argument "cat"; the command to run stands behind --\n/],
    [[...db, '--to', 'centre', 'ssh', '-p', '22'], /Unknown option '-p'; the command to run stands behind --\n/],
    [[...db, '--to', 'centre', 'cat', '--', 'cat'], /unexpected argument "cat"\n/],
    [[...db, '--to', '../x', '--', 'cat'], /--to: name must be up to 64 letters/],
    [[...db, '--to', 'centre', '--batch', '0', '--', 'cat'], /--batch must be a whole number from 1 to 100000/],
    [[...db, '--to', 'centre', '--batch', '100001', '--', 'cat'], /--batch must be/],
    [[...db, '--to', 'centre', '--follow', '--once', '--', 'cat'], /--once does not go with --follow/],
    [[...db, '--to', 'centre', '--every', '30s', '--', 'cat'], /--every needs --follow/],
    [[...db, '--to', 'centre', '--follow', '--every', '0s', '--', 'cat'], /--every must be a duration/],
    [[...db, '--to', 'centre', '--follow', '--every', '999999h', '--', 'cat'], /--every must be a day at most/],
    [[...db, '--to', 'centre', '--remove', '--', 'cat'], /--remove takes no command/],
    [[...db, '--to', 'centre', '--remove', '--follow'], /--follow does not go with --remove/],
    [[...db, '--to', 'centre', '--remove', '--batch', '5'], /--batch does not go with --remove/],
  ];
  for (const [argv, said] of wrong) {
    const { code, out, err } = await shepherd(['ship', ...argv]);
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
    assert.match(err, said);
    assert.match(err, /^Usage: shepherd-store ship --to NAME \[options\] -- COMMAND \[ARG…\]$/m);
  }
  assert.deepEqual(namesIn(folder.path), ['store.db']);
  assert.equal(positionIn(folder).id, 0);
});

test('a store that is not there or is none is refused, and no lock is left there', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const absent = await ship(folder, [], 'cat');
  assert.deepEqual([absent.code, absent.out], [2, '']);
  assert.match(absent.err, /\(ERR_STORE_NOT_FOUND\)\n$/);
  writeFileSync(folder.file(), 'no store');
  assert.match((await ship(folder, ['--follow'], 'cat')).err, /\(ERR_STORE_NOT_A_STORE\)\n$/);
  assert.deepEqual(namesIn(folder.path), ['store.db']);
});

test('a batch is kept where the command fails, is killed, cannot be started or does not read it', async (t) => {
  const folder = filled(t, 1_000, 'x'.repeat(800));
  writeFileSync(folder.file('text'), '');
  const failing: [command: string[], said: RegExp][] = [
    [['sh', '-c', 'cat >/dev/null; exit 3'], /: sh ended with the exit code 3\n$/],
    [taking(folder, 'kill -9 $$'), /: sh was ended by SIGKILL\n$/],
    [taking(folder, 'kill -TERM $$'), /: sh was ended by SIGTERM\n$/],
    [['no-such-program'], /: no-such-program cannot be started: there is no such program\n$/],
    [[folder.file('text')], /text cannot be started: this user may not execute it\n$/],
    [['true'], /: true ended before it had read all of them\n$/],
    [['head', '-c', '1000'], /: head ended before it had read all of them\n$/],
  ];
  for (const [command, said] of failing) {
    const { code, out, err } = await ship(folder, ['--batch', '900'], ...command);
    assert.deepEqual([code, out], [1, ''], command.join(' '));
    assert.match(err, /^shepherd-store: rows 1 to 900 were not sent: /);
    assert.match(err, said);
    assert.equal(positionIn(folder).id, 0);
  }
  assert.equal((await ship(folder, [], ...taking(folder))).code, 0);
  assert.deepEqual(arrived(folder).slice(-1_000), upTo(1_000));
});

test('the standard error of the command is passed on, harmless, and its last line is in the message', async (t) => {
  const folder = filled(t, 1);
  const script = String.raw`cat >/dev/null; printf 'first \033[31m\n\nthe reason\007\n\n' >&2; exit 1`;
  const { err } = await ship(folder, [], 'sh', '-c', script);
  const reason = String.raw`the reason\x07`;
  assert.equal(err, [
    String.raw`first \x1b[31m`, '', reason, '',
    String.raw`shepherd-store: row 1 was not sent: sh ended with the exit code 1: ${reason}`, '',
  ].join('\n'));
  const machine = await ship(folder, ['--json'], 'sh', '-c', script);
  const lines = machine.err.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(lines.slice(0, 4), ['first \x1b[31m', '', 'the reason\x07', ''].map((command) => ({ command })));
  assert.partialDeepStrictEqual(lines[4], { error: { code: 'ERR_COMMAND_FAILED' } });
  const endlessLine = 'head -c 9999999 /dev/zero | tr "\\0" x >&2';
  const endless = await ship(folder, [], 'sh', '-c', `cat >/dev/null; ${endlessLine}; exit 1`);
  assert.match(endless.err, /exit code 1: x{500}…\n$/);
});

test('a process that the command leaves behind with its standard error open does not hold it up', async (t) => {
  const folder = filled(t, 1);
  const begun = performance.now();
  const { code } = await ship(folder, [], ...taking(folder, 'sleep 20 & exit 0'));
  assert.equal(code, 0);
  assert.ok(performance.now() - begun < 15_000);
});

test('killed between the end of the command and the word that it arrived, it sends the batch again', async (t) => {
  const folder = filled(t, 20);
  const killed = start(t, folder, ['--batch', '10'], taking(folder, 'kill -9 $PPID'));
  assert.equal(await killed.ended, 'SIGKILL');
  assert.deepEqual([arrived(folder), positionIn(folder).id], [upTo(10), 0]);
  assert.ok(namesIn(folder.path).includes('store.db-outbox-centre-lock')); // which is in nobody's way
  const { code } = await ship(folder, ['--batch', '10'], ...taking(folder));
  assert.equal(code, 0);
  assert.deepEqual(arrived(folder), [...upTo(10), ...upTo(20)]);
  assert.ok(!namesIn(folder.path).includes('store.db-outbox-centre-lock'));
});

test('with --follow it sends what is written later, and a signal ends it between two batches with 0', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const folder = filled(t, 20);
    const slow = waiting(folder);
    const running = start(t, folder, ['--follow', '--every', '1s', '--batch', '10'], slow);
    await until(() => existsSync(folder.file('taken.begun')), () => running.said().err);
    running.child.kill(signal);
    await sleep(100);
    writeFileSync(folder.file('taken.go'), '');
    assert.equal(await running.ended, 0, running.said().err);
    assert.match(running.said().out, /^sent: rows 1 to 10, [^\n]*\n$/);
    assert.deepEqual([arrived(folder), positionIn(folder).id], [upTo(10), 10]);

    const idle = start(t, folder, ['--follow', '--every', '1s'], slow);
    await until(() => idle.said().out.includes('rows 11 to 20'), () => idle.said().err);
    append(folder, 5);
    await until(() => idle.said().out.includes('rows 21 to 25'), () => idle.said().err);
    idle.child.kill(signal);
    assert.equal(await idle.ended, 0);
    assert.deepEqual([arrived(folder), positionIn(folder).id], [upTo(25), 25]);
  }
});

test('without --follow a signal ends it after the batch on its way, as one', async (t) => {
  const folder = filled(t, 20);
  const slow = waiting(folder);
  const running = start(t, folder, ['--batch', '10'], slow);
  await until(() => existsSync(folder.file('taken.begun')), () => running.said().err);
  running.child.kill('SIGTERM');
  await sleep(100);
  writeFileSync(folder.file('taken.go'), '');
  assert.equal(await running.ended, 'SIGTERM');
  assert.equal(positionIn(folder).id, 10);
});

test('with --follow a failure is told with the time of the next try, until the place is back', async (t) => {
  const folder = filled(t, 5);
  const command = taking(folder, '[ -e "$0.up" ] || { echo no route >&2; exit 7; }');
  const running = start(t, folder, ['--follow'], command);
  const failures = (): number => running.said().err.match(/were not sent/g)?.length ?? 0;
  await until(() => failures() >= 2, () => running.said().err);
  writeFileSync(folder.file('taken.up'), '');
  await until(() => running.said().out !== '', () => running.said().err);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
  const failure = 'no route\n'
    + 'shepherd-store: rows 1 to 5 were not sent: sh ended with the exit code 7: no route\n'
    + 'the next try is in \\d s, at \\d\\d:\\d\\d:\\d\\d\n';
  assert.match(running.said().err, new RegExp(`^(${failure}){2,}$`));
  assert.match(running.said().out, /^sent: rows 1 to 5, [^\n]*\n$/);
  assert.deepEqual(arrived(folder).slice(-5), upTo(5));
});

test('with --follow it goes on also where the store is away, and tells the next try beside the error', async (t) => {
  const folder = filled(t, 5);
  const away = `mv "$0" "$0.away"; exit 1`;
  const running = start(t, folder, ['--follow', '--json'], ['sh', '-c', `cat >/dev/null; ${away}`, folder.file()]);
  const lines = (): Record<string, unknown>[] => {
    return running.said().err.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  await until(() => lines().length >= 2, () => lines().join('\n'));
  const [failed, missing] = lines();
  assert.partialDeepStrictEqual(failed, { error: { code: 'ERR_COMMAND_FAILED' } });
  assert.partialDeepStrictEqual(missing, { error: { code: 'ERR_STORE_NOT_FOUND' } });
  for (const line of [failed, missing]) assert.ok(Date.parse(line!['nextTry'] as string) > Date.now() - 60_000);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
});

test('the waits after failures double from a second to 15 minutes, less up to a half that chance takes off', () => {
  assert.deepEqual([1, 2, 3, 4, 10].map((failures) => nextWaitMs(failures, 0)), [1e3, 2e3, 4e3, 8e3, 512e3]);
  assert.deepEqual([11, 12, 1_000, 100_000].map((failures) => nextWaitMs(failures, 0)), Array(4).fill(900e3));
  assert.deepEqual([1, 2, 1_000].map((failures) => nextWaitMs(failures, 1)), [500, 1e3, 450e3]);
  assert.equal(nextWaitMs(5, 0.5), 12e3);
});

test('a second one for the same name is refused, one for another name is not', async (t) => {
  const folder = filled(t, 5);
  const slow = waiting(folder);
  const running = start(t, folder, [], slow);
  await until(() => existsSync(folder.file('taken.begun')), () => running.said().err);
  const second = await ship(folder, [], 'cat');
  assert.deepEqual([second.code, second.out], [1, '']);
  assert.match(second.err, /another process sends the log of .*store\.db to centre \(ERR_STORE_BUSY\)\n$/);
  const removing = await shepherd(['ship', '--db', folder.file(), '--to', 'centre', '--remove']);
  assert.equal(removing.code, 1);
  const other = await shepherd(['ship', '--db', folder.file(), '--to', 'other', '--', 'sh', '-c', 'cat >/dev/null']);
  assert.equal(other.code, 0);
  // The store is not open while the command runs: what needs it alone is not held up.
  assert.equal((await shepherd(['vacuum', folder.file()])).code, 0);
  writeFileSync(folder.file('taken.go'), '');
  assert.equal(await running.ended, 0, running.said().err);
  assert.equal(positionIn(folder).id, 5);
});

for (const mode of ['without a ledger', 'with a ledger']) {
  test(`beside a service that writes, ${mode}, every row arrives once`, async (t) => {
    const folder = new TestFolder(t);
    const ledgerPath = mode === 'with a ledger' ? [folder.file('audit.jsonl')] : [];
    const service = new Worker(t, 'cli', ['write', folder.file(), ...ledgerPath]);
    await service.told(1);
    const running = start(t, folder, ['--follow', '--every', '1s', '--batch', '20'], taking(folder));
    await until(() => arrived(folder).length > 100, () => running.said().err);
    await service.told(service.lines.length + 20);
    running.child.kill('SIGTERM');
    assert.equal(await running.ended, 0, running.said().err);
    assert.equal(running.said().err, '');
    service.kill();
    await service.end();
    const options = mode === 'with a ledger' ? { ledger: Ledger.open(folder.file('audit.jsonl')) } : {};
    folder.open(options).close();
    assert.equal((await ship(folder, [], ...taking(folder))).code, 0);
    using store = SqliteStore.openReadOnly(folder.file());
    assert.deepEqual(arrived(folder), upTo(store.auditHead()!.id));
    assert.equal(store.recovery, undefined);
  });
}

test('a store that signs its events needs its key, which is told before anything is sent', async (t) => {
  const folder = new TestFolder(t);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const keyFile = folder.file('key.pem');
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const ledger = Ledger.open(folder.file('audit.jsonl'), { signingKey: privateKey });
  const store = SqliteStore.open(folder.file(), { ledger });
  for (let count = 0; count < 9; count++) store.appendAudit({ type: 'service_started' });
  store.close();
  ledger.close();
  const without = await ship(folder, [], ...taking(folder));
  assert.deepEqual([without.code, arrived(folder)], [2, []]);
  assert.match(without.err, /the store signs its events: give its private key by --key\n/);
  assert.equal((await ship(folder, ['--key', keyFile], ...taking(folder))).code, 0);
  using reader = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual((await reader.verifyAudit({ publicKey })).findings, []);
  assert.equal(arrived(folder).at(-1), reader.auditHead()?.id);
  const lines = readFileSync(folder.file('audit.jsonl'), 'utf8').replaceAll('"more":true,', ''); // as a rebuilt one
  assert.equal(readFileSync(folder.file('taken'), 'utf8'), lines);
});

test('who may not write to the store is told that before anything is sent', needs('root'), async (t) => {
  const folder = filled(t, 5);
  chmodSync(folder.path, 0o755);
  chmodSync(folder.file(), 0o644);
  const argv = ['ship', '--db', folder.file(), '--to', 'centre', '--', 'sh', '-c', 'cat >/dev/null; echo ran >&2'];
  const [line] = await new Worker(t, 'cli', ['look', JSON.stringify(argv)], { env: plainEnvironment() }).result();
  const { code, out, err } = JSON.parse(line!) as Said;
  assert.deepEqual([code, out], [2, '']);
  assert.match(err, /^shepherd-store: failed to lock the outbox centre: .*\(ERR_STORE_PERMISSION\)\n$/);
});

test('--remove removes the outbox, says so, and says where there is none', async (t) => {
  const folder = filled(t, 5);
  const remove = (...more: string[]): Promise<Said> => {
    return shepherd(['ship', '--db', folder.file(), '--to', 'centre', '--remove', ...more]);
  };
  assert.deepEqual(await remove(), { code: 0, out: 'Nothing was removed: there is no outbox centre.\n', err: '' });
  await ship(folder, [], ...taking(folder));
  assert.deepEqual(await remove(), {
    code: 0, out: 'removed: the outbox centre; nothing waits for it any more\n', err: '',
  });
  assert.deepEqual(JSON.parse((await remove('--json')).out), { outbox: 'centre', removed: false });
  await ship(folder, [], ...taking(folder));
  assert.deepEqual(arrived(folder), [...upTo(5), ...upTo(5)]);
});

test('a batch that arrives while a backup is restored is not noted, and what the log has now is sent', async (t) => {
  const folder = filled(t, 5);
  {
    using store = folder.open();
    await backup(store, folder.file('backup.db'));
  }
  append(folder, 15, 'tetris');
  const slow = waiting(folder);
  const sending = ship(folder, [], ...slow);
  await until(() => existsSync(folder.file('taken.begun')), () => 'the command was not started');
  await restore(folder.file('backup.db'), folder.file());
  writeFileSync(folder.file('taken.go'), '');
  assert.deepEqual(await sending, {
    code: 1,
    out: '',
    err: 'shepherd-store: rows 1 to 20 arrived, and the store was restored or renewed meanwhile\n',
  });
  assert.equal(positionIn(folder).id, 0);
  const { code } = await ship(folder, [], ...taking(folder));
  assert.equal(code, 0);
  assert.deepEqual(arrived(folder), [...upTo(20), ...upTo(5)]);
});

test('a place that is ahead of a restored backup is told once, and gets the rows of the log', async (t) => {
  const folder = filled(t, 20);
  await ship(folder, ['--once', '--batch', '1'], ...taking(folder));
  const behind = (): void => {
    const db = folder.raw();
    db.prepare('UPDATE outboxes SET id = 99, hash = ?').run('f'.repeat(64));
    db.close();
  };
  behind();
  const { out } = await ship(folder, ['--batch', '10'], ...taking(folder));
  const told = 'rewound: an older backup was restored, and centre has rows up to 99 from before that; '
    + 'it gets the rows from 1\n';
  assert.equal(out.replaceAll(/, [\d.]+ KiB/g, ''), `${told}sent: rows 1 to 10\nsent: rows 11 to 20\n`);
  behind();
  const machine = await ship(folder, ['--batch', '20', '--json'], ...taking(folder));
  assert.partialDeepStrictEqual(JSON.parse(machine.out), { sent: { from: 1, to: 20, rewound: 99 } });
});
