// The version of this package.
import { readFileSync } from 'node:fs';

/** The version, as the file beside the sources and the built files has it. */
export function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
