// A stack trace begins at the line that called this package, and its constructors say what to call instead.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SqliteStore, StoreError } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { TestFolder } from '../support/folder.ts';

const here = fileURLToPath(import.meta.url);

/** The frames of the error with which a call fails. */
async function framesOf(call: () => unknown): Promise<string[]> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof StoreError);
    const [header, ...frames] = error.stack!.split('\n');
    assert.equal(header, `StoreError: ${error.message}`);
    return frames;
  }
  throw new Error('it did not fail');
}

test('the stack of every kind of error begins at the caller', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' }, { eventId: 'once' });
  folder.raw().exec("INSERT INTO usage VALUES ('a', '2026-11-21', 9007199254740992, 0)");
  const calls: Record<string, () => unknown> = {
    'a bad argument': () => store.addUsage('', '2026-11-21', 1),
    'a bad item of a list': () => store.getStatus([''], '2026-11-21'),
    'a bad field of an event': () => store.appendAudit({ type: 'x', value: NaN } as never),
    'a file that is not there': () => SqliteStore.openReadOnly(folder.file('nowhere.db')),
    'a folder in the place of a file': () => SqliteStore.open(folder.path),
    'what SQLite says': () => store.getUsage('a', '2026-11-21'),
    'a conflict': () => store.appendAudit({ type: 'service_started' }, { eventId: 'once' }),
    'an error inside a transaction': () => store.transaction(() => store.addUsage('a', '', 1)),
    'a step that would lose something': () => SqliteStore.migrate(folder.file(), 0),
    'a promise that is rejected at once': () => store.verifyAudit({ anchor: 5 as never }),
    'a ledger': () => Ledger.open(folder.path),
    'a module': () => new FactStore(store).getFact('', '', ''),
  };
  for (const [name, call] of Object.entries(calls)) {
    const [first] = await framesOf(call);
    assert.ok(first?.includes(here), `${name}: ${first}`);
  }
  folder.raw().exec('DELETE FROM usage');
});

test('what happened inside is told by the cause', () => {
  assert.throws(() => SqliteStore.openReadOnly('/nowhere/store.db'), (error: StoreError) => {
    return (error.cause as Error).stack!.includes('/lib/reading/open.ts');
  });
});

/** Calls itself before it calls. */
function deeply(depth: number, call: () => unknown): unknown {
  return depth === 0 ? call() : deeply(depth - 1, call);
}

test('it has as many frames as every other, and the limit is what it was', async (t) => {
  using store = SqliteStore.inMemory();
  const { stackTraceLimit } = Error;
  t.after(() => (Error.stackTraceLimit = stackTraceLimit));
  for (const limit of [0, 1, 10, 100]) {
    Error.stackTraceLimit = limit;
    const frames = await framesOf(() => deeply(200, () => store.clearCooldown('')));
    assert.equal(frames.length, limit);
    assert.ok(frames.every((frame) => frame.includes(here)));
    assert.equal(Error.stackTraceLimit, limit);
  }
});

test('whoever replaces what a stack is gets what he asked for', (t) => {
  const { prepareStackTrace, stackTraceLimit } = Error;
  t.after(() => Object.assign(Error, { prepareStackTrace, stackTraceLimit }));
  const stackOf = (): unknown => new StoreError('ERR_STORE_BUSY', 'busy').stack;
  Error.prepareStackTrace = (_error, frames) => frames;
  assert.ok(Array.isArray(stackOf()));
  Error.prepareStackTrace = () => 'no frames';
  assert.equal(stackOf(), 'no frames');
  Error.prepareStackTrace = prepareStackTrace;
  Error.stackTraceLimit = undefined as never;
  assert.equal(stackOf(), undefined);
});

test('in a bundle, where all frames are of one file, the stack stays whole', async (t) => {
  const folder = new TestFolder(t);
  cpSync(new URL('../../lib/values/stack.ts', import.meta.url), folder.file('bundle.ts'));
  const bundle = pathToFileURL(folder.file('bundle.ts')).href;
  const { beginAtCaller } = (await import(bundle)) as typeof import('../../lib/values/stack.ts');
  const error = new Error('a');
  const { stack } = error;
  beginAtCaller(error);
  assert.equal(error.stack, stack);
});

test('a constructor that is not for callers says what to use, and opens nothing', (t) => {
  const folder = new TestFolder(t);
  const construct = (subject: unknown, ...args: unknown[]): unknown => Reflect.construct(subject as () => void, args);
  const path = folder.file();
  for (const [subject, message] of [[SqliteStore, /SqliteStore\.open\(path\)/], [Ledger, /Ledger\.open\(path\)/]]) {
    for (const args of [[path], [path, {}], [], [{}], [null, undefined]]) {
      assert.throws(() => construct(subject, ...args), { code: 'ERR_STORE_INVALID_ARGUMENT', message });
    }
  }
});
