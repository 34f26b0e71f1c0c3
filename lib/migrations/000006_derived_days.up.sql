-- The days written last follow from the rows of usage themselves, and PRAGMA user_version says the schema's version.

ALTER TABLE store_meta DROP COLUMN previous_day;
ALTER TABLE store_meta DROP COLUMN last_day;
