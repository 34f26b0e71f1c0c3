// The command renew-identity: a store of its own for each copy of a machine's image.
import { keepIdentity, renewIdentity } from '../modules/identity/identity.ts';
import { connect } from '../store.ts';
import { storeFile } from './args.ts';
import type { Command } from './command.ts';
import { count, counted, painter } from './text.ts';
import { change, writeOptions } from './write.ts';

/** `renew-identity`: gives a copy of a store an identity of its own. */
export const renewIdentityCommand: Command = {
  name: 'renew-identity',
  summary: 'Gives a copy of a store an identity of its own',
  takes: [storeFile],
  options: { keep: { help: 'keep the identity: this is the store, on another machine' }, ...writeOptions },
  notes: [
    'Machines that were made from one image have copies of one store. Run this once on',
    'each of them, or on one that goes on with a restored backup, before it sends what',
    'it records. The log goes on, and an event in it names the UUID before and the new',
    'one. Outboxes begin behind that event. Stop the service first: while a process',
    'has the store open nothing is renewed. With --keep the service may be running.',
  ],
  examples: ['renew-identity --db shepherdd.db', 'renew-identity shepherdd.db --keep'],
  run: (args, io) => change(args, io, (store) => {
    const paint = painter(io.stdout);
    if (args.flag('keep')) {
      keepIdentity(store);
      const { uuid } = connect(store);
      return { line: `${paint('green', 'kept')}: ${uuid}, on this machine from now on`, document: { kept: uuid } };
    }
    const renewed = renewIdentity(store);
    const { from, to, id, unsent } = renewed;
    const left = unsent.map(({ outbox, events }) => {
      return `${paint('yellow', 'not sent')}: ${counted(events, 'event')} that ${outbox} did not get, and now will not`;
    });
    const line = `${paint('green', 'renewed')}: ${to}, which was ${from} up to row ${count(id)}`;
    return { line: [line, ...left], document: renewed };
  }),
};
