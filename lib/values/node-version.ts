// Which Node this package needs. A Node that is too old has to run this file: it imports nothing, and uses old syntax.

/** Returns the message for somebody whose Node is too old; `undefined` if the version is supported. */
export function nodeProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major >= 26 || (major === 24 && minor >= 15)) return undefined;
  return `Node 24.15 or later of line 24, or Node 26 or later, is needed; this is Node ${version}`;
}
