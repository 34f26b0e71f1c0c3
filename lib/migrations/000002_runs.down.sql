-- What refers to another table goes before it.
DROP TABLE resource_state;
DROP TABLE run_events;
DROP TABLE plan_units;
DROP TABLE runs;
