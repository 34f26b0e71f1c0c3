-- 000003_facts.up.sql, SHA-256 below: 2357aacc067317475550ba37ec8e75a6d8b1734a795106eaa1e5bc36466d6aae
-- Additive: a table of its own.
-- What was found out about a target, by namespace and key (lib/modules/facts/).

CREATE TABLE facts (
  id TEXT NOT NULL UNIQUE,
  target_id TEXT NOT NULL,
  namespace TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL CHECK (json_valid(value)),
  ttl_seconds INTEGER NOT NULL DEFAULT 0 CHECK (ttl_seconds >= 0),
  expires_at TEXT CHECK (
    (expires_at IS NULL) = (ttl_seconds = 0) AND expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', expires_at)
  ),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (target_id, namespace, key)
) STRICT;

CREATE INDEX facts_namespace ON facts (namespace, target_id, key);
CREATE INDEX facts_expires_at ON facts (expires_at) WHERE expires_at IS NOT NULL;
