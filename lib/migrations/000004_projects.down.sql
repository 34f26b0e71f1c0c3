-- 000004_projects.down.sql, SHA-256 below: 5f1d14ef50308f03f0022b739e0077d9438f8c75e0c9a975d1da43f5a3f33416
-- What refers to another table goes before it.
DROP TABLE project_snapshots;
DROP TABLE run_records;
DROP TABLE assigned_tasks;
DROP TABLE task_history;
DROP TABLE projects;
