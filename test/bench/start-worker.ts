// From the start of the process to the first durable write: tells when that was, on the clock that all processes share.
// `bare` is the least on node:sqlite; `loaded` has the built-ins as well that checking files and hashing need.
const [side, path] = process.argv.slice(2);

if (side === undefined) {
  // a bare node --test
} else if (side === 'ours') {
  const { SqliteStore } = await import('../../lib/index.ts');
  const store = SqliteStore.open(path!);
  store.appendAudit({ type: 'service_started' });
  console.log(String(process.hrtime.bigint()));
  store.close();
} else {
  const { DatabaseSync } = await import('node:sqlite');
  if (side === 'loaded') await Promise.all([import('node:fs'), import('node:crypto')]);
  const db = new DatabaseSync(path!);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  db.exec(`CREATE TABLE IF NOT EXISTS audit_log (
    id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, event_type TEXT NOT NULL, event_data TEXT NOT NULL)`);
  db.prepare('INSERT INTO audit_log (timestamp, event_type, event_data) VALUES (?, ?, ?)').run(
    new Date().toISOString(),
    'service_started',
    '{}',
  );
  console.log(String(process.hrtime.bigint()));
  db.close();
}
