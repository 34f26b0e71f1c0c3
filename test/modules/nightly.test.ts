// A service that a timer starts every night: what is to be done every day or week is done every night or week.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { randomNumbers } from '../support/values.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const intervals = { lint: dayMs, docs: 7 * dayMs };

test('a nightly timer that starts within half an hour processes the project each night of a month, and once', (t) => {
  const { seed, between } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  const clocks = new Clocks('2026-11-01T00:00:00Z');
  const store = new TestFolder(t, { inMemory: true }).open(clocks.options);
  const projects = new ProjectStore(store, { timeZone: 'UTC' });
  const done: Record<string, number[]> = { lint: [], docs: [] };
  const record = (taskType: string, night: number): void => {
    projects.recordTaskRun('/a', taskType);
    done[taskType]!.push(night);
  };
  for (let night = 0; night < 30; night++) {
    const context = `seed ${seed}, night ${night}`;
    clocks.set('2026-11-01T02:00:00Z');
    clocks.pass(night * dayMs + between(-30 * minuteMs, 30 * minuteMs));
    const startedAt = new Date(clocks.wall);
    assert.equal(projects.claimProjectRun('/a'), true, context);
    clocks.pass(between(0, 10 * minuteMs));
    assert.equal(projects.claimProjectRun('/a'), false, `${context}: another timer`);
    const due = projects.due({ intervals }).map(({ taskType }) => taskType);
    for (const [taskType, intervalMs] of Object.entries(intervals)) {
      assert.equal(projects.staleness('/a', taskType, intervalMs) >= 1, due.includes(taskType), context);
    }
    for (const taskType of due) {
      clocks.pass(between(0, 3 * hourMs));
      record(taskType, night);
    }
    clocks.pass(between(0, hourMs));
    projects.recordProjectRun('/a');
    assert.deepEqual(projects.getProject('/a'), { path: '/a', runCount: night + 1, lastRunAt: startedAt }, context);
    assert.deepEqual(projects.due({ intervals }), [], context);
    clocks.pass(between(0, 12 * hourMs));
    assert.equal(projects.claimProjectRun('/a'), false, `${context}: a start by hand during the day`);
  }
  assert.deepEqual(done['lint'], Array.from({ length: 30 }, (_, night) => night));
  assert.deepEqual(done['docs'], [0, 7, 14, 21, 28]);
});

test('a scheduler that assigns tasks and claims no project has them due each night as well', (t) => {
  const clocks = new Clocks('2026-11-01T02:00:00Z');
  const store = new TestFolder(t, { inMemory: true }).open(clocks.options);
  const projects = new ProjectStore(store);
  projects.recordProjectRun('/a');
  for (let night = 0; night < 30; night++) {
    const due = projects.due({ intervals: { lint: dayMs } });
    assert.ok(due.some(({ path }) => path === '/a'), `night ${night}`);
    projects.assignTask({ taskId: 'another project', project: '/b', taskType: 'lint' });
    projects.assignTask({ taskId: 'another type', project: '/a', taskType: 'docs' });
    clocks.pass(10 * minuteMs);
    const startedAt = new Date(clocks.wall);
    projects.assignTask({ taskId: 'lint', project: '/a', taskType: 'lint' });
    clocks.pass(hourMs);
    projects.recordTaskRun('/a', 'lint');
    for (const { taskId } of projects.listAssigned()) projects.clearAssigned(taskId);
    assert.deepEqual(projects.lastTaskRun('/a', 'lint'), startedAt);
    clocks.pass(dayMs - hourMs - 11 * minuteMs);
  }
});

test('on the night when clocks go forward a project and its tasks are a day old after 23 hours', (t) => {
  const clocks = new Clocks('2026-03-28T03:30:00+01:00');
  const store = new TestFolder(t).open(clocks.options);
  const projects = new ProjectStore(store, { timeZone: 'Europe/Berlin' });
  assert.equal(projects.claimProjectRun('/a'), true);
  clocks.pass(10 * minuteMs);
  projects.recordTaskRun('/a', 'lint');
  projects.recordProjectRun('/a');
  clocks.set('2026-03-29T03:29:59.999+02:00');
  assert.deepEqual([projects.claimProjectRun('/a'), projects.staleness('/a', 'lint', dayMs) < 1], [false, true]);
  clocks.set('2026-03-29T03:30:00+02:00');
  assert.deepEqual([projects.claimProjectRun('/a'), projects.staleness('/a', 'lint', dayMs)], [true, 1]);
});

test('the room for a timer is for days: what is due every hour waits for an hour, and a week has seven days', (t) => {
  const clocks = new Clocks('2026-11-01T02:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const projects = new ProjectStore(store);
  projects.recordTaskRun('/a', 'lint');
  const isDue = (intervalMs: number, afterMs: number): boolean => {
    clocks.set('2026-11-01T02:00:00Z');
    clocks.pass(afterMs);
    return projects.staleness('/a', 'lint', intervalMs) >= 1;
  };
  for (const [intervalMs, dueMs] of [
    [1, 1], [hourMs, hourMs], [dayMs - 1, dayMs - 1], [dayMs, dayMs - hourMs], [7 * dayMs, 7 * dayMs - hourMs],
  ] as const) {
    assert.deepEqual([isDue(intervalMs, dueMs - 1), isDue(intervalMs, dueMs)], [false, true], `${intervalMs}`);
  }
});

test('a claim that a crash left behind, or that another clock set, is not taken for the start of a run', (t) => {
  const clocks = new Clocks('2026-11-01T02:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const projects = new ProjectStore(store);
  for (const [claimedAt, recordedAt, startedAt] of [
    ['2026-11-01T02:00:00Z', '2026-11-02T01:59:59.999Z', '2026-11-01T02:00:00Z'],
    ['2026-11-01T02:00:00Z', '2026-11-02T02:00:00Z', '2026-11-02T02:00:00Z'],
    ['1970-01-01T00:00:10Z', '2026-11-03T02:00:00Z', '2026-11-03T02:00:00Z'],
    ['2036-01-01T00:00:00Z', '2026-11-04T02:00:00Z', '2026-11-04T02:00:00Z'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:10:00Z', '0000-01-01T00:00:00Z'],
  ] as const) {
    clocks.set(claimedAt);
    projects.claimProjectRun('/a', { force: true });
    clocks.set(recordedAt);
    projects.recordTaskRun('/a', 'lint');
    projects.recordProjectRun('/a');
    const expected = new Date(startedAt);
    assert.deepEqual([projects.getProject('/a')?.lastRunAt, projects.lastTaskRun('/a', 'lint')], [expected, expected]);
    projects.recordProjectRun('/a');
    assert.deepEqual(projects.getProject('/a')?.lastRunAt, new Date(recordedAt), 'nothing was claimed');
  }
});
