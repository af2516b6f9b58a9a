-- Setup of connections.

-- name: configure
SELECT set_config(key, value, false) FROM jsonb_each_text(%(settings)s)

-- name: extension
SELECT nspname, extversion FROM pg_extension
JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector'
