ALTER TABLE store_meta ADD COLUMN last_day TEXT;
ALTER TABLE store_meta ADD COLUMN previous_day TEXT;
