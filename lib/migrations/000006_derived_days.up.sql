-- 000006_derived_days.up.sql, SHA-256 below: d315178b101502f0c3b9122bf431bc2388c0ff3e422c46d62ca36911cee23f9e
-- Raises writable_from and readable_from: version 5 reads and writes the columns that go.
-- The days written last follow from the rows of usage themselves, and PRAGMA user_version says the schema's version.

ALTER TABLE store_meta DROP COLUMN previous_day;
ALTER TABLE store_meta DROP COLUMN last_day;
