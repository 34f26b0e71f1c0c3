// Faults that are put in, to prove that they are found: what a child does worse, or a recording without a step that
// counts.
import type { Weakening } from './run.ts';
import type { Operation } from './trace.ts';

export interface Fault extends Weakening {
  workload: string;
  /** How it is put in. */
  method: string;
}

const without =
  (isLeftOut: (operation: Operation, before: Operation | undefined) => boolean) =>
  (operations: Operation[]): Operation[] =>
    operations.filter((operation, index) => !isLeftOut(operation, operations[index - 1]));

const isSyncOf = (operation: Operation | undefined, end: string): boolean =>
  operation?.type === 'sync' && operation.path.endsWith(end);

const isIn = (operation: Operation, place: string): boolean => 'path' in operation && operation.path.includes(place);

const core = 'the core, from an empty folder';
const ledger = 'ledger mode, from an empty folder';

/** By the names that the report has. */
export const faults: Record<string, Fault> = {
  'synchronous=NORMAL': { workload: core, method: "PRAGMA after the store's own", env: { SHEPHERD_SYNCHRONOUS: '1' } },
  'synchronous=OFF': { workload: core, method: "PRAGMA after the store's own", env: { SHEPHERD_SYNCHRONOUS: '0' } },
  'no fsync of the snapshot file': {
    workload: core,
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, '.tmp')),
  },
  'no fsync of the folder after its rename': {
    workload: core,
    method: 'left out of the recording',
    change: without((operation, before) => operation.type === 'sync' && before?.type === 'rename'),
  },
  'no fsync of the ledger': {
    workload: ledger,
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, '.jsonl')),
  },
  'no fsync of the folder that a new ledger is in': {
    workload: 'a ledger in a folder of its own',
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, '/elsewhere')),
  },
  'no fsync between a second name and a rename': {
    workload: 'a restore',
    method: 'left out of the recording',
    change: without((operation, before) => operation.type === 'sync' && before?.type === 'link'),
  },
  'no fsync of a new key': {
    workload: 'a pair of keys',
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, 'ledger.key')),
  },
  'no fsync of an archive': {
    workload: 'archiving',
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, '.tmp') && isIn(operation, '/archives/')),
  },
  'no fsync of the folder that an archive is in': {
    workload: 'archiving',
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, '/archives')),
  },
  'no fsync of the folder that the folder of archives is in': {
    workload: 'archiving',
    method: 'left out of the recording',
    change: without((operation, before) => operation.type === 'sync' && before?.type === 'mkdir'),
  },
  'rows deleted before their archive has its name': {
    workload: 'archiving',
    method: 'moved in the recording',
    change: nameArchivesLater,
  },
  'no fsync of a ledger that was cut': {
    workload: 'archiving in ledger mode',
    method: 'left out of the recording',
    change: without((operation) => isSyncOf(operation, '.tmp') && isIn(operation, '/kiosk/.shepherd-store-')),
  },
  'no fsync of the folder after a ledger was cut': {
    workload: 'archiving in ledger mode',
    method: 'left out of the recording',
    change: without((operation, before) => {
      return operation.type === 'sync' && before?.type === 'rename' && before.path.endsWith('.jsonl');
    }),
  },
  "the ledger's fsync after the commit": {
    workload: ledger,
    method: 'moved in the recording',
    change: syncLedgerLater,
  },
};

/** Each fsync of the ledger moves to just before the acknowledgement. */
function syncLedgerLater(operations: Operation[]): Operation[] {
  const result: Operation[] = [];
  const held: Operation[] = [];
  for (const operation of operations) {
    if (operation.type === 'acknowledge') result.push(...held.splice(0));
    if (isSyncOf(operation, '.jsonl')) held.push(operation);
    else result.push(operation);
  }
  return [...result, ...held];
}

/** What is done in the folder of archives, from the moment at which one gets its name, moves to the acknowledgement. */
function nameArchivesLater(operations: Operation[]): Operation[] {
  const result: Operation[] = [];
  const held: Operation[] = [];
  for (const operation of operations) {
    if (operation.type === 'acknowledge') result.push(...held.splice(0));
    const isNaming = operation.type === 'link' && isIn(operation, '/archives/');
    const isOfArchives = isIn(operation, '/archives/') || isSyncOf(operation, '/archives');
    if (isNaming || (held.length > 0 && isOfArchives)) held.push(operation);
    else result.push(operation);
  }
  return [...result, ...held];
}
