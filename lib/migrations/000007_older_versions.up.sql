-- 000007_older_versions.up.sql, SHA-256 below: 164aa5a103f2dca86857ee2308bf32bf1e5d4628ebe4a1fbc7de4c01009ecc53
-- Additive: columns with a default, which version 6 neither reads nor writes.
-- The oldest versions whose code may write to this file, and read it. A step that is not additive raises them to its
-- own version, and its way down sets them back. What the steps up to this one have come to is 6.

ALTER TABLE store_meta ADD COLUMN writable_from INTEGER NOT NULL DEFAULT 6;
ALTER TABLE store_meta ADD COLUMN readable_from INTEGER NOT NULL DEFAULT 6;
