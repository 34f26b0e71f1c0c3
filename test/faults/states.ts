// What a power cut can leave of a folder at one moment: for every change that was not synced, one of the things that
// can have become of it.
import { hash } from 'node:crypto';
import { dirname } from 'node:path';
import { type Change, changed, type Disk, type Entry, type Inode } from './disk.ts';

/**
 * `sectors`: what was being written is there, not there, there in part (in units of 512 or 4096 bytes), or noise.
 * `pages`: the card programs whole pages, so that the 4 KiB around it are noise, whatever was there for how long.
 */
export type Damage = 'sectors' | 'pages';

/** A folder after a power cut. */
export interface State {
  /** By absolute path, folders before what is in them. */
  files: Map<string, Buffer | 'folder'>;
  /** The same for the same contents. */
  key: string;
  /** What became of the unsynced changes, for a report. */
  fates: string;
}

/** What has become of one change. `apply` gives the file's bytes with it. */
interface Fate {
  name: string;
  apply(bytes: Buffer): Buffer;
}

const dropped: Fate = { name: 'dropped', apply: (bytes) => bytes };

/** One thing that is undecided, with all that can have become of it: first that it was done, then that it was not. */
type Open = { inode: Inode; fates: Fate[] } | { name: number; fates: Fate[] };

/** The first or the second fate for all data, and for all names. */
const extremes = [[0, 0], [1, 1], [0, 1], [1, 0]] as const;

export class States {
  readonly #disk: Disk;
  readonly #damage: Damage;
  readonly #random: () => number;
  readonly #open: Open[];
  readonly #paths: Map<Entry, string>;

  constructor(disk: Disk, damage: Damage, random: () => number) {
    this.#disk = disk;
    this.#damage = damage;
    this.#random = random;
    this.#paths = new Map([...disk.durableNames, ...disk.names].map(([path, entry]) => [entry, path]));
    this.#open = [
      ...this.#openChanges(),
      ...disk.pendingNames.map((_, name) => ({
        name,
        fates: [{ name: 'there', apply: (bytes: Buffer) => bytes }, dropped],
      })),
    ];
  }

  /** How many there are, as far as they are told apart here. */
  get count(): number {
    return this.#open.reduce((product, { fates }) => Math.min(1e9, product * fates.length), 1);
  }

  /**
   * Whether only names are undecided, and few: those of a rename that comes before another, which chance would seldom
   * meet.
   */
  get isFewNames(): boolean {
    return this.count <= 8 && this.#open.every((open) => 'name' in open);
  }

  /** Up to `limit` of them: all, or the extremes and a random choice of the others. */
  *some(limit: number): Generator<State, void, undefined> {
    const isAll = this.count <= limit;
    for (let made = 0; made < (isAll ? this.count : limit); made++) {
      yield this.#state(
        isAll ? this.#nth(made) : limit > 8 && made < extremes.length ? this.#extreme(made) : this.#choose(),
      );
    }
  }

  #nth(index: number): number[] {
    return this.#open.map(({ fates }) => {
      const fate = index % fates.length;
      index = Math.floor(index / fates.length);
      return fate;
    });
  }

  #extreme(which: number): number[] {
    const [data, names] = extremes[which]!;
    return this.#open.map((open) => ('name' in open ? names : data));
  }

  /** An extreme; or in order up to some change; or one change unlike all others; or each by itself. */
  #choose(): number[] {
    const style = this.#below(8);
    if (style < 2) return this.#extreme(this.#below(extremes.length));
    const at = this.#below(this.#open.length + 1);
    const usual = style % 2;
    return this.#open.map((open, index) => {
      if (style < 4) return index < at === (usual === 0) ? 0 : 1;
      if (style < 6) return index === at ? this.#below(open.fates.length) : usual;
      return this.#below(open.fates.length);
    });
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #openChanges(): Open[] {
    const inodes = new Set([
      ...this.#disk.durableNames.values(),
      ...this.#disk.names.values(),
      ...this.#disk.pendingNames.flatMap(({ sets }) => sets.map(([, entry]) => entry)),
    ]);
    const open: Open[] = [];
    for (const inode of inodes) {
      if (inode === undefined || inode === 'folder') continue;
      for (const change of [...inode.stuck, ...inode.pending]) open.push({ inode, fates: this.#fatesOf(change) });
    }
    return open;
  }

  #fatesOf(change: Change): Fate[] {
    const kept: Fate = { name: 'kept', apply: (bytes) => changed(bytes, change) };
    if ('size' in change) return [kept, dropped];
    const { offset, data } = change;
    const end = offset + data.length;
    if (this.#damage === 'pages') {
      const from = Math.floor(offset / 4096) * 4096;
      const to = Math.ceil(end / 4096) * 4096;
      return [
        kept,
        dropped,
        { name: 'its pages noise', apply: (bytes) => noisy(changed(bytes, change), from, to, this.#random) },
      ];
    }
    const fates: Fate[] = [
      kept,
      dropped,
      { name: 'noise', apply: (bytes) => noisy(changed(bytes, change), offset, end, this.#random) },
      // The size is on the disk and the bytes are not.
      { name: 'size only', apply: (bytes) => changed(bytes, { size: Math.max(bytes.length, end) }) },
    ];
    for (const unit of [512, 4096]) {
      const first = Math.floor(offset / unit) + 1;
      const cuts = Math.ceil(end / unit) - first;
      if (cuts < 1) continue;
      const at = Math.max(0, (first + this.#below(cuts)) * unit - offset);
      fates.push({
        name: `torn at ${at}, the beginning kept`,
        apply: (bytes) => changed(bytes, { offset, data: data.subarray(0, at) }),
      });
      fates.push({
        name: `torn at ${at}, the end kept`,
        apply: (bytes) => changed(bytes, { offset: offset + at, data: data.subarray(at) }),
      });
      fates.push({
        name: `noise up to ${at}`,
        apply: (bytes) => noisy(changed(bytes, change), offset, offset + at, this.#random),
      });
    }
    return fates;
  }

  #state(choice: number[]): State {
    const done = new Set<number>();
    const bytes = new Map<Inode, Buffer>();
    const fates: string[] = [];
    for (const [index, open] of this.#open.entries()) {
      const fate = open.fates[choice[index]!]!;
      if ('name' in open) {
        if (choice[index] === 0) done.add(open.name);
        const names = this.#disk.pendingNames[open.name]!.sets.map(([path, entry]) => `${entry ? '' : 'no '}${path}`);
        fates.push(`${names.join()}: ${fate.name}`);
      } else {
        bytes.set(open.inode, fate.apply(bytes.get(open.inode) ?? open.inode.durable));
        fates.push(`${this.#paths.get(open.inode)}: ${fate.name}`);
      }
    }
    const files = new Map<string, Buffer | 'folder'>();
    const names = this.#disk.namesAfter((_, index) => done.has(index));
    for (const [path, entry] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const parent = dirname(path);
      if (parent !== this.#disk.folder && !names.has(parent)) continue; // its folder is not there
      if (entry === 'folder') files.set(path, entry);
      else if (!path.endsWith('-shm')) files.set(path, bytes.get(entry) ?? entry.durable);
      else files.set(path, this.#sharedMemory());
    }
    return { files, key: keyOf(files), fates: fates.join('; ') };
  }

  /** The -shm was never synced: anything may stand there. */
  #sharedMemory(): Buffer {
    const kind = this.#below(3);
    if (kind === 0) return Buffer.alloc(0);
    return kind === 1 ? Buffer.alloc(32_768) : noise.subarray(0, 32_768);
  }
}

const noise = Buffer.alloc(1 << 18);
for (let index = 0, word = 0x9e3779b9; index < noise.length; index += 4) {
  word ^= word << 13;
  word ^= word >>> 17;
  word ^= word << 5;
  noise.writeInt32LE(word, index);
}

/** Noise over a range, as far as the file goes. */
function noisy(bytes: Buffer, from: number, to: number, random: () => number): Buffer {
  const result = Buffer.from(bytes);
  const end = Math.min(to, result.length);
  const start = Math.floor(random() * Math.max(0, noise.length - (to - from)));
  noise.copy(result, from, start, start + Math.max(0, end - from));
  return result;
}

const digests = new WeakMap<Buffer, string>();

function keyOf(files: State['files']): string {
  const parts = [...files].map(([path, content]) => {
    if (content === 'folder') return path;
    let digest = digests.get(content);
    if (digest === undefined) digests.set(content, (digest = hash('sha1', content)));
    return `${path} ${digest}`;
  });
  return hash('sha1', parts.join('\n'));
}
