-- 000010_fleet.up.sql, SHA-256 below: c9ad20a506c821f039f479e9116b80c53a6cf56136345e20903f287a07fe9c78
-- Additive: two tables and a column, of which version 9 knows nothing.
-- outboxes: how far the log has been sent to each place that gets it (lib/modules/outbox/). former_identities: the
-- UUIDs that the store had before, each up to the event that gave it the next one, from where on version 9 can no
-- longer read it: whoever writes the first row here raises writable_from and readable_from. machine_id: the machine on
-- which the store was made, as a hash.

CREATE TABLE outboxes (
  name TEXT PRIMARY KEY NOT NULL,
  id INTEGER NOT NULL CHECK (id >= 0),
  hash TEXT NOT NULL,
  acknowledged_at TEXT,
  shared_id INTEGER
) STRICT;

CREATE TABLE former_identities (
  uuid TEXT PRIMARY KEY NOT NULL,
  until_id INTEGER NOT NULL CHECK (until_id > 0)
) STRICT;

ALTER TABLE store_meta ADD COLUMN machine_id TEXT;
