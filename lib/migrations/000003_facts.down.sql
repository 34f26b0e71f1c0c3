-- 000003_facts.down.sql, SHA-256 below: 4b0a7d238b8b8d44a067e40c72bdbc67e468e0a5d543acde204c67a2fa02ba65
DROP TABLE facts;
