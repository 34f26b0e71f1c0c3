-- 000005_cooldowns_set_at.up.sql, SHA-256 below: d7f37c69612d5d9d3f5fe3629ae417ca4fdc119af6892eec2d351b30eca9d71d
-- When a cooldown was set, so that it lasts no longer than it was set for whatever becomes of the clock
-- (lib/core/cooldowns.ts). Of the rows that are there already it is unknown: their end stands.

ALTER TABLE cooldowns ADD COLUMN set_at TEXT;
ALTER TABLE cooldowns ADD COLUMN clock_behind_at TEXT;

CREATE INDEX cooldowns_until ON cooldowns (until);
