-- 000006_derived_days.down.sql, SHA-256 below: 0bb9e5ac3c63115ff03b6a45b4fc644505f9f80b68097ca68cb98df091c9bd80
ALTER TABLE store_meta ADD COLUMN last_day TEXT;
ALTER TABLE store_meta ADD COLUMN previous_day TEXT;
