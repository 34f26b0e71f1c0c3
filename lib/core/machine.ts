// Whether a store is on the machine on which it was made: the copies of an image have one identity.
import { machineId } from '../values/machine.ts';
import type { Connection } from './connection.ts';

// The outer SELECT has NULL for the column, which a name that is not found in store_meta, as in a store of an older
// schema version, is looked for in.
const machineSql = `SELECT (SELECT machine_id FROM store_meta WHERE id = 1) FROM (SELECT NULL AS machine_id)`;

/** Reports or clears the finding about the machine. A machine without an identity, or an older store, tells nothing. */
export function reportMachine(connection: Connection): void {
  const { faults, path } = connection;
  const here = machineId();
  const [made] = connection.get<[string | null]>(machineSql)!;
  if (path === undefined || here === undefined || made === null || made === here) return faults.clear('other-machine');
  const advice = '"shepherd-store renew-identity" gives a copy an identity of its own, and with --keep this one stays';
  faults.report('other-machine', `${path} was made on another machine: ${advice}`);
}

/** Notes that the store is on this machine. */
export function moveHere(connection: Connection): void {
  connection.run('UPDATE store_meta SET machine_id = ? WHERE id = 1', machineId() ?? null);
}
