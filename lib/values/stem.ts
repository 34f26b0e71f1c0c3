// Makes file names from another file's name. That name may be as long as the file system allows, so what does not fit
// is cut off and hashed, and the names made from two files stay different.
import { hash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';

// The longest file name that file systems accept, in bytes (NAME_MAX).
const maxBytes = 255;
const hashDigits = 16;

/**
 * Returns the part of a derived file name that stands for the file and leaves `room` bytes for the rest: the file's own
 * name, or if that is too long, its beginning and a hash of the whole name.
 */
export function stemOf(path: string, room: number): string {
  const name = Buffer.from(basename(path));
  if (name.length + room <= maxBytes) return basename(path);
  let end = maxBytes - room - hashDigits - 1;
  while ((name[end]! & 0xc0) === 0x80) end--; // never cut a character in half
  return `${name.toString('utf8', 0, end)}~${hash('sha256', name).slice(0, hashDigits)}`;
}

/** Returns the path in the same folder whose name is the file's name and a suffix. */
export function pathBeside(path: string, suffix: string): string {
  return join(dirname(path), stemOf(path, Buffer.byteLength(suffix)) + suffix);
}

// `.migrated-down-`, a time of 24 characters and a count fit into these bytes.
const asideRoom = 48;

/** The beginning of the names that a file gets when it is moved aside. */
export function asideStem(path: string): string {
  return stemOf(path, asideRoom);
}

// Two dots, a UUID and `.tmp` have 42 bytes.
const temporaryRoom = 42;

/** The beginning of the names of a file's temporary files; a UUID and `.tmp` follow. */
export function temporaryStem(path: string): string {
  return `.${stemOf(path, temporaryRoom)}.`;
}
