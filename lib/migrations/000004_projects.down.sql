-- What refers to another table goes before it.
DROP TABLE project_snapshots;
DROP TABLE run_records;
DROP TABLE assigned_tasks;
DROP TABLE task_history;
DROP TABLE projects;
