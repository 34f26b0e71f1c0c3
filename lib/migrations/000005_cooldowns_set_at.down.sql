-- 000005_cooldowns_set_at.down.sql, SHA-256 below: 7cce6fbfa5a5036e0eedc2a2de2d15cb420802b851d36daaaab43b30bdf5563a
DROP INDEX cooldowns_until;
ALTER TABLE cooldowns DROP COLUMN clock_behind_at;
ALTER TABLE cooldowns DROP COLUMN set_at;
