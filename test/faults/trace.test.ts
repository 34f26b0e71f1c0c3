// What the tests read from a trace of system calls.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { TestFolder } from '../support/folder.ts';
import { readTrace } from '../support/trace.ts';

test('the calls of a trace are numbered by name and thread, as strace counts them to make the nth one fail', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const output = folder.file('trace');
  writeFileSync(output, [
    '7 write(3</a>, "x", 1 <unfinished ...>',
    '8 write(9<anon_inode:[eventfd]>, "\\1", 8) = 8',
    '7 <... write resumed>) = 1',
    '7 --- SIGCHLD {si_signo=SIGCHLD} ---',
    '7 fsync(3</a>) = 0',
    '7 write(3</a>, "y", 1) = 1',
    '8 write(9<anon_inode:[eventfd]>, "\\1", 8) = ?',
    '',
  ].join('\n'));
  const calls = readTrace(output).map(({ name, nth, path, result }) => ({ name, nth, path, result }));
  assert.deepEqual(calls, [
    { name: 'write', nth: 1, path: '/a', result: 1 },
    { name: 'write', nth: 1, path: 'anon_inode:[eventfd]', result: 8 },
    { name: 'fsync', nth: 1, path: '/a', result: 0 },
    { name: 'write', nth: 2, path: '/a', result: 1 },
    { name: 'write', nth: 2, path: 'anon_inode:[eventfd]', result: NaN },
  ]);
});
