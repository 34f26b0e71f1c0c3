DROP INDEX cooldowns_until;
ALTER TABLE cooldowns DROP COLUMN clock_behind_at;
ALTER TABLE cooldowns DROP COLUMN set_at;
