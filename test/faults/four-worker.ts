// One of four processes on one folder: does what a random number says, again and again, until it is killed.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { tell } from '../support/child.ts';
import { seededRandom } from '../support/random.ts';
import { day } from './pause-tasks.ts';

/** What a worker tells: one line each, when it has happened. */
export type Word =
  | { is: 'ready' }
  | { is: 'did'; what: string }
  | { is: 'event'; token: string }
  | { is: 'usage'; entryId: string; totalMs: number }
  | { is: 'refused'; what: string; code: string; message: string }
  | { is: 'wrong'; what: string; message: string };

function say(word: Word): void {
  tell(JSON.stringify(word));
}

class Worker {
  readonly #folder: string;
  readonly #name: string;
  readonly #random: () => number;
  readonly #path: string;
  readonly #hasLedger: boolean;
  #count = 0;

  constructor(folder: string, name: string, hasLedger: boolean, random: () => number) {
    this.#folder = folder;
    this.#name = name;
    this.#hasLedger = hasLedger;
    this.#random = random;
    this.#path = join(folder, 'store.db');
  }

  #some(most: number): number {
    return Math.floor(this.#random() * most);
  }

  #ledger(): Ledger {
    return Ledger.open(join(this.#folder, 'audit.jsonl'));
  }

  /**
   * Always with the ledger, or never. A backup of a time without one, restored and written to without it, would part
   * from the ledger, as `restore` says.
   */
  #open(recover = false): SqliteStore {
    const options = { recover, busyTimeoutMs: 300, ...(this.#hasLedger ? { ledger: this.#ledger() } : undefined) };
    const store = SqliteStore.open(this.#path, options);
    const { recovery } = store;
    if (recovery) say({ is: 'wrong', what: 'open', message: `told of a loss: ${JSON.stringify(recovery)}` });
    return store;
  }

  #append(store: SqliteStore): void {
    const token = `${this.#name}-${++this.#count}`;
    store.appendAudit({ type: 'config_reloaded', success: true }, { source: token });
    say({ is: 'event', token });
  }

  #write(store: SqliteStore): void {
    const choice = this.#some(6);
    if (choice < 3) return this.#append(store);
    if (choice === 3) {
      const totalMs = store.addUsage(this.#name, day, 1 + this.#some(3_000));
      say({ is: 'usage', entryId: this.#name, totalMs });
    } else if (choice === 4) store.setCooldownUntil(this.#name, new Date(Date.now() + 60_000));
    else store.saveSnapshot({ timestamp: new Date() });
  }

  #serve(recover: boolean): void {
    using store = this.#open(recover);
    for (let count = 1 + this.#some(20); count > 0; count--) this.#write(store);
  }

  #backups(): string[] {
    return readdirSync(this.#folder).filter((name) => /^backup-.*\.db$/.test(name));
  }

  #removeBackup(name: string): void {
    for (const file of [name, name.replace(/\.db$/, '.snapshot.json')]) {
      rmSync(join(this.#folder, file), { force: true });
    }
  }

  async #read(): Promise<void> {
    using store = SqliteStore.openReadOnly(this.#path, { busyTimeoutMs: 300 });
    store.health();
    const { findings } = await store.verifyAudit();
    if (findings.length > 0) say({ is: 'wrong', what: 'read', message: JSON.stringify(findings.slice(0, 3)) });
  }

  async #backup(): Promise<void> {
    using store = this.#open();
    await backup(store, join(this.#folder, `backup-${this.#name}-${++this.#count}.db`));
    const old = this.#backups();
    if (old.length > 4) this.#removeBackup(old[this.#some(old.length)]!);
  }

  async #restore(): Promise<void> {
    const found = this.#backups();
    if (found.length === 0) return;
    const from = join(this.#folder, found[this.#some(found.length)]!);
    try {
      await restore(from, this.#path, { busyTimeoutMs: 300 });
    } catch (error) {
      // Another worker has removed this backup meanwhile: nothing was to be restored.
      if (existsSync(from) || (error as { code?: string }).code !== 'ERR_STORE_NOT_FOUND') throw error;
    }
  }

  /** Beside the store, and in its place, where it stands already. */
  async #rebuild(): Promise<void> {
    const target = join(this.#folder, `rebuilt-${this.#name}-${++this.#count}`);
    try {
      if (this.#some(2) === 0) await rebuildDatabase(this.#ledger(), this.#some(3) === 0 ? this.#path : `${target}.db`);
      else {
        using store = this.#open();
        await rebuildLedger(store, `${target}.jsonl`);
      }
    } finally {
      for (const name of readdirSync(this.#folder)) {
        if (name.startsWith(`rebuilt-${this.#name}-`)) rmSync(join(this.#folder, name), { force: true });
      }
    }
  }

  #detach(): void {
    using store = this.#open();
    store.detachLedger();
    for (let count = this.#some(4); count > 0; count--) this.#append(store);
  }

  #migrate(): void {
    SqliteStore.migrate(this.#path, schemaVersion - this.#some(2), { force: true });
  }

  readonly #tasks: [name: string, weight: number, task: () => void | Promise<void>][] = [
    ['serve', 6, () => this.#serve(false)],
    ['recover', 3, () => this.#serve(true)],
    ['read', 3, () => this.#read()],
    ['back up', 2, () => this.#backup()],
    ['restore', 3, () => this.#restore()],
    ['rebuild', 2, () => this.#rebuild()],
    ['detach', 2, () => this.#detach()],
    ['migrate', 2, () => this.#migrate()],
  ];

  async go(): Promise<never> {
    const possible = this.#tasks.filter(([name]) => this.#hasLedger || !/^(rebuild|detach)$/.test(name));
    const all = possible.flatMap(([name, weight, task]) => Array.from({ length: weight }, () => ({ name, task })));
    say({ is: 'ready' });
    for (;;) {
      const { name, task } = all[this.#some(all.length)]!;
      try {
        await task();
        say({ is: 'did', what: name });
      } catch (error) {
        const { code = 'none', message, stack = '' } = error as { code?: string } & Error;
        say({ is: 'refused', what: name, code, message: code.startsWith('ERR_STORE_') ? message : stack });
      }
    }
  }
}

const [folder, name, ledger, seed] = process.argv.slice(2);
if (folder !== undefined && existsSync(folder) && process.env['NODE_TEST_CONTEXT'] === undefined) {
  await new Worker(folder, name!, ledger === 'ledger', seededRandom(Number(seed))).go();
}
