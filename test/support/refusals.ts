// Tables of what methods refuse: a row for each argument, with the values that are bad there (test/support/values.ts).
import assert from 'node:assert/strict';
import { StoreError } from '../../lib/index.ts';

/** The code of what `call` throws or rejects with; none where it gives a value. */
export async function codeOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error instanceof StoreError ? error.code : `not a StoreError: ${String(error)}`;
  }
}

/** A row's name begins with that of its parameter: every parameter of a function must have one. */
export function checkArity(name: string, fn: unknown, rows: readonly { name: string }[] = []): void {
  const parameters = new Set(rows.map((row) => row.name.split('.')[0]));
  assert.equal(parameters.size, (fn as () => void).length, `${name} has rows for ${[...parameters].join(', ')}`);
}

/** Every method of a class must be in its table, and every parameter of it. */
export function checkTable(prototype: object, methods: Record<string, { arguments?: { name: string }[] }>): void {
  const names = Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor');
  assert.deepEqual(Object.keys(methods).sort(), names.sort());
  for (const name of names) {
    const { value } = Object.getOwnPropertyDescriptor(prototype, name)!;
    if (value !== undefined) checkArity(name, value, methods[name]!.arguments); // a getter has none
  }
}
