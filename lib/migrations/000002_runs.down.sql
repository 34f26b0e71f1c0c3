-- 000002_runs.down.sql, SHA-256 below: 18160c23893dcb5397a0e47d69797f159a61ba957675e98ecd546063532062db
-- What refers to another table goes before it.
DROP TABLE resource_state;
DROP TABLE run_events;
DROP TABLE plan_units;
DROP TABLE runs;
