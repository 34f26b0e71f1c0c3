-- 000006_derived_days.up.sql, SHA-256 below: d25c1107a589d78d5be767071e68a47cc4584262aace8527c7efec1dd4fdd453
-- The days written last follow from the rows of usage themselves, and PRAGMA user_version says the schema's version.

ALTER TABLE store_meta DROP COLUMN previous_day;
ALTER TABLE store_meta DROP COLUMN last_day;
