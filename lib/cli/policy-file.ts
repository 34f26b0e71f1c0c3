// Reads the policy of limits that a call names.
import { readFileSync } from 'node:fs';
import { checkPolicy, type LimitPolicy } from '../modules/limit-policy.ts';
import { attempt, StoreError } from '../values/errors.ts';
import { UsageError } from './failures.ts';

/** The policy in a file of JSON. Throws `UsageError`, and `ERR_STORE_INVALID_ARGUMENT` with the place that is wrong. */
export function readPolicy(path: string): LimitPolicy {
  const text = attempt(`read the policy ${path}`, () => readFileSync(path, 'utf8'));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is no JSON: ${(error as Error).message}`);
  }
  try {
    return checkPolicy(value as LimitPolicy);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new StoreError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}
