// Reading a ledger that gzip has compressed, as an archive may be, as if it were not: RFC 1952, member by member.
import * as system from 'node:fs';
import { constants } from 'node:fs';
import { crc32, gzipSync, inflateRawSync } from 'node:zlib';
import { StoreError } from '../values/errors.ts';
import type { LedgerFiles } from './file.ts';

// An archive is written in members of about this much text, so that it can be read in constant memory.
export const memberBytes: number = 1024 * 1024;
// What another program has compressed is one member, however long, and has to fit into memory.
const maxMemberBytes = 64 * 1024 * 1024;

/** Whether a file is compressed, by its name. */
export function isCompressed(path: string): boolean {
  return path.endsWith('.gz');
}

/** One member of a compressed file. */
export function compress(text: Buffer): Buffer {
  return gzipSync(text);
}

/** Where a member's data begins in the file, and which part of the text it has. */
interface Member {
  dataAt: number;
  from: number;
  bytes: number;
}

/** What is known of a file that is open. */
interface Index {
  members: Member[];
  size: number;
}

/** The file operations by which a compressed ledger is read; what writes is refused. */
export function gzipFiles(): LedgerFiles {
  const open = new Map<number, Index>();
  let known: { identity: string; index: Index } | undefined;
  let last: { member: Member; text: Buffer } | undefined;
  const refuse = (): never => {
    throw new StoreError('ERR_STORE_READ_ONLY', 'a compressed ledger is only read');
  };
  const textOf = (fd: number, member: Member): Buffer => {
    if (last?.member !== member) last = { member, text: inflate(fd, member.dataAt).text };
    return last.text;
  };
  const readSync = (fd: number, target: Buffer, offset: number, length: number, position: number): number => {
    const { members } = open.get(fd)!;
    let done = 0;
    for (const member of members) {
      const at = position + done - member.from;
      if (at < 0 || at >= member.bytes || done === length) continue;
      done += textOf(fd, member).copy(target, offset + done, at, at + length - done);
    }
    return done;
  };
  return {
    openSync: (path, flags, mode) => {
      if (((flags as number) & (constants.O_RDWR | constants.O_WRONLY | constants.O_CREAT)) !== 0) refuse();
      const fd = system.openSync(path, flags, mode);
      try {
        const { dev, ino, size, mtimeNs } = system.fstatSync(fd, { bigint: true });
        const identity = [dev, ino, size, mtimeNs].join();
        if (known?.identity !== identity) known = { identity, index: indexOf(fd, Number(size)) };
        open.set(fd, known.index);
        return fd;
      } catch (error) {
        system.closeSync(fd);
        throw error;
      }
    },
    closeSync: (fd) => {
      open.delete(fd);
      system.closeSync(fd);
    },
    readSync: readSync as LedgerFiles['readSync'],
    fstatSync: ((fd: number) => {
      return Object.assign(system.fstatSync(fd), { size: open.get(fd)!.size });
    }) as LedgerFiles['fstatSync'],
    writeSync: refuse,
    fsyncSync: refuse,
    ftruncateSync: refuse,
  };
}

/** Finds the members of a file. Each is read once, because nothing else says how long it is. */
function indexOf(fd: number, size: number): Index {
  const members: Member[] = [];
  let from = 0;
  for (let at = 0; at < size; ) {
    const dataAt = at + headerBytes(read(fd, at, Math.min(size - at, 64 * 1024)));
    const { text, bytes } = inflate(fd, dataAt);
    const trailer = read(fd, dataAt + bytes, 8);
    const isWhole = trailer.length === 8 && trailer.readUInt32LE(0) === crc32(text);
    if (!isWhole) throw damaged('a part does not have its checksum');
    members.push({ dataAt, from, bytes: text.length });
    from += text.length;
    at = dataAt + bytes + 8;
  }
  return { members, size: from };
}

/** The text of a member, and how many bytes of the file that took. */
function inflate(fd: number, at: number): { text: Buffer; bytes: number } {
  for (let window = memberBytes; ; window *= 4) {
    const data = read(fd, at, window);
    try {
      const options = { info: true, maxOutputLength: maxMemberBytes } as const;
      const { buffer, engine } = inflateRawSync(data, options) as unknown as {
        buffer: Buffer; engine: { bytesWritten: number };
      };
      return { text: buffer, bytes: engine.bytesWritten };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ERR_BUFFER_TOO_LARGE') {
        const why = `a part of it has more than ${maxMemberBytes} bytes; decompress it first`;
        throw new StoreError('ERR_STORE_UNSUPPORTED', `the compressed ledger cannot be read: ${why}`, { cause: error });
      }
      if (code !== 'Z_BUF_ERROR' || data.length < window) throw damaged((error as Error).message, error);
    }
  }
}

/** The first bytes of the text of a compressed file, as far as the beginning of the file has them. */
export function firstText(bytes: Buffer): Buffer {
  const options = { finishFlush: 2, maxOutputLength: maxMemberBytes }; // Z_SYNC_FLUSH: the data ends somewhere
  return inflateRawSync(bytes.subarray(headerBytes(bytes)), options);
}

const flagBits = { headerCrc: 2, extra: 4, name: 8, comment: 16 };

/** How long the header of a member is (RFC 1952, section 2.3). */
function headerBytes(bytes: Buffer): number {
  if (bytes.length < 10 || bytes.readUInt16BE(0) !== 0x1f8b || bytes[2] !== 8) throw damaged('a part has no header');
  const flags = bytes[3]!;
  let at = 10;
  if (flags & flagBits.extra) at += 2 + bytes.readUInt16LE(at);
  for (const bit of [flagBits.name, flagBits.comment]) if (flags & bit) at = bytes.indexOf(0, at) + 1;
  return flags & flagBits.headerCrc ? at + 2 : at;
}

function read(fd: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  for (let got = -1; got !== 0 && done < length; done += got) {
    got = system.readSync(fd, bytes, done, length - done, at + done);
  }
  return bytes.subarray(0, done);
}

function damaged(why: string, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_CORRUPT', `the compressed ledger is damaged: ${why}`, { cause });
}
