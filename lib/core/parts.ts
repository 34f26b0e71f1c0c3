// The subjects that a store consists of.
import { Connection } from './connection.ts';
import { Cooldowns } from './cooldowns.ts';
import { AuditLog } from './log.ts';
import { Usage } from './usage.ts';
import { StoreWatch } from './watch.ts';


/** The subjects of a store. Each keeps its own state; those that need another one get it when they are made. */
export interface StoreParts {
  connection: Connection;
  watch: StoreWatch;
  log: AuditLog;
  usage: Usage;
  cooldowns: Cooldowns;
}
