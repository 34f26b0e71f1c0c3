// Run prevention: a project is processed once in a window of time, by whoever claims it first.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { SqliteStore } from '../../lib/index.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion } from '../support/process.ts';

const hourMs = 3_600_000;
const moduleUrl = JSON.stringify(new URL('../../lib/modules/projects/projects.ts', import.meta.url).href);

interface World {
  store: SqliteStore;
  projects: ProjectStore;
  at: (time: string) => ProjectStore;
  claim: (time: string, options?: { windowMs?: number; force?: boolean }) => boolean;
}

/** A claim of /a by a store whose clock a test sets. */
function world(t: TestContext): World {
  let now = new Date('2026-11-21T12:00:00Z');
  const store = new TestFolder(t).open({ clock: () => now });
  const projects = new ProjectStore(store);
  const at = (time: string): ProjectStore => {
    now = new Date(time);
    return projects;
  };
  return { store, projects, at, claim: (time, options) => at(time).claimProjectRun('/a', options) };
}

test('a project is not processed twice within 23 hours of the start of its last successful run', (t) => {
  const { projects, at, claim } = world(t);
  assert.equal(claim('2026-11-21T12:00:00Z'), true);
  assert.deepEqual(projects.getProject('/a'), { path: '/a', runCount: 0, claimedAt: new Date('2026-11-21T12:00:00Z') });
  at('2026-11-21T13:00:00Z').recordProjectRun('/a');
  assert.deepEqual(projects.getProject('/a'), { path: '/a', runCount: 1, lastRunAt: new Date('2026-11-21T12:00:00Z') });
  assert.equal(claim('2026-11-21T13:00:00Z'), false);
  assert.equal(claim('2026-11-22T10:59:59.999Z'), false);
  assert.equal(projects.claimProjectRun('/b'), true);
  assert.equal(claim('2026-11-22T11:00:00Z'), true);
});

test('a claim keeps others out for the window, unless it is given back after a failure', (t) => {
  const { projects, claim } = world(t);
  assert.equal(claim('2026-11-21T12:00:00Z'), true);
  assert.equal(claim('2026-11-22T10:59:59.999Z'), false);
  projects.releaseProjectClaim('/a/');
  assert.equal(projects.getProject('/a')?.claimedAt, undefined);
  assert.equal(claim('2026-11-22T10:59:59.999Z'), true);
  // Whoever died with it blocks the project no longer than the window.
  assert.equal(claim('2026-11-23T09:59:59.998Z'), false);
  assert.equal(claim('2026-11-23T09:59:59.999Z'), true);
});

test('the window is the caller\'s, and force overrides it and says so in the log', (t) => {
  const { store, at, claim } = world(t);
  at('2026-11-21T12:00:00Z').recordProjectRun('/a');
  assert.equal(claim('2026-11-21T13:00:00Z', { windowMs: hourMs + 1 }), false);
  assert.equal(claim('2026-11-21T13:00:00Z', { windowMs: hourMs }), true);
  assert.equal(claim('2026-11-21T13:00:00Z', { windowMs: 0 }), true);
  assert.equal(claim('2026-11-21T13:00:00Z', { force: false }), false);
  assert.equal(store.auditHead(), undefined);
  assert.equal(claim('2026-11-21T13:00:00Z', { force: true }), true);
  assert.deepEqual(store.getRecentAudits(9).map(({ event }) => event), [{ type: 'project_claim_forced', path: '/a' }]);
});

test('on a clock that starts in the past a project stays done, and comes back when the clock is right', (t) => {
  const { at, claim } = world(t);
  at('2026-11-21T12:00:00Z').recordProjectRun('/a');
  // A machine without a clock of its own, after a restart; then the network tells it the time.
  for (let minute = 10; minute < 50; minute++) assert.equal(claim(`1970-01-01T00:${minute}:00Z`), false);
  assert.equal(claim('2026-11-22T10:59:00Z'), false);
  assert.equal(claim('2026-11-22T11:00:00Z'), true);
  assert.equal(claim('1970-01-01T00:01:00Z'), false);
});

test('a time that was recorded while the clock was years ahead blocks for one window, not for years', (t) => {
  for (const mark of ['recordProjectRun', 'claimProjectRun'] as const) {
    const { at, claim } = world(t);
    at('2099-01-01T00:00:00Z')[mark]('/a');
    assert.equal(claim('2026-11-21T12:00:00Z'), false);
    assert.equal(claim('2026-11-22T10:59:59.999Z'), false);
    assert.equal(claim('2026-11-22T11:00:00Z'), true);
    assert.equal(claim('2026-11-22T11:00:00Z'), false);
    at('2099-01-01T00:00:00Z').recordProjectRun('/a');
    assert.equal(claim('2026-11-21T12:00:00Z', { windowMs: 0 }), true);
  }
});

test('a claim given back while the clock is behind is free for the next one, and the next episode waits anew', (t) => {
  const { at, claim } = world(t);
  at('2026-10-01T00:00:00Z').recordProjectRun('/a');
  assert.equal(claim('2026-01-01T00:00:00Z'), false);
  assert.equal(claim('2026-01-02T00:00:00Z'), true);
  at('2026-01-02T01:00:00Z').releaseProjectClaim('/a');
  assert.equal(claim('2026-01-02T01:00:00Z'), true);
  assert.equal(claim('2026-01-02T02:00:00Z'), false);
  at('2026-01-02T02:00:00Z').releaseProjectClaim('/a');
  assert.equal(claim('2026-10-02T00:00:00Z'), true, 'the clock is right again');
  at('2026-10-02T01:00:00Z').releaseProjectClaim('/a');
  assert.equal(claim('2026-02-01T00:00:00Z'), false, 'and is behind again');
  assert.equal(claim('2026-02-02T00:00:00Z'), true);
});

test('a clock that is set back a little lets nobody in twice', (t) => {
  const { at, claim } = world(t);
  assert.equal(claim('2026-11-21T12:00:00Z'), true);
  for (const time of ['2026-11-21T11:59:59.990Z', '2026-11-21T11:00:00Z', '2026-11-21T09:00:00Z'])
    assert.equal(claim(time), false, time);
  at('2026-11-21T10:00:00Z').recordProjectRun('/a');
  assert.equal(claim('2026-11-21T09:59:00Z'), false);
  assert.equal(claim('2026-11-22T10:00:00Z'), true);
});

test('twenty processes claim one project at once: one gets it, a hundred times over', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const projects = new ProjectStore(store);
  const code = `
    const { ProjectStore } = await import(${moduleUrl});
    const store = SqliteStore.open(path, { busyTimeoutMs: 60_000 });
    const projects = new ProjectStore(store);
    report('ready');
    while (await told() === 'claim') report(projects.claimProjectRun('/srv/kiosk'));
    store.close();`;
  const all = Array.from({ length: 20 }, () => new Companion(t, folder.file(), code));
  for (const each of all) assert.equal(await each.next(), 'ready');
  const winners = new Set<number>();
  for (let round = 1; round <= 100; round++) {
    for (const each of all) each.tell('claim');
    const got = await Promise.all(all.map((each) => each.next()));
    assert.deepEqual(got.filter((claimed) => claimed === true), [true], `round ${round}`);
    assert.equal(got.filter((claimed) => claimed === false).length, 19);
    winners.add(got.indexOf(true));
    projects.releaseProjectClaim('/srv/kiosk');
  }
  t.diagnostic(`${winners.size} of 20 processes got it at least once`);
  for (const each of all) each.tell('end');
  for (const each of all) await each.end();
});

test('a process killed with its claim leaves it there, and one killed before its commit leaves nothing', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const projects = new ProjectStore(store);
  const code = `
    const { ProjectStore } = await import(${moduleUrl});
    const store = SqliteStore.open(path);
    const projects = new ProjectStore(store);
    if (await told() === 'commit') { report(projects.claimProjectRun('/a')); die(); }
    store.transaction(() => { report(projects.claimProjectRun('/b')); die(); });`;
  for (const [word, path, left] of [['commit', '/a', true], ['no', '/b', false]] as const) {
    const companion = new Companion(t, folder.file(), code);
    assert.equal(await companion.ask(word), true);
    await companion.end().catch(() => {});
    assert.equal(projects.getProject(path)?.claimedAt !== undefined, left);
    assert.equal(projects.claimProjectRun(path), !left);
  }
});
