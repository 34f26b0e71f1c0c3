// A folder as the page cache shows it and, apart from that, what of it is on the disk and what is on its way there.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Operation } from './trace.ts';

/** A change of a file that no fsync has made durable: bytes, or a size. */
export type Change = { offset: number; data: Buffer } | { size: number };

/** A file, by whatever names. */
export interface Inode {
  cache: Buffer;
  durable: Buffer;
  /** Since the last fsync, in order. */
  pending: Change[];
  /** Of an fsync that failed: the cache has it, no later fsync writes it, and whether the disk has it nobody knows. */
  stuck: Change[];
}

/** What a path leads to; undefined: nothing. */
export type Entry = Inode | 'folder' | undefined;

/** One change of names that no fsync of their folder has made durable. It happens as a whole or not. */
export interface NameChange {
  folder: string;
  sets: [path: string, entry: Entry][];
  /** An fsync of the folder failed since. */
  stuck: boolean;
}

/**
 * `strict`: a name is durable once its folder was fsynced, as POSIX has it; unsynced changes of names reach the disk in
 * any order. `kind`: any fsync takes all earlier changes of names along, and they reach the disk in order, as with
 * ext4's journal.
 */
export type NameModel = 'strict' | 'kind';

const pageBytes = 4096;

export class Disk {
  readonly names = new Map<string, Exclude<Entry, undefined>>();
  readonly durableNames = new Map<string, Exclude<Entry, undefined>>();
  pendingNames: NameChange[] = [];
  readonly folder: string;
  readonly #model: NameModel;

  /** Everything that is in `source` now, by default the folder itself, is durable. */
  constructor(source: string, model: NameModel, folder = source) {
    this.folder = folder;
    this.#model = model;
    for (const name of readdirSync(source, { recursive: true }) as string[]) {
      const path = join(folder, name);
      const bytes = statSync(join(source, name)).isDirectory() ? undefined : readFileSync(join(source, name));
      const entry: Entry = bytes ? { cache: bytes, durable: bytes, pending: [], stuck: [] } : 'folder';
      this.names.set(path, entry);
      this.durableNames.set(path, entry);
    }
  }

  apply(operation: Operation): void {
    switch (operation.type) {
      case 'create':
        if (!this.names.has(operation.path))
          this.#rename([
            [operation.path, { cache: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [], stuck: [] }],
          ]);
        return;
      case 'mkdir':
        return this.#rename([[operation.path, 'folder']]);
      case 'unlink':
      case 'rmdir':
        return this.#rename([[operation.path, undefined]]);
      case 'rename':
        return this.#rename([
          [operation.from, undefined],
          [operation.path, this.names.get(operation.from)],
        ]);
      case 'link':
        return this.#rename([[operation.path, this.names.get(operation.from)]]);
      case 'sync':
        return this.#sync(operation.path, operation.failed);
      case 'acknowledge':
        return;
      case 'write': {
        const { cache } = this.#file(operation.path);
        return this.#change(operation.path, {
          offset: operation.offset === 'end' ? cache.length : operation.offset,
          data: operation.data,
        });
      }
      case 'copy': {
        const { cache } = this.#file(operation.from);
        return this.#change(operation.path, {
          offset: operation.offset,
          data: Buffer.from(cache.subarray(operation.fromOffset, operation.fromOffset + operation.length)),
        });
      }
      case 'truncate':
        return this.#change(operation.path, { size: operation.size });
      case 'extend':
        if (operation.size > this.#file(operation.path).cache.length)
          this.#change(operation.path, { size: operation.size });
    }
  }

  /** The folder of names in which every unsynced change of names, or those of a selection, are done. */
  namesAfter(isDone: (change: NameChange, index: number) => boolean): Map<string, Exclude<Entry, undefined>> {
    const names = new Map(this.durableNames);
    for (const [index, change] of this.pendingNames.entries()) if (isDone(change, index)) setAll(names, change);
    return names;
  }

  #file(path: string): Inode {
    const entry = this.names.get(path);
    if (entry === undefined || entry === 'folder')
      throw new Error(`the trace changes ${path}, which is no file of the model`);
    return entry;
  }

  #change(path: string, change: Change): void {
    if (path.endsWith('-shm')) return; // mapped memory, and never fsynced: the states have anything there
    const inode = this.#file(path);
    inode.pending.push(change);
    inode.cache = changed(inode.cache, change);
  }

  #rename(sets: [string, Entry][]): void {
    const folder = dirname(sets[0]![0]);
    if (sets.some(([path]) => dirname(path) !== folder))
      throw new Error(`a name moves to another folder: ${sets.map(([path]) => path).join(' to ')}`);
    const change = { folder, sets, stuck: false };
    setAll(this.names, change);
    this.pendingNames.push(change);
  }

  #sync(path: string, failed: boolean): void {
    const entry = this.names.get(path);
    if (entry === 'folder' || entry === undefined)
      this.#syncNames(path, failed); // the watched folder itself has no name here
    else syncFile(entry, failed);
    if (!failed && this.#model === 'kind') this.#settle(() => true);
  }

  #syncNames(folder: string, failed: boolean): void {
    const own = (change: NameChange): boolean => change.folder === folder;
    if (failed) for (const change of this.pendingNames.filter(own)) change.stuck = true;
    // A later change writes the folder's page again, with all that is in it.
    else if (this.pendingNames.some((change) => own(change) && !change.stuck)) this.#settle(own);
  }

  #settle(isDurable: (change: NameChange) => boolean): void {
    for (const change of this.pendingNames.filter(isDurable)) setAll(this.durableNames, change);
    this.pendingNames = this.pendingNames.filter((change) => !isDurable(change));
  }
}

function setAll(names: Map<string, Exclude<Entry, undefined>>, { sets }: NameChange): void {
  for (const [path, entry] of sets) {
    if (entry === undefined) names.delete(path);
    else names.set(path, entry);
  }
}

/** The bytes of a file after a change; the given ones stay as they are. */
export function changed(bytes: Buffer, change: Change): Buffer {
  if ('size' in change) return resized(bytes, change.size);
  const result = resized(bytes, Math.max(bytes.length, change.offset + change.data.length));
  change.data.copy(result, change.offset);
  return result;
}

function resized(bytes: Buffer, size: number): Buffer {
  const result = Buffer.alloc(size);
  bytes.copy(result, 0, 0, Math.min(size, bytes.length));
  return result;
}

/** An fsync writes whole pages; one that fails takes the pages for written. */
function syncFile(inode: Inode, failed: boolean): void {
  const changes = inode.pending;
  inode.pending = [];
  if (failed) {
    inode.stuck.push(...changes.flatMap(byPage));
    return;
  }
  if (inode.stuck.length === 0) {
    inode.durable = inode.cache;
    return;
  }
  if (changes.length === 0) return;
  const dirty = new Set(changes.flatMap(pagesOf));
  inode.durable = resized(inode.durable, inode.cache.length);
  for (const page of dirty) inode.cache.copy(inode.durable, page * pageBytes, page * pageBytes, (page + 1) * pageBytes);
  inode.stuck = inode.stuck.filter(
    (change) => !('size' in change) && !dirty.has(Math.floor(change.offset / pageBytes)),
  );
}

function pagesOf(change: Change): number[] {
  if ('size' in change) return [Math.floor(change.size / pageBytes)];
  const first = Math.floor(change.offset / pageBytes);
  const last = Math.floor((change.offset + change.data.length - 1) / pageBytes);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function byPage(change: Change): Change[] {
  if ('size' in change) return [change];
  return pagesOf(change).map((page) => {
    const from = Math.max(change.offset, page * pageBytes);
    const to = Math.min(change.offset + change.data.length, (page + 1) * pageBytes);
    return { offset: from, data: change.data.subarray(from - change.offset, to - change.offset) };
  });
}
