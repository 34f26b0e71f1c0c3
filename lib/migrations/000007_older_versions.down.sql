-- 000007_older_versions.down.sql, SHA-256 below: 11f36f423346d2fdee771b02fdbb2f4528c32a9e046fc950b4a0b604946f95d2
ALTER TABLE store_meta DROP COLUMN readable_from;
ALTER TABLE store_meta DROP COLUMN writable_from;
