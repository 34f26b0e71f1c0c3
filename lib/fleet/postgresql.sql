-- The centre of a fleet: the events of many kiosks in one PostgreSQL, of version 15 or later. A kiosk sends lines of
-- its ledger into shepherd.inbox; what is checked there, and refused with which SQLSTATE, stands at shepherd.take().
-- The file can be run again on what it has made, and brings an older version of it up:
--     psql -v ON_ERROR_STOP=1 -f postgresql.sql
--     psql -c '\copy shepherd.inbox(line) from pstdin with (format csv, quote e''\x01'', delimiter e''\x02'')'
-- (The format is CSV because the text format takes backslashes for escapes. JSON escapes the two control characters.)
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s'; -- whoever waits for a lock has all kiosks wait behind it
SET LOCAL search_path = pg_catalog;

DO $$
DECLARE
  wanted text;
BEGIN
  IF current_setting('server_version_num')::integer < 150000 THEN
    RAISE EXCEPTION 'the centre needs PostgreSQL 15 or later, whose views can ask as the one who reads them';
  ELSIF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'the centre needs a database in UTF8, because the hashes are those of texts in UTF-8';
  END IF;
  PERFORM pg_advisory_xact_lock(6011160130921);
  FOREACH wanted IN ARRAY ARRAY['shepherd_owner', 'shepherd_kiosk', 'shepherd_reader'] LOOP
    BEGIN
      IF to_regrole(wanted) IS NULL THEN EXECUTE format('CREATE ROLE %I NOLOGIN', wanted); END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- roles belong to all databases, and another one's file made it at this moment
    END;
  END LOOP;
  BEGIN
    IF current_setting('is_superuser') = 'off' THEN GRANT shepherd_owner TO CURRENT_USER; END IF;
  EXCEPTION WHEN insufficient_privilege THEN
    NULL; -- an administrator may have granted it; else SET ROLE below says what is missing
  END;
END $$;

-- The owner is nobody's login and no superuser, so that a fault in a function below could harm this schema alone.
CREATE SCHEMA IF NOT EXISTS shepherd AUTHORIZATION shepherd_owner;
SET LOCAL ROLE shepherd_owner;
CREATE TABLE IF NOT EXISTS shepherd.version (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version integer NOT NULL
);

-- Step by step from the version that is there. What CREATE OR REPLACE can bring up stands behind the steps.
DO $$
DECLARE
  newest CONSTANT integer := 1;
  found integer := coalesce((SELECT version FROM shepherd.version), 0);
BEGIN
  IF found > newest THEN
    RAISE EXCEPTION 'this database has version % of the centre, and this file is of version %', found, newest;
  END IF;
  IF found < 1 THEN
    -- begun: the row before the first one here; behind id 0 and the genesis hash where that is the store's first one.
    -- role NULL: the first role that sends becomes it. header: as the store's ledger has it that begins there.
    CREATE TABLE shepherd.kiosk (
      store uuid PRIMARY KEY, role name, created timestamptz, header text NOT NULL,
      begun_id bigint NOT NULL, begun_hash text NOT NULL, head_id bigint NOT NULL, head_hash text NOT NULL,
      head_at timestamptz, events bigint NOT NULL DEFAULT 0, seen_at timestamptz,
      adopted_id bigint
    ) WITH (fillfactor = 50);
    CREATE TABLE shepherd.permitted (
      store uuid, id bigint, hash text NOT NULL, by name NOT NULL DEFAULT session_user, at timestamptz DEFAULT now(),
      PRIMARY KEY (store, id)
    );
    -- There is no foreign key: its trigger would run for each event, and only take() inserts any.
    CREATE TABLE shepherd.event (
      store uuid, id bigint, at timestamptz, type text, data jsonb, meta jsonb, hash text NOT NULL, prev text NOT NULL,
      signature text, line text NOT NULL, received_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (store, id)
    ) PARTITION BY HASH (store);
    BEGIN
      ALTER TABLE shepherd.event ALTER line SET COMPRESSION lz4, ALTER data SET COMPRESSION lz4;
    EXCEPTION WHEN feature_not_supported THEN
      NULL; -- a server that was built without it has a slower one
    END;
    FOR part IN 0..15 LOOP
      EXECUTE format('CREATE TABLE shepherd.event_%s PARTITION OF shepherd.event FOR VALUES WITH (MODULUS 16,
        REMAINDER %s)', to_char(part, 'FM00'), part);
    END LOOP;
    -- Each batch is deleted as it is taken, so nothing is lost with it in a crash, and it needs no write-ahead log. n
    -- is indexed, because a scan for the batch would read all that the batches before have left for vacuum.
    CREATE UNLOGGED TABLE shepherd.inbox (n bigint GENERATED ALWAYS AS IDENTITY (CACHE 1000) PRIMARY KEY, line text)
      WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
    ALTER TABLE shepherd.inbox ALTER line SET STORAGE EXTERNAL;
  END IF;
  INSERT INTO shepherd.version (version) VALUES (newest) ON CONFLICT (one) DO UPDATE SET version = newest;
END $$;

-- The bodies of these functions are parsed here, so no caller's search_path can change what they mean.
CREATE OR REPLACE FUNCTION shepherd.digest(value text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN encode(sha256(convert_to(value, 'UTF8')), 'hex');

-- As genesisHash and rowHash of lib/core/chain.ts. A field that blob names is the hexadecimal digits of a BLOB.
CREATE OR REPLACE FUNCTION shepherd.genesis(identity text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN shepherd.digest(concat(E'shepherd-store genesis v1\n', identity, E'\n'));

CREATE OR REPLACE FUNCTION shepherd.row_hash(
  prev text, id text, at text, type text, data text, meta text, blob text
) RETURNS text STABLE PARALLEL SAFE LANGUAGE sql
RETURN encode(sha256(convert_to(concat(
  E'shepherd-store audit v1\n', prev, E'\n', id, E'\n',
  CASE WHEN strpos(blob, '"at"') > 0 THEN 'x' END, octet_length(at), ':', at, E'\n',
  CASE WHEN strpos(blob, '"type"') > 0 THEN 'x' END, octet_length(type), ':', type, E'\n',
  CASE WHEN strpos(blob, '"data"') > 0 THEN 'x' END, octet_length(data), ':', data, E'\n',
  coalesce(octet_length(meta) || ':' || meta, '-'), E'\n'
), 'UTF8')), 'hex');

-- As encodeLine of lib/ledger/line.ts; PostgreSQL writes a text in JSON as JSON.stringify does.
CREATE OR REPLACE FUNCTION shepherd.line_text(
  id text, at text, type text, data text, meta text, blob text, prev text, hash text, more text, sig text
) RETURNS text STABLE PARALLEL SAFE LANGUAGE sql
RETURN concat(
  '{"id":', id, ',"at":', to_json(at), ',"type":', to_json(type), ',"data":', to_json(data),
  ',"meta":' || to_json(meta), ',"blob":' || blob, ',"prev":', to_json(prev), ',"hash":', to_json(hash),
  ',"more":' || more, ',"sig":' || to_json(sig), '}'
);

-- Whether a line that JSON can be is one of a ledger, whatever its hash.
CREATE OR REPLACE FUNCTION shepherd.is_line(
  line text, id text, at text, type text, data text, meta text, blob text, prev text, hash text, more text, sig text
) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql
RETURN line = shepherd.line_text(id, at, type, data, meta, blob, prev, hash, more, sig)
  AND id ~ '^[1-9][0-9]{0,15}$' AND (length(id) < 16 OR id COLLATE "C" <= '9007199254740991')
  AND coalesce(more = 'true', true)
  AND at IS NOT NULL AND type IS NOT NULL AND data IS NOT NULL AND prev IS NOT NULL AND hash IS NOT NULL
  AND (blob IS NULL OR blob ~ '^[[]("at"(,"type")?(,"data")?|"type"(,"data")?|"data")[]]$'
    AND (strpos(blob, '"at"') = 0 OR at ~ '^([0-9a-f]{2})*$')
    AND (strpos(blob, '"type"') = 0 OR type ~ '^([0-9a-f]{2})*$')
    AND (strpos(blob, '"data"') = 0 OR data ~ '^([0-9a-f]{2})*$'));

-- Whether a JSON text may have a number beyond what JSON.parse can read. jsonb would keep it with all of its digits, a
-- few of which would make a view fail for everybody.
CREATE OR REPLACE FUNCTION shepherd.has_huge_number(value text) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN octet_length(value) > 1048576 OR value ~ '(^|[[:space:],:[])-?[0-9][0-9.]*([eE][+]?[0-9]{3}|[0-9]{255})';

-- The three that cannot fail are for a batch in which something did: each call is a transaction inside of the other.
CREATE OR REPLACE FUNCTION shepherd.as_jsonb(value text) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
  parsed jsonb;
BEGIN
  parsed := CASE WHEN octet_length(value) <= 1048576 THEN value::jsonb END;
  RETURN CASE WHEN NOT shepherd.has_huge_number(value)
    OR NOT jsonb_path_exists(parsed, '$.** ? (@.type() == "number" && (@ > 1.8e308 || @ < -1.8e308))') THEN parsed END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION shepherd.as_time(value text) RETURNS timestamptz STABLE LANGUAGE plpgsql AS $$
BEGIN
  RETURN value::timestamptz;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION shepherd.is_readable(line text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM json_to_record(line::json) AS f(
    id text, at text, type text, data text, meta text, blob text, prev text, hash text, more text, sig text);
  RETURN line IS NOT NULL;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN false;
END $$;

-- Whether a text is a time that means the same in every session: 'yesterday' is one as well for PostgreSQL.
CREATE OR REPLACE FUNCTION shepherd.is_time(value text) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$';

-- What a header says; store is NULL for what is none. genesis: the hash before the first row, by the first identity
-- that the store had. Fields of newer versions stand in rest, with those that this one has no use for.
CREATE OR REPLACE FUNCTION shepherd.parse_header(
  header text, OUT store uuid, OUT created text, OUT opening text, OUT rest text, OUT after_id bigint,
  OUT after_hash text, OUT genesis text, OUT renewed jsonb
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  parts text[];
  fields jsonb := CASE WHEN octet_length(header) <= 1048576 THEN shepherd.as_jsonb(header) END;
BEGIN
  parts := regexp_match(header, concat('^([{]"format":"shepherd-store ledger 1",',
    E'"store":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","created":"((?:[^"\\\\]|\\\\.)*)")',
    '(,"after":[{]"id":([1-9][0-9]{0,14}),"hash":"([0-9a-f]{64})"[}])?(.*)[}]$'));
  -- Of a name that stands there twice, only one would be looked at.
  IF parts IS NULL OR fields IS NULL OR header ~ '[[:cntrl:]]'
    OR (SELECT count(*) > count(DISTINCT name) FROM json_object_keys(header::json) name)
    OR (fields -> 'after' ->> 'id', fields -> 'after' ->> 'hash') IS DISTINCT FROM (parts[5], parts[6]) THEN RETURN;
  END IF;
  renewed := fields -> 'renewed';
  IF renewed IS NOT NULL AND jsonb_typeof(renewed -> 0 -> 'store') IS DISTINCT FROM 'string' THEN RETURN; END IF;
  SELECT parts[2]::uuid, parts[3], parts[1], parts[7], parts[5]::bigint, parts[6],
    shepherd.genesis(coalesce(renewed -> 0 ->> 'store', parts[2]))
    INTO store, created, opening, rest, after_id, after_hash, genesis;
END $$;

-- A refused batch is undone with all that it did, but for what it took from a sequence: so each kiosk has one that
-- counts. A refusal is 1, a fork 2^32 more.
CREATE OR REPLACE FUNCTION shepherd.counter(store uuid) RETURNS text IMMUTABLE LANGUAGE sql
RETURN concat('shepherd."refused_', store, '"');

CREATE OR REPLACE FUNCTION shepherd.refusals(store uuid, OUT refused bigint, OUT forked bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('SELECT last_value %% 4294967296, last_value / 4294967296 FROM %s', shepherd.counter(store))
    INTO refused, forked;
  RAISE EXCEPTION USING ERRCODE = 'SH000';
EXCEPTION WHEN SQLSTATE 'SH000' OR undefined_table THEN
  NULL; -- what is undone gives its lock back: a view of ten thousand sequences would need as many at once
END $$;

CREATE OR REPLACE FUNCTION shepherd.refuse(code text, store uuid, message text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  counter text := shepherd.counter(store);
  last bigint;
BEGIN
  -- It is there from the first batch that was taken on. A stranger's batch does not count.
  IF code <> 'SHROL' AND to_regclass(counter) IS NOT NULL THEN
    EXECUTE format('SELECT last_value FROM %s', counter) INTO last;
    PERFORM setval(counter, last + 1 + CASE WHEN code = 'SHFRK' THEN 4294967296 ELSE 0 END);
  END IF;
  RAISE EXCEPTION USING ERRCODE = code,
    MESSAGE = concat('store ' || store || ', ', message, '; nothing of this batch was taken');
END $$;

-- Takes a batch, as a statement has put it into the inbox: one ledger or several, each a header and its lines. All of
-- it is taken or nothing. Lines that are here already are passed over. SQLSTATEs of what is refused:
--   SHBIG  the batch or a line is too large         SHROL  the store belongs to another role
--   SHHDR  no header as a ledger has it             SHGAP  rows before this one are missing
--   SHLIN  no line as a ledger has it               SHFRK  another row has this id here: the store was restored or
--   SHTMP  the hash is not the one of the content          cloned
-- Signatures are kept and not checked, as PostgreSQL knows no Ed25519: Ledger.verify checks them in what ledger()
-- gives. The batch can be seen in the trigger's own function alone, so it is a long one. The planner cannot know how
-- many lines a batch has, so nested loops are off, and what is here already is looked up by one range of ids.
CREATE OR REPLACE FUNCTION shepherd.take() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET work_mem = '32MB' SET jit = off
SET enable_nestloop = off SET enable_seqscan = off AS $$
DECLARE
  starts bigint[]; headers text[]; -- of each ledger in the batch: the number of its header's line, and the header
  first bigint; last bigint; bytes bigint; longest bigint; until bigint;
  is_new boolean; is_careful boolean; is_administrator boolean := pg_has_role(session_user, 'shepherd_owner', 'MEMBER');
  header record; kiosk shepherd.kiosk; beginning record; permitted record; result record;
BEGIN
  SELECT min(n), max(n), sum(octet_length(b.line) + 1), max(octet_length(b.line)) INTO first, last, bytes, longest
    FROM batch b;
  IF first IS NULL THEN RETURN NULL; END IF;
  DELETE FROM shepherd.inbox WHERE n BETWEEN first AND last;
  IF (bytes > 67108864 AND NOT is_administrator) OR longest > 33554432 THEN
    PERFORM shepherd.refuse('SHBIG', NULL, format('the batch has %s bytes and a line of %s, and may have 64 MiB and a '
      || 'line of 32 MiB: send fewer events at once', bytes, longest));
  END IF;
  SELECT array_agg(b.n ORDER BY b.n), array_agg(b.line ORDER BY b.n) INTO starts, headers
    FROM batch b WHERE b.line LIKE '{"format":%';
  IF starts[1] IS DISTINCT FROM first OR cardinality(starts) > 1000 THEN
    PERFORM shepherd.refuse('SHHDR', NULL, 'the first line is not the header of a ledger, or there are more than 1,000 '
      || 'ledgers: send the header before the lines');
  END IF;

  -- All rows are locked before any is changed, and in one order, so two batches wait for each other and never both.
  FOR header IN
    SELECT DISTINCT ON (p.store) p.* FROM unnest(headers) h, shepherd.parse_header(h) p ORDER BY p.store
  LOOP
    IF header.store IS NULL THEN
      PERFORM shepherd.refuse('SHHDR', NULL, 'a header is not as a ledger has it');
    END IF;
    SELECT * INTO kiosk FROM shepherd.kiosk k WHERE k.store = header.store FOR UPDATE;
    IF NOT FOUND THEN
      -- events stays 0 until the first line is taken, with the beginning that is found out then
      INSERT INTO shepherd.kiosk (store, header, begun_id, begun_hash, head_id, head_hash)
        VALUES (header.store, '', 0, '', 0, '') ON CONFLICT DO NOTHING;
      SELECT * INTO kiosk FROM shepherd.kiosk k WHERE k.store = header.store FOR UPDATE;
    END IF;
    IF kiosk.role <> session_user AND NOT is_administrator THEN
      PERFORM shepherd.refuse('SHROL', header.store, format('it belongs to another role, and %s may not send for it: '
        || 'an administrator can shepherd.bind() it', session_user));
    END IF;
  END LOOP;

  FOR section IN 1..cardinality(starts) LOOP
    header := shepherd.parse_header(headers[section]);
    until := coalesce(starts[section + 1], last + 1);
    SELECT * INTO STRICT kiosk FROM shepherd.kiosk k WHERE k.store = header.store;
    is_new := kiosk.events = 0;
    IF kiosk.role IS NULL AND NOT is_administrator THEN kiosk.role := session_user; END IF;

    IF is_new THEN
      kiosk.begun_id := 0;
      kiosk.begun_hash := header.genesis;
      SELECT b.line INTO beginning FROM batch b WHERE b.n > starts[section] AND b.n < until ORDER BY b.n LIMIT 1;
      IF FOUND AND shepherd.is_readable(beginning.line) THEN
        SELECT CASE WHEN f.id ~ '^[1-9][0-9]{0,15}$' THEN f.id::bigint END AS id, f.prev INTO beginning
          FROM json_to_record(beginning.line::json) AS f(id text, prev text);
        -- A clone is sent from behind the event that gave it its identity; what was before is the image's.
        IF header.renewed -> -1 -> 'until' = to_jsonb(beginning.id - 1) AND beginning.prev ~ '^[0-9a-f]{64}$' THEN
          kiosk.begun_id := beginning.id - 1;
          kiosk.begun_hash := beginning.prev;
        END IF;
        SELECT p.id, p.hash INTO permitted FROM shepherd.permitted p
          WHERE p.store = kiosk.store AND p.hash = beginning.prev AND p.id = beginning.id - 1;
        IF FOUND THEN
          kiosk.begun_id := permitted.id;
          kiosk.begun_hash := permitted.hash;
        END IF;
      END IF;
      kiosk.header := concat(header.opening, CASE WHEN kiosk.begun_id > 0 THEN
        format(',"after":{"id":%s,"hash":"%s"}', kiosk.begun_id, kiosk.begun_hash) END, header.rest, '}');
      kiosk.created := CASE WHEN shepherd.is_time(header.created) THEN shepherd.as_time(header.created) END;
      kiosk.head_id := kiosk.begun_id;
      kiosk.head_hash := kiosk.begun_hash;
    END IF;

    -- At first all texts are cast at once. Where one cannot be, all is undone and done carefully, text by text.
    is_careful := false;
    LOOP
      BEGIN
        WITH parsed AS (
          SELECT b.n, b.line, f.*, shepherd.is_line(b.line, f.id, f.at, f.type, f.data, f.meta, f.blob, f.prev, f.hash,
              f.more, f.sig) IS TRUE AS is_line
            FROM batch b, json_to_record(CASE WHEN is_careful AND NOT shepherd.is_readable(b.line) THEN '{}'
              ELSE b.line::json END) AS f(id text, at text, type text, data text, meta text, blob text, prev text,
              hash text, more text, sig text)
            WHERE b.n > starts[section] AND b.n < until OFFSET 0
        ), numbered AS (
          SELECT *, CASE WHEN is_line THEN id::bigint END AS number FROM parsed OFFSET 0 -- so each is computed once
        ), checked AS MATERIALIZED (
          SELECT n, line, number, at, type, data, meta, coalesce(blob, '') AS blob, prev, hash, sig,
              lag(number, 1, kiosk.head_id) OVER w AS last_number,
              CASE
                WHEN NOT is_line THEN 'SHLIN'
                WHEN hash <> shepherd.row_hash(prev, id, at, type, data, meta, blob) THEN 'SHTMP'
                WHEN number > kiosk.head_id AND lag(number, 1, kiosk.head_id) OVER w <= kiosk.head_id THEN
                  CASE WHEN prev <> kiosk.head_hash THEN
                    CASE WHEN number = kiosk.head_id + 1 THEN 'SHFRK' ELSE 'SHGAP' END END
                WHEN prev <> lag(hash, 1, prev) OVER w OR number <= lag(number, 1, 0::bigint) OVER w THEN 'SHGAP'
              END AS fault
            FROM numbered WINDOW w AS (ORDER BY n)
        ), adopted AS MATERIALIZED (
          SELECT coalesce(kiosk.adopted_id, min(number)) AS id FROM checked
            WHERE type = 'store_adopted' AND blob = '' AND number > kiosk.head_id
        ), jumps AS MATERIALIZED ( -- only rows from before the first adoption may rightly have gaps between their ids
          SELECT n, number, last_number, number > (SELECT id FROM adopted) AS is_fault FROM checked
            WHERE number > greatest(last_number, kiosk.head_id) + 1
        ), fault AS MATERIALIZED (
          SELECT * FROM (
            SELECT n, number, last_number, fault FROM checked WHERE fault IS NOT NULL
            UNION ALL SELECT n, number, last_number, 'SHGAP' FROM jumps WHERE is_fault
          ) any_fault ORDER BY n LIMIT 1
        ), stranger AS MATERIALIZED ( -- the first row that is here already, with another hash
          SELECT min(number) AS id FROM (
            SELECT number, hash FROM checked WHERE number BETWEEN kiosk.begun_id AND kiosk.head_id
            EXCEPT SELECT e.id, e.hash FROM shepherd.event e
              WHERE e.store = kiosk.store AND e.id BETWEEN (SELECT min(number) FROM checked) AND kiosk.head_id
            EXCEPT SELECT kiosk.begun_id, kiosk.begun_hash
          ) other
        ), taken AS (
          INSERT INTO shepherd.event (store, id, at, type, data, meta, hash, prev, signature, line)
          SELECT kiosk.store, number,
              CASE WHEN strpos(blob, '"at"') > 0 OR NOT shepherd.is_time(at) THEN NULL
                WHEN is_careful THEN shepherd.as_time(at) ELSE at::timestamptz END,
              CASE WHEN strpos(blob, '"type"') = 0 THEN type END,
              CASE WHEN strpos(blob, '"data"') > 0 THEN NULL
                WHEN is_careful OR shepherd.has_huge_number(data) THEN shepherd.as_jsonb(data) ELSE data::jsonb END,
              CASE WHEN is_careful OR shepherd.has_huge_number(meta) THEN shepherd.as_jsonb(meta) ELSE meta::jsonb END,
              hash, prev, sig, line
            FROM checked
            WHERE number > kiosk.head_id AND NOT EXISTS (SELECT FROM fault) AND (SELECT id IS NULL FROM stranger)
          RETURNING id, at
        )
        SELECT f.n - starts[section] + 1 AS line, f.number, f.last_number, f.fault, s.id AS stranger, a.id AS adopted,
            h.number AS head_id, h.hash AS head_hash, (SELECT count(*) FROM taken) AS events,
            (SELECT at FROM taken ORDER BY id DESC LIMIT 1) AS head_at
          INTO result
          FROM adopted a CROSS JOIN stranger s LEFT JOIN fault f ON true
            LEFT JOIN (SELECT number, hash FROM checked ORDER BY n DESC LIMIT 1) h ON true;
        EXIT;
      EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        IF is_careful THEN RAISE; END IF;
        is_careful := true;
      END;
    END LOOP;

    IF result.stranger IS NOT NULL AND coalesce(result.fault, '') NOT IN ('SHLIN', 'SHTMP') THEN
      result.line := NULL;
      result.number := result.stranger;
      result.fault := 'SHFRK';
    END IF;
    IF result.fault IS NOT NULL THEN
      PERFORM shepherd.refuse(result.fault, kiosk.store, concat(
        'line ' || result.line || ' of its ledger, ', 'row ' || result.number || ': ', CASE result.fault
          WHEN 'SHLIN' THEN 'it is not a line as this package writes it: send the ledger''s own text again'
          WHEN 'SHTMP' THEN 'its hash is not the one of its content: it was changed on its way or in its place'
          WHEN 'SHFRK' THEN CASE WHEN kiosk.head_id = 0 THEN 'its chain begins in another store' ELSE 'another row is '
            || 'here with this id or before it: the store was restored from a backup or cloned; give it an identity of '
            || 'its own: shepherd-store renew-identity' END
          ELSE format('it does not follow row %s, the last one that is here: send from row %s on again, by a new '
            || 'outbox, or send the archives first', result.last_number, result.last_number + 1) END));
    END IF;
    IF result.head_id < kiosk.begun_id THEN
      PERFORM shepherd.refuse('SHGAP', kiosk.store, format('row %s: what is here begins behind row %s, and rows before '
        || 'it can only be known by a ledger that goes on to there', result.head_id, kiosk.begun_id));
    END IF;
    UPDATE shepherd.kiosk k SET
        role = CASE WHEN result.head_id IS NULL THEN k.role ELSE kiosk.role END, -- a header alone proves nothing
        created = kiosk.created, header = kiosk.header, begun_id = kiosk.begun_id,
        begun_hash = kiosk.begun_hash, events = k.events + result.events, seen_at = clock_timestamp(),
        head_id = CASE WHEN result.events > 0 THEN result.head_id ELSE kiosk.head_id END,
        head_hash = CASE WHEN result.events > 0 THEN result.head_hash ELSE kiosk.head_hash END,
        head_at = CASE WHEN result.events > 0 THEN result.head_at ELSE kiosk.head_at END,
        adopted_id = result.adopted
      WHERE k.store = kiosk.store;
    IF is_new AND result.events > 0 THEN
      EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s MINVALUE 0 START 0', shepherd.counter(kiosk.store));
    END IF;
  END LOOP;
  -- A header without lines proves nothing, so it does not make a store known.
  DELETE FROM shepherd.kiosk k USING unnest(headers) h, shepherd.parse_header(h) p
    WHERE k.store = p.store AND k.events = 0 AND k.role IS NULL;
  RETURN NULL;
END $$;


-- Lets a store that is unknown here begin behind a row that nobody has any more: its log was shortened and the archives
-- forgotten. hash is that of the row, as the header of the kiosk's ledger has it as "after".
CREATE OR REPLACE FUNCTION shepherd.permit(store uuid, id bigint, hash text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM shepherd.kiosk k WHERE k.store = permit.store) THEN
    RAISE EXCEPTION 'store % has begun here already, and its rows have to go on from there', store;
  ELSIF id < 1 OR hash !~ '^[0-9a-f]{64}$' THEN
    RAISE EXCEPTION 'a row has an id of 1 or more and a hash of 64 hexadecimal digits';
  END IF;
  INSERT INTO shepherd.permitted (store, id, hash) VALUES (permit.store, permit.id, permit.hash)
    ON CONFLICT ON CONSTRAINT permitted_pkey DO UPDATE SET hash = permit.hash;
END $$;

-- Lets one role alone send for a store, before its first batch too: without that the first role that sends has it.
CREATE OR REPLACE FUNCTION shepherd.bind(store uuid, role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO shepherd.kiosk (store, role, header, begun_id, begun_hash, head_id, head_hash)
    VALUES (bind.store, bind.role, '', 0, '', 0, '')
    ON CONFLICT ON CONSTRAINT kiosk_pkey DO UPDATE SET role = bind.role;
END $$;

-- Removes all of a store.
CREATE OR REPLACE FUNCTION shepherd.forget(store uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM shepherd.kiosk k WHERE k.store = forget.store;
  DELETE FROM shepherd.event e WHERE e.store = forget.store;
  DELETE FROM shepherd.permitted p WHERE p.store = forget.store;
  EXECUTE format('DROP SEQUENCE IF EXISTS %s', shepherd.counter(store));
END $$;

-- The ledger of a store from where it begins here, which rebuild-database makes a lost kiosk of:
--     psql -At -c "select shepherd.ledger('UUID')" > audit.jsonl
-- psql leaves out some noncharacters of Unicode (U+10FFFF) where it prints, but not where it copies, as by
--     \copy (select shepherd.ledger('UUID')) to pstdout with (format csv, quote e'\x01', delimiter e'\x02')
CREATE OR REPLACE FUNCTION shepherd.ledger(store uuid) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT k.header FROM shepherd.kiosk k WHERE k.store = ledger.store;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'store % is not known here', store USING ERRCODE = 'no_data_found';
  END IF;
  RETURN QUERY SELECT e.line FROM shepherd.event e WHERE e.store = ledger.store ORDER BY e.id;
END $$;

-- Whether all that is here of a store is as it was taken: each line and its hash, the chain from the beginning to the
-- head, and the columns that were made of the lines.
CREATE OR REPLACE FUNCTION shepherd.verify(store uuid) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kiosk shepherd.kiosk;
  is_right boolean;
BEGIN
  SELECT * INTO kiosk FROM shepherd.kiosk k WHERE k.store = verify.store;
  SELECT count(*) = kiosk.events AND max(number) = kiosk.head_id AND bool_and(coalesce(is_sound AND is_next, false))
      AND bool_or(number = kiosk.head_id AND hash = kiosk.head_hash)
      AND (kiosk.begun_id > 0 OR kiosk.begun_hash = (shepherd.parse_header(kiosk.header)).genesis)
    INTO is_right
    FROM (
      SELECT e.id AS number, e.hash,
          e.prev = lag(e.hash, 1, kiosk.begun_hash) OVER w
            AND (e.id = lag(e.id, 1, kiosk.begun_id) OVER w + 1 OR e.id <= kiosk.adopted_id) AS is_next,
          shepherd.is_line(e.line, f.id, f.at, f.type, f.data, f.meta, f.blob, f.prev, f.hash, f.more, f.sig)
            AND f.hash = shepherd.row_hash(f.prev, f.id, f.at, f.type, f.data, f.meta, coalesce(f.blob, ''))
            AND (f.id, f.hash, f.prev) = (e.id::text, e.hash, e.prev) AND f.sig IS NOT DISTINCT FROM e.signature
            AND (f.blob IS NOT NULL OR e.type IS NOT DISTINCT FROM f.type)
            AND CASE WHEN NOT shepherd.is_time(f.at) THEN e.at IS NULL
              WHEN e.at IS NULL THEN shepherd.as_time(f.at) IS NULL ELSE e.at = f.at::timestamptz END
            AND CASE WHEN strpos(f.blob, '"data"') > 0 THEN e.data IS NULL
              WHEN e.data IS NULL THEN shepherd.as_jsonb(f.data) IS NULL ELSE e.data = f.data::jsonb END
            AND CASE WHEN e.meta IS NULL THEN shepherd.as_jsonb(f.meta) IS NULL ELSE e.meta = f.meta::jsonb END
            AS is_sound
        FROM shepherd.event e, json_to_record(e.line::json) AS f(id text, at text, type text, data text, meta text,
          blob text, prev text, hash text, more text, sig text)
        WHERE e.store = verify.store WINDOW w AS (ORDER BY e.id)
    ) walk;
  RETURN coalesce(is_right, false);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN false; -- a line that was changed here is not even JSON
END $$;

-- The views ask as the one who reads them, so that row-level security applies. What a kiosk has sent may be of any
-- type, and must not make a view fail for all: hence jsonb_typeof.
-- behind: how long before the newest of all kiosks this one was heard of. late: how old its newest event was by then.
CREATE OR REPLACE VIEW shepherd.kiosks WITH (security_invoker = true) AS
SELECT k.store, k.role, k.created, k.seen_at AS last_seen, max(k.seen_at) OVER () - k.seen_at AS behind,
    k.seen_at - k.head_at AS late, k.events, k.begun_id, k.head_id, k.head_hash, k.head_at, r.forked, r.refused
  FROM shepherd.kiosk k, shepherd.refusals(k.store) r;

CREATE OR REPLACE VIEW shepherd.sessions WITH (security_invoker = true) AS
SELECT store, data ->> 'sessionId' AS session_id, max(data ->> 'entryId') AS entry_id,
    max(data ->> 'label') AS label, min(at) FILTER (WHERE type = 'session_started') AS started_at,
    max(at) FILTER (WHERE type = 'session_ended') AS ended_at,
    max(data #>> '{reason,type}') FILTER (WHERE type = 'session_ended') AS reason,
    max(CASE WHEN jsonb_typeof(data -> 'durationMs') = 'number' THEN (data ->> 'durationMs')::numeric END)
      AS duration_ms
  FROM shepherd.event
  WHERE type IN ('session_started', 'session_ended') AND data ->> 'sessionId' IS NOT NULL
  GROUP BY store, data ->> 'sessionId';

-- A store with a ledger has an event for each change of its usage, so its days are its own. Without one only the end of
-- a session tells, and the day is that of the end in UTC. Some events set the total of a day.
CREATE OR REPLACE VIEW shepherd.usage_by_day WITH (security_invoker = true) AS
WITH told AS (
  SELECT store, id, at, type, data,
      coalesce(max(id) FILTER (WHERE type IN ('ledger_attached', 'balances_carried')) OVER w
        > coalesce(max(id) FILTER (WHERE type = 'ledger_detached') OVER w, 0), false) AS has_ledger
    FROM shepherd.event
    WHERE type IN ('ledger_attached', 'ledger_detached', 'balances_carried', 'usage_added', 'usage_corrected',
      'session_ended')
    WINDOW w AS (PARTITION BY store ORDER BY id)
), part AS (
  SELECT store, id, CASE type WHEN 'session_ended' THEN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
      ELSE data ->> 'day' END AS day, data ->> 'entryId' AS entry_id, type = 'usage_corrected' AS is_total,
      data -> CASE type WHEN 'usage_corrected' THEN 'totalMs' ELSE 'durationMs' END AS ms
    FROM told WHERE type = 'usage_corrected' OR type = CASE WHEN has_ledger THEN 'usage_added' ELSE 'session_ended' END
  UNION ALL
  SELECT store, id, entry ->> 1, entry ->> 0, true, entry -> 2
    FROM told, jsonb_path_query(data, 'lax $.usage[*]') entry WHERE type = 'balances_carried'
), counted AS (
  SELECT *, max(id) FILTER (WHERE is_total) OVER (PARTITION BY store, entry_id, day) AS total_id FROM part
    WHERE jsonb_typeof(ms) = 'number' AND day IS NOT NULL AND entry_id IS NOT NULL
)
SELECT store, day, entry_id, sum((ms #>> '{}')::numeric) AS duration_ms
  FROM counted WHERE total_id IS NULL OR id >= total_id GROUP BY store, day, entry_id;

CREATE OR REPLACE VIEW shepherd.denied WITH (security_invoker = true) AS
SELECT store, id, at, data ->> 'entryId' AS entry_id, data -> 'reasons' AS reasons
  FROM shepherd.event WHERE type = 'launch_denied';

-- Who may what. shepherd_kiosk sends and does nothing else; shepherd_reader reads everything; any other role that may
-- read, as a kiosk's own may be let, sees the stores that are bound to it.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA shepherd FROM PUBLIC;
GRANT USAGE ON SCHEMA shepherd TO shepherd_kiosk, shepherd_reader;
GRANT INSERT (line) ON shepherd.inbox TO shepherd_kiosk;
GRANT SELECT ON shepherd.kiosk, shepherd.event, shepherd.permitted, shepherd.version, shepherd.kiosks,
  shepherd.sessions, shepherd.usage_by_day, shepherd.denied TO shepherd_reader;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shepherd TO shepherd_reader;
REVOKE EXECUTE ON FUNCTION shepherd.permit, shepherd.bind, shepherd.forget, shepherd.refuse, shepherd.take
  FROM shepherd_reader;

-- Only where it is not there yet, because each of these waits for every batch and every reader.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'shepherd.inbox'::regclass AND tgname = 'taken') THEN
    CREATE TRIGGER taken AFTER INSERT ON shepherd.inbox REFERENCING NEW TABLE AS batch
      FOR EACH STATEMENT EXECUTE FUNCTION shepherd.take();
    ALTER TABLE shepherd.kiosk ENABLE ROW LEVEL SECURITY;
    ALTER TABLE shepherd.event ENABLE ROW LEVEL SECURITY;
    CREATE POLICY all_kiosks ON shepherd.kiosk FOR SELECT TO shepherd_reader USING (true);
    CREATE POLICY own_kiosk ON shepherd.kiosk FOR SELECT USING (role = current_user);
    CREATE POLICY all_events ON shepherd.event FOR SELECT TO shepherd_reader USING (true);
    CREATE POLICY own_events ON shepherd.event FOR SELECT
      USING (store = ANY (ARRAY(SELECT k.store FROM shepherd.kiosk k WHERE k.role = current_user)));
  END IF;
END $$;
COMMIT;
