// File names made from another file's name, which may be as long as the file system takes: what does not fit is cut and
// hashed, so that it is known again and stands for no other file.
import { hash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';

// What file systems take, in bytes (NAME_MAX).
const maxBytes = 255;
const hashDigits = 16;

/**
 * What stands for a file in a name that has up to `room` bytes more: its own name, or where that is too long the
 * beginning of it and a hash of all of it.
 */
export function stemOf(path: string, room: number): string {
  const name = Buffer.from(basename(path));
  if (name.length + room <= maxBytes) return basename(path);
  let end = maxBytes - room - hashDigits - 1;
  while ((name[end]! & 0xc0) === 0x80) end--; // no character is cut
  return `${name.toString('utf8', 0, end)}~${hash('sha256', name).slice(0, hashDigits)}`;
}

/** The path beside a file that its name and a suffix make. */
export function pathBeside(path: string, suffix: string): string {
  return join(dirname(path), stemOf(path, Buffer.byteLength(suffix)) + suffix);
}

// `.migrated-down-`, a time of 24 characters and a count are shorter.
const asideRoom = 48;

/** What the names begin with under which a file is kept aside. */
export function asideStem(path: string): string {
  return stemOf(path, asideRoom);
}

// Two points, a UUID and `.tmp`.
const temporaryRoom = 42;

/** What the names of a file's temporary files begin with: a UUID and `.tmp` follow. */
export function temporaryStem(path: string): string {
  return `.${stemOf(path, temporaryRoom)}.`;
}
