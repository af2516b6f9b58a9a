-- Roles of analysts and queries on the schema analytics.

-- name: ensure_roles
SELECT sightline.ensure_roles()

-- name: create_query_role
-- Role of the tool `query_sql` on the embedded Postgres, which trusts every connection to its
-- socket (only the owner of the data folder can connect).
DO $$
BEGIN
    IF to_regrole({literal}) IS NULL THEN
        BEGIN
            CREATE ROLE {name} LOGIN CONNECTION LIMIT 20;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_has_role({literal}, 'sightline_analyst', 'MEMBER') THEN
        GRANT sightline_analyst TO {name};
    END IF;
END
$$

-- name: query_role
SELECT db_role FROM sightline.principal WHERE name = %(principal)s

-- name: assign_query_role
-- Role that identifies a bound principal in the policies; no row if it is not bound. Random: the
-- caller can ask for its name, and a number would tell how many principals there are.
UPDATE sightline.principal SET db_role = coalesce(
    db_role, 'sightline_query_' || left(encode(uuid_send(gen_random_uuid()), 'hex'), 12))
WHERE name = %(principal)s
RETURNING db_role

-- name: is_migrated
SELECT to_regclass('analytics.assets') IS NOT NULL

-- name: is_analyst
-- No row if the role does not exist. Not MEMBER: since Postgres 16 the role that created
-- sightline_analyst is a member without its rights.
SELECT pg_has_role(oid, to_regrole('sightline_analyst')::oid, 'USAGE') AND NOT rolsuper
FROM pg_roles WHERE rolname = %(name)s

-- name: analysts
SELECT rolname::text FROM pg_roles
WHERE rolcanlogin AND NOT rolsuper AND NOT starts_with(rolname, 'sightline_')
AND pg_has_role(oid, to_regrole('sightline_analyst')::oid, 'USAGE')

-- name: create_role
CREATE ROLE {name} LOGIN PASSWORD {password} CONNECTION LIMIT 3;
GRANT sightline_analyst TO {name};

-- name: change_password
ALTER ROLE {name} PASSWORD {password} CONNECTION LIMIT 3;

-- name: join_role
-- Only a member may end the sessions of a role and drop what it owns. Who created it is none.
DO $$
BEGIN
    IF NOT pg_has_role({literal}, 'USAGE') THEN
        GRANT {name} TO CURRENT_USER;
    END IF;
END
$$

-- name: end_sessions
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %(name)s

-- name: owned_objects
-- Of this database.
SELECT pg_describe_object(classid, objid, objsubid) AS object
FROM pg_shdepend
WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %(name)s)
AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1

-- name: drop_role
DROP OWNED BY {name};
DROP ROLE {name};

-- name: role_settings
-- Defaults that the analyst may change; the rights do not depend on them.
ALTER ROLE {name} IN DATABASE {database} SET search_path = analytics, {extension_schema}, pg_temp;
ALTER ROLE {name} IN DATABASE {database} SET statement_timeout = '60s';
ALTER ROLE {name} IN DATABASE {database} SET idle_in_transaction_session_timeout = '10min';
ALTER ROLE {name} IN DATABASE {database} SET default_transaction_read_only = on;
ALTER ROLE {name} IN DATABASE {database} SET jit = off;
ALTER ROLE {name} IN DATABASE {database} SET lock_timeout = '2s';
ALTER ROLE {name} IN DATABASE {database} SET work_mem = '16MB';
ALTER ROLE {name} IN DATABASE {database} SET max_parallel_workers_per_gather = 0;

-- name: writable_settings
-- Of a login with a schema of its own, which comes after the others: it can replace no name.
ALTER ROLE {name} IN DATABASE {database}
SET search_path = analytics, {extension_schema}, {schema}, pg_temp;
ALTER ROLE {name} IN DATABASE {database} SET default_transaction_read_only = off;

-- name: schema_of_analyst
-- Only one that grant-analyst made. Anybody may let the analyst create objects in another schema,
-- and comment on a schema of their own; so its owner must be an administrator.
SELECT n.nspname::text
FROM pg_namespace AS n
JOIN pg_roles AS o ON o.oid = n.nspowner
CROSS JOIN LATERAL aclexplode(n.nspacl) AS granted
JOIN pg_roles AS r ON r.oid = granted.grantee
WHERE r.rolname = %(name)s AND granted.privilege_type = 'CREATE'
AND obj_description(n.oid, 'pg_namespace') = %(comment)s
AND (
    o.rolsuper OR o.rolname = current_user
    OR o.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
    OR o.oid = (SELECT relowner FROM pg_class WHERE oid = 'sightline.asset'::regclass)
)
ORDER BY n.nspname LIMIT 1

-- name: schema_exists
SELECT to_regnamespace(%(schema)s) IS NOT NULL

-- name: is_role
SELECT to_regrole(%(schema)s) IS NOT NULL

-- name: create_schema
CREATE SCHEMA {schema};
GRANT USAGE, CREATE ON SCHEMA {schema} TO {name};
COMMENT ON SCHEMA {schema} IS {comment};

-- name: drop_schema
DROP SCHEMA {schema} RESTRICT

-- name: superuser_settings
ALTER ROLE {name} IN DATABASE {database} SET temp_file_limit = '512MB';
ALTER ROLE {name} IN DATABASE {database} SET log_min_messages = 'fatal'

-- name: extension_schema
SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector'

-- name: session_settings
-- The scanner of Postgres must read strings as sql_lexer does. A statement ends soon after its
-- connection was closed; not every system can tell that.
SELECT
    set_config('search_path', format('analytics, %%I, pg_temp', %(extension_schema)s::text), false),
    set_config('standard_conforming_strings', 'on', false),
    set_config('datestyle', 'ISO', false),
    set_config('intervalstyle', 'postgres', false),
    set_config('statement_timeout', %(timeout_ms)s, false),
    set_config('lock_timeout', '2s', false),
    set_config('idle_in_transaction_session_timeout', %(timeout_ms)s, false),
    set_config('work_mem', '16MB', false),
    set_config('max_parallel_workers_per_gather', '0', false),
    set_config('jit', 'off', false),
    CASE WHEN version() LIKE '%%linux%%' THEN
        set_config('client_connection_check_interval', '250ms', false) END

-- name: role_problem
-- Why the current role must not run queries; null if it may. It must read the schema through
-- sightline_analyst only and have no other rights.
SELECT CASE
    WHEN me.rolsuper OR me.rolcreaterole OR me.rolcreatedb OR me.rolreplication OR me.rolbypassrls
        THEN 'it has administrator rights'
    WHEN NOT coalesce(pg_has_role(me.oid, to_regrole('sightline_analyst')::oid, 'MEMBER'), false)
        THEN 'it is not granted sightline_analyst'
    WHEN EXISTS (
        SELECT FROM pg_roles AS other
        WHERE other.oid <> me.oid AND other.rolname <> 'sightline_analyst'
            AND pg_has_role(me.oid, other.oid, 'MEMBER')
    ) THEN 'it is a member of roles other than sightline_analyst'
    WHEN has_schema_privilege(me.oid, 'sightline', 'USAGE')
        THEN 'it can read the tables of Sightline'
    WHEN EXISTS (
        SELECT FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS granted
        WHERE granted.grantee = me.oid AND granted.privilege_type = 'CREATE'
    ) THEN 'it can create objects in a schema of its own (grant-analyst --schema)'
END
FROM pg_roles AS me WHERE me.rolname = session_user

-- name: refused_names
-- Called functions that are not allowed, and types that look up names in the catalog.
SELECT DISTINCT p.proname::text FROM pg_proc AS p
WHERE p.proname = ANY (%(called)s) AND NOT CASE
    WHEN p.pronamespace = 'pg_catalog'::regnamespace THEN
        p.proname = ANY (%(allowed)s)
        AND (p.provolatile <> 'v' OR p.proname = ANY (%(volatile)s))
    WHEN p.pronamespace = 'analytics'::regnamespace OR EXISTS (
        SELECT FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass AND x.extname = 'vector'
    ) THEN p.provolatile <> 'v'
    ELSE p.provolatile = 'i' AND NOT p.prosecdef
END
UNION
SELECT typname::text FROM pg_type
WHERE typnamespace = 'pg_catalog'::regnamespace
    AND typname = ANY (%(names)s) AND typname ~ '^_*(reg|aclitem)'
ORDER BY 1

-- name: log_is_closed
-- Whether the parse trees of this role do not reach the log of the server.
SELECT current_setting('log_min_messages') IN ('fatal', 'panic')

-- name: show_parse_tree
SELECT
    set_config('client_min_messages', 'log', true),
    set_config('debug_pretty_print', 'off', true),
    set_config('debug_print_parse', 'on', true)

-- name: prepare_statement
PREPARE sightline_statement AS {query}

-- name: refused_objects
-- Functions that are neither allowed by name nor called by an operator, a cast or a window; types
-- that read the catalog, also inside of arrays; relations outside of the schema analytics.
SELECT p.proname::text FROM pg_proc AS p
WHERE p.oid = ANY (%(functions)s::oid[]) AND NOT CASE
    WHEN p.provolatile = 'v' THEN
        p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%(volatile)s)
    WHEN p.pronamespace = 'pg_catalog'::regnamespace THEN
        p.proname = ANY (%(allowed)s) OR p.proname = 'in_range'
        OR EXISTS (SELECT FROM pg_operator AS o WHERE o.oprcode = p.oid)
        OR EXISTS (SELECT FROM pg_cast AS c WHERE c.castfunc = p.oid)
    ELSE p.pronamespace = 'analytics'::regnamespace OR EXISTS (
        SELECT FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass AND x.extname = 'vector'
    )
END
UNION
SELECT t.typname::text FROM pg_type AS t
WHERE t.oid = ANY (%(types)s::oid[]) AND t.typnamespace = 'pg_catalog'::regnamespace
    AND t.typname ~ '^_*(reg|aclitem|pg_|xml)'
    -- Names of text search configurations and dictionaries tell nothing.
    AND t.typname !~ '^_*reg(config|dictionary)$'
UNION
SELECT c.relname::text FROM pg_class AS c
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relnamespace <> 'analytics'::regnamespace
ORDER BY 1

-- name: limited_query
-- OFFSET 0 keeps the statement apart, so that its expressions are evaluated once per row.
SELECT {row}.*, analytics.require_row_size(octet_length({row}::text), {max_bytes})
FROM (SELECT * FROM ({statement}) AS {row} OFFSET 0) AS {row}
LIMIT {max_rows}

-- name: query_plan
SELECT plan AS "QUERY PLAN" FROM analytics.query_plan({statement}) AS plan

-- name: views
SELECT
    c.relname::text AS name, coalesce(obj_description(c.oid, 'pg_class'), '') AS comment,
    array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS columns
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
GROUP BY c.oid, c.relname ORDER BY c.relname

-- name: functions
-- Without those that query_sql itself uses.
SELECT
    proname::text AS name, pg_get_function_arguments(oid) AS arguments,
    pg_get_function_result(oid) AS result,
    coalesce(obj_description(oid, 'pg_proc'), '') AS comment
FROM pg_proc
WHERE pronamespace = 'analytics'::regnamespace
    AND proname NOT IN ('require_row_size', 'query_plan')
ORDER BY proname

-- name: export_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: export_settings
-- Until the end of the transaction. All rows of a cursor are read.
SELECT
    set_config('statement_timeout', '0', true),
    set_config('cursor_tuple_fraction', '1', true)

-- name: export_view
(SELECT * FROM analytics.{view} WHERE {condition})

-- name: export_columns
-- LIMIT 0 does not run the query.
SELECT * FROM {rows} AS v LIMIT 0

-- name: type_names
SELECT format_type(oid, NULL) FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS t (oid, n) ORDER BY n

-- name: export_csv
COPY {rows} TO STDOUT (FORMAT csv, HEADER)

-- name: export_jsonl
SELECT row_to_json(v)::text FROM {rows} AS v

-- name: export_parquet
SELECT {expressions} FROM {rows} AS v

-- name: export_shapes
SELECT count(*) AS rows, {dimension} AS dimension FROM {rows} AS v GROUP BY {space}, 2

-- name: export_vectors
SELECT {vector}, {keys} FROM {rows} AS v

-- name: embedding_spaces
SELECT format('%s (%s of %s)', embedding_space_id, level, encoder)
FROM analytics.embedding_spaces ORDER BY embedding_space_id
