// The subjects that a store consists of.
import type { Connection } from './connection.ts';
import type { Cooldowns } from './cooldowns.ts';
import type { Limits } from './limits.ts';
import type { AuditLog } from './log.ts';
import type { Usage } from './usage.ts';
import type { StoreWatch } from './watch.ts';

/** The subjects of a store. Each keeps its own state; those that need another one get it when they are made. */
export interface StoreParts {
  connection: Connection;
  watch: StoreWatch;
  log: AuditLog;
  usage: Usage;
  cooldowns: Cooldowns;
  limits: Limits;
}
