-- 000008_limits.up.sql, SHA-256 below: 9e4b71699af2c607abf32ee5331a7cb2563a757b9908b97f788fbe6458f2c241
-- Additive: two tables, two columns and an index, of which version 7 knows nothing.
-- What was permitted beyond the rules: more time on a day, a day on which nothing or everything may start, time that
-- was earned. Each row follows from events (lib/core/limits.ts). Version 7 brings such events from a ledger into the
-- log alone; limits_id is the last one whose effect the tables have, and the index finds those behind it.

CREATE TABLE overrides (
  subject TEXT NOT NULL,
  day TEXT NOT NULL,
  granted_ms INTEGER NOT NULL DEFAULT 0 CHECK (granted_ms BETWEEN -9007199254740991 AND 9007199254740991),
  availability TEXT CHECK (availability IN ('allowed', 'denied')),
  PRIMARY KEY (subject, day)
) STRICT;

CREATE INDEX overrides_day ON overrides (day);

CREATE TABLE balances (
  subject TEXT PRIMARY KEY NOT NULL,
  balance_ms INTEGER NOT NULL CHECK (balance_ms BETWEEN 0 AND 9007199254740991)
) STRICT;

ALTER TABLE store_meta ADD COLUMN limits_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE store_meta ADD COLUMN ledger_path TEXT;

CREATE INDEX audit_log_limits ON audit_log (id)
  WHERE event_type IN ('time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected');
