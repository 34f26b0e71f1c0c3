-- 000010_fleet.down.sql, SHA-256 below: fea3a1b2f3f87eac5dab707dac406611307903a13c7985d751685fad28ee8adb
UPDATE store_meta SET writable_from = 9, readable_from = 6;
ALTER TABLE store_meta DROP COLUMN machine_id;
DROP TABLE former_identities;
DROP TABLE outboxes;
