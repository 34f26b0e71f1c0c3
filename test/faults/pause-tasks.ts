// What the two processes of the pause matrix do, and how they tell what became of it.
import { join } from 'node:path';
import type { Recovery, SqliteStore, StateSnapshot } from '../../lib/index.ts';
import { tell, waitForParent } from '../support/child.ts';

export type Side = 'first' | 'second';

/** One job of a process. The store is `folder/store.db`, its ledger `folder/audit.jsonl`. */
export interface Job {
  side: Side;
  task: string;
  folder: string;
  /** Whether the store is opened with its ledger. */
  ledger: boolean;
}

/** What a process tells. The times are those of the system's monotonic clock, so that two processes have one order. */
export type Told = { atMs: number } & (
  | { is: 'ready' | 'done' | 'written' | 'end' }
  | { is: 'event'; token: string }
  | { is: 'usage'; entryId: string; totalMs: number }
  | { is: 'cooldown'; entryId: string; until: string }
  | { is: 'saved'; token: string; beganMs: number }
  | { is: 'opened'; recovery: Recovery | undefined }
  | { is: 'restored'; moved: string[] }
  | { is: 'migrated'; moved: string[] }
  | { is: 'rebuilt' }
  | { is: 'looked'; healthy: boolean; findings: string[]; head: number }
  | { is: 'refused'; code: string; message: string }
);

type WithoutTime<T> = T extends unknown ? Omit<T, 'atMs'> : never;

/** The package as it is loaded from a folder: this one, or a copy that somebody has weakened. */
export type Library = Awaited<ReturnType<typeof loadLibrary>>;

export async function loadLibrary(root: URL) {
  const load = async <T>(name: string): Promise<T> => (await import(new URL(`lib/${name}`, root).href)) as T;
  return {
    ...(await load<typeof import('../../lib/index.ts')>('index.ts')),
    ...(await load<typeof import('../../lib/ledger/index.ts')>('ledger/index.ts')),
    ...(await load<typeof import('../../lib/modules/backup/backup.ts')>('modules/backup/backup.ts')),
    ...(await load<typeof import('../../lib/opening/migrate.ts')>('opening/migrate.ts')),
    ...(await load<typeof import('../../lib/core/options.ts')>('core/options.ts')),
    ...(await load<typeof import('../../lib/core/schema.ts')>('core/schema.ts')),
  };
}

export const day = '2026-11-21';
/** Nobody waits long for a process that stands still. */
const busyTimeoutMs = 25;

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function say(message: WithoutTime<Told>): void {
  tell(JSON.stringify({ atMs: nowMs(), ...message }));
}

/** A process's own way to its store. */
class Actor {
  readonly #library: Library;
  readonly #job: Job;
  readonly path: string;
  #count = 0;

  constructor(library: Library, job: Job) {
    this.#library = library;
    this.#job = job;
    this.path = join(job.folder, 'store.db');
  }

  open({ recover = false, ledger = this.#job.ledger, path = this.path } = {}): SqliteStore {
    const options = { busyTimeoutMs, recover, ...(ledger ? { ledger: this.ledger() } : undefined) };
    const store = this.#library.SqliteStore.open(path, options);
    say({ is: 'opened', recovery: store.recovery });
    return store;
  }

  ledger(): ReturnType<Library['Ledger']['open']> {
    return this.#library.Ledger.open(join(this.#job.folder, 'audit.jsonl'));
  }

  append(store: SqliteStore): void {
    const token = `${this.#job.side}-${++this.#count}`;
    store.appendAudit({ type: 'config_reloaded', success: true }, { source: token });
    say({ is: 'event', token });
  }

  /** An event, usage and a cooldown together. */
  write(store: SqliteStore): void {
    const token = `${this.#job.side}-${++this.#count}`;
    const entryId = this.#job.side;
    const until = new Date(Date.now() + 3_600_000);
    const totalMs = store.transaction(() => {
      store.appendAudit({ type: 'config_reloaded', success: true }, { source: token });
      store.setCooldownUntil(entryId, until);
      return store.addUsage(entryId, day, 1_250);
    });
    say({ is: 'event', token });
    say({ is: 'usage', entryId, totalMs });
    say({ is: 'cooldown', entryId, until: until.toISOString() });
  }

  save(store: SqliteStore): void {
    const token = `${this.#job.side}-${++this.#count}`;
    const beganMs = nowMs();
    store.saveSnapshot(stateOf(token));
    say({ is: 'saved', token, beganMs });
  }

  look(): void {
    using store = this.#library.SqliteStore.openReadOnly(this.path, { busyTimeoutMs });
    const { findings } = store.health();
    const head = store.auditHead()?.id ?? 0;
    say({ is: 'looked', healthy: store.isHealthy(), findings: findings.map(({ kind }) => kind), head });
  }

  async restore(): Promise<void> {
    const { moved } = await this.#library.restore(join(this.#job.folder, 'backup.db'), this.path, { busyTimeoutMs });
    say({ is: 'restored', moved });
  }

  migrate(force = false): void {
    const { migrateFile, checkOpenOptions, schemaVersion } = this.#library;
    const { moved } = migrateFile(this.path, schemaVersion - 1, force, checkOpenOptions({ busyTimeoutMs }));
    say({ is: 'migrated', moved: moved === undefined ? [] : [moved].flat() });
  }

  async rebuild(): Promise<void> {
    await this.#library.rebuildDatabase(this.ledger(), this.path);
    say({ is: 'rebuilt' });
  }
}

/** A state that can be told from others. */
export function stateOf(token: string): StateSnapshot {
  const activeSession = { sessionId: token, entryId: token, startedAt: new Date(), warningsIssued: [] };
  return { timestamp: new Date(), activeSession };
}

/** `prepare` is done before anybody stops the process, and `task` with a stop somewhere in it. */
interface Task {
  prepare?(actor: Actor): SqliteStore;
  task(actor: Actor, store: SqliteStore): void | SqliteStore | Promise<void | SqliteStore>;
}

function opening(options?: Parameters<Actor['open']>[0]): Task {
  return { task: (actor) => actor.open(options) };
}

function using(task: (actor: Actor, store: SqliteStore) => void, path = (actor: Actor): string => actor.path): Task {
  const then = (actor: Actor, store: SqliteStore): SqliteStore => {
    task(actor, store);
    return store;
  };
  return { prepare: (actor) => actor.open({ path: path(actor) }), task: then };
}

/** The first process's tasks; each goes on with the store that it gives, and closes it. */
const firstTasks: Record<string, Task> = {
  open: opening(),
  recover: opening({ recover: true }),
  attach: opening({ ledger: true }),
  write: using((actor, store) => actor.write(store)),
  snapshot: using((actor, store) => actor.save(store)),
  detach: using((_, store) => store.detachLedger()),
  // The service has come to its store by a link, and looks at it by its own name.
  look: using((actor) => actor.look(), (actor) => join(actor.path, '../linked/store.db')),
  close: {
    prepare: (actor) => {
      const store = actor.open();
      actor.write(store);
      return store;
    },
    task: (_, store) => store.close(),
  },
  restore: { task: (actor) => actor.restore() },
  rebuild: { task: (actor) => actor.rebuild() },
  migrate: { task: (actor) => actor.migrate() },
};

async function runFirst(actor: Actor, { task, prepare }: Task): Promise<void> {
  let store = prepare?.(actor);
  say({ is: 'ready' });
  waitForParent();
  const result = await task(actor, store!);
  say({ is: 'done' });
  waitForParent();
  store = result ?? undefined;
  if (!store) return;
  try {
    for (let count = 0; count < 3; count++) actor.append(store);
    actor.write(store);
    // As a kill would leave it: the parent looks at a copy.
    say({ is: 'written' });
    waitForParent();
  } finally {
    store.close();
  }
}

/** The second process's tasks, from their beginning to their end. */
const secondTasks: Record<string, (actor: Actor) => void | Promise<void>> = {
  open: (actor) => serve(actor, false),
  recover: (actor) => serve(actor, true),
  health: (actor) => actor.look(),
  restore: (actor) => actor.restore(),
  migrate: (actor) => actor.migrate(),
  force: (actor) => actor.migrate(true),
};

export const secondNames = Object.keys(secondTasks);

function serve(actor: Actor, recover: boolean): void {
  using store = actor.open({ recover });
  actor.append(store);
  actor.write(store);
  actor.save(store);
  actor.append(store);
}

/** Does one job. What it throws is told; an error without a code tells its stack. */
export async function perform(library: Library, job: Job): Promise<void> {
  const actor = new Actor(library, job);
  try {
    if (job.side === 'first') await runFirst(actor, firstTasks[job.task]!);
    else await secondTasks[job.task]!(actor);
  } catch (error) {
    const { code = 'none', message, stack } = error as { code?: string; message: string; stack: string };
    say({ is: 'refused', code, message: code.startsWith('ERR_STORE_') ? message : stack });
  }
  say({ is: 'end' });
}
