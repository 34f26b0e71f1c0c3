// Other packages that keep a state in a file, in the same harness: each writes the same numbered snapshots one after
// the other.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SqliteStore } from '../../lib/index.ts';
import { seededRandom } from '../support/random.ts';
import { explore, type Outcome, recordCommand, workFolder } from './run.ts';

interface Snapshot {
  number: number;
  filling: string;
}

type Save = (snapshot: Snapshot) => void | Promise<void>;

interface Peer {
  /** Gives what saves a snapshot in a folder. `load` imports one of the installed packages. */
  open(folder: string, load: (name: string) => Promise<any>): Promise<Save>;
  /** The number of the snapshot that is there; undefined where there is none. Throws where it cannot be read. */
  read?(folder: string): number | undefined;
}

const file = (folder: string): string => join(folder, 'state.json');

export const peers: Record<string, Peer> = {
  'shepherd-store': {
    async open(folder) {
      const store = SqliteStore.open(join(folder, 'store.db'));
      return ({ number }) =>
        store.saveSnapshot({
          timestamp: new Date(number),
          activeSession: { sessionId: 'x'.repeat(6_000), entryId: 'e', startedAt: new Date(0), warningsIssued: [] },
        });
    },
    read(folder) {
      using store = SqliteStore.open(join(folder, 'store.db'));
      return store.loadSnapshot()?.timestamp.getTime();
    },
  },
  'writeFileSync': { open: async (folder) => (snapshot) => writeFileSync(file(folder), JSON.stringify(snapshot)) },
  'writeFileSync, renameSync': {
    open: async (folder) => (snapshot) => {
      writeFileSync(`${file(folder)}.tmp`, JSON.stringify(snapshot));
      renameSync(`${file(folder)}.tmp`, file(folder));
    },
  },
  'lowdb 7.0.1': {
    async open(folder, load) {
      const { JSONFilePreset } = await load('lowdb/node');
      const db = await JSONFilePreset(file(folder), { number: 0, filling: '' });
      return (snapshot) => Object.assign(db, { data: snapshot }).write();
    },
  },
  'steno 4.0.2': {
    async open(folder, load) {
      const { Writer } = await load('steno');
      const writer = new Writer(file(folder));
      return (snapshot) => writer.write(JSON.stringify(snapshot));
    },
  },
  'write-file-atomic 8.0.0': {
    async open(folder, load) {
      const { default: write } = await load('write-file-atomic');
      return (snapshot) => write(file(folder), JSON.stringify(snapshot));
    },
  },
  'conf 16.0.0': {
    async open(folder, load) {
      const { default: Conf } = await load('conf');
      const conf = new Conf({ cwd: folder, configName: 'state' });
      return (snapshot) => conf.set(snapshot);
    },
  },
};

/** Installs the packages into a folder of their own and gives it. */
export function installPeers(): string {
  const folder = workFolder();
  const names = Object.keys(peers).filter((name) => / \d/.test(name)).map((name) => name.replace(' ', '@'));
  writeFileSync(join(folder, 'package.json'), '{}');
  const { status, stderr } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...names], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new Error(`the packages to compare with could not be installed (--no-peers leaves them out): ${stderr}`);
  return folder;
}

/** What a peer loses: states in which the snapshot is neither the one acknowledged last nor the one being written. */
export async function runPeer(name: string, seed: number, limit: number, packages: string): Promise<Outcome> {
  const work = workFolder();
  const folder = join(work, 'folder');
  try {
    mkdirSync(folder, { mode: 0o700 });
    const recorded = await recordCommand(
      work,
      folder,
      [process.execPath, fileURLToPath(import.meta.url), name, folder, packages],
      { tables: {}, head: 0 },
    );
    return await explore(work, folder, recorded, limit, seededRandom(seed), async (place, views) => {
      const found = (peers[name]!.read ?? readPlain)(place) ?? 0;
      const allowed = views.map(({ head }) => head);
      if (!allowed.includes(found)) throw new Error(`snapshot ${found} is there, not ${allowed.join(' or ')}`);
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function readPlain(folder: string): number | undefined {
  return existsSync(file(folder)) ? (JSON.parse(readFileSync(file(folder), 'utf8')) as Snapshot).number : undefined;
}

const [name, folder, packages] = process.argv.slice(2);
if (import.meta.main && name !== undefined && folder !== undefined && packages !== undefined) {
  const { resolve } = createRequire(join(packages, 'package.json'));
  const save = await peers[name]!.open(folder, (specifier) => import(pathToFileURL(resolve(specifier)).href));
  for (let number = 1; number <= 20; number++) {
    await save({ number, filling: 'x'.repeat(6_000) });
    writeSync(1, `${JSON.stringify({ tables: {}, head: number })}\n`);
  }
}
