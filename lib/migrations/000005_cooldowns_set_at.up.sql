-- 000005_cooldowns_set_at.up.sql, SHA-256 below: 70b0a46f8ffaa234f6014e34a0b2fd916e84118644be6ed6048769c7aec75a38
-- Raises writable_from: where version 4 set a cooldown anew, set_at would still be that of the one before.
-- When a cooldown was set, so that it lasts no longer than it was set for whatever becomes of the clock
-- (lib/core/cooldowns.ts). Of the rows that are there already it is unknown: their end stands.

ALTER TABLE cooldowns ADD COLUMN set_at TEXT;
ALTER TABLE cooldowns ADD COLUMN clock_behind_at TEXT;

CREATE INDEX cooldowns_until ON cooldowns (until);
