// Which machine this is, so that a store finds out that it was copied to another one.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';

let known: string | undefined;

/**
 * The identity of this machine as 64 hexadecimal digits; `undefined` where it has none, as in many containers. It is a
 * hash, because machine-id(5) asks that the id itself is kept from whoever reads a file of the service:
 * https://www.freedesktop.org/software/systemd/man/latest/machine-id.html
 */
export function machineId(): string | undefined {
  known ??= readMachineId(); // once: each health() asks for it, and a machine has one as long as it runs
  return known;
}

function readMachineId(): string | undefined {
  let text: string;
  try {
    text = readFileSync('/etc/machine-id', 'latin1');
  } catch {
    return undefined; // another system than Linux, or a root file system that has not got one
  }
  const [id] = /^[0-9a-f]{32}(?=\n|$)/.exec(text) ?? []; // an image has an empty file, or "uninitialized"
  return id === undefined ? undefined : hash('sha256', `shepherd-store machine v1\n${id}\n`);
}
