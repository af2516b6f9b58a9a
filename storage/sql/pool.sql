-- Setup of connections.

-- name: configure
SELECT set_config(key, value, false) FROM jsonb_each_text(%(settings)s)

-- name: extension
SELECT nspname, extversion FROM pg_extension
JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector'

-- name: unsafe_schemas
-- Problems of the schemas in which Sightline looks up names: those that it owns, that of pgvector
-- (also before its installation), and with_functions those in the search path of its functions.
WITH extension AS (
    SELECT extnamespace AS oid FROM pg_extension WHERE extname = 'vector'
), tables AS (
    SELECT coalesce(
        (SELECT c.relowner FROM pg_class AS c
         JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = 'sightline' AND c.relname = 'asset'),
        (SELECT oid FROM pg_roles WHERE rolname = current_user)
    ) AS owner
), function_path AS (
    SELECT p.oid::regprocedure::text AS function, trim(BOTH '" ' FROM part.name) AS schema
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname IN ('sightline', 'analytics')
    CROSS JOIN LATERAL unnest(p.proconfig) AS setting
    CROSS JOIN LATERAL regexp_split_to_table(split_part(setting, '=', 2), ',') AS part (name)
    WHERE starts_with(setting, 'search_path=') AND %(with_functions)s
), path AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname IN ('pg_catalog', 'sightline', 'analytics')
    OR oid IN (SELECT oid FROM extension)
    OR (nspname = %(extension_schema)s AND NOT EXISTS (SELECT FROM extension))
    OR nspname IN (SELECT schema FROM function_path)
), untrusted AS (
    SELECT r.oid FROM pg_roles AS r
    WHERE r.rolname NOT IN ('pg_database_owner', 'sightline_analytics_owner')
    AND r.rolname <> current_user
    AND NOT EXISTS (
        SELECT FROM (
            SELECT owner AS oid FROM tables
            UNION ALL
            SELECT datdba FROM pg_database WHERE datname = current_database()
        ) AS trusted
        WHERE pg_has_role(r.oid, trusted.oid, 'MEMBER')
    )
    UNION ALL
    SELECT 0  -- PUBLIC
), found AS (
    SELECT 'create' AS problem, path.oid AS schema, acl.grantee AS role, NULL AS object
    FROM path CROSS JOIN LATERAL aclexplode(path.nspacl) AS acl
    WHERE acl.privilege_type = 'CREATE' AND acl.grantee IN (SELECT oid FROM untrusted)
    AND acl.grantee <> path.nspowner
    UNION ALL
    SELECT 'owner', path.oid, path.nspowner, NULL
    FROM path WHERE path.nspowner IN (SELECT oid FROM untrusted)
    UNION ALL
    SELECT 'object', path.oid, d.refobjid, upper(object.type) || ' ' || object.identity
    FROM pg_shdepend AS d
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS object
    JOIN path ON path.nspname = trim(BOTH '"' FROM object.schema)
    WHERE d.deptype = 'o' AND d.dbid = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )
    AND d.refobjid IN (SELECT oid FROM untrusted)
    UNION ALL
    -- After ALTER EXTENSION SET SCHEMA.
    SELECT 'path', path.oid, 0, 'the function ' || function_path.function
    FROM function_path
    JOIN path ON path.nspname = function_path.schema
    WHERE function_path.schema NOT IN ('pg_catalog', 'pg_temp')
    AND path.oid NOT IN (SELECT oid FROM extension)
)
SELECT
    found.problem, path.nspname AS schema, r.rolname AS role, found.object,
    owner.rolname AS owner, path.oid IN (SELECT oid FROM extension) AS has_extension
FROM found
JOIN path ON path.oid = found.schema
LEFT JOIN pg_roles AS r ON r.oid = found.role
LEFT JOIN pg_roles AS owner ON owner.oid = (SELECT owner FROM tables)
ORDER BY found.problem, path.nspname, r.rolname, found.object
LIMIT 20
