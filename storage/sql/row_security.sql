-- Principals and the collections that they may see. The policies of the schema enforce it.

-- name: unknown_collections
SELECT name FROM unnest(%(collections)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM sightline.collection AS c WHERE c.name = name.name)

-- name: collection_names
SELECT name FROM sightline.collection ORDER BY name

-- name: bind
-- Replaces the bound collections in one statement.
WITH bound AS (
    INSERT INTO sightline.principal ({key}) VALUES (%(name)s)
    ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key}, all_collections = false
    RETURNING id
), wanted AS (
    SELECT bound.id AS principal_id, c.id AS collection_id
    FROM bound CROSS JOIN sightline.collection AS c
    WHERE c.name = ANY (%(collections)s)
), removed AS (
    DELETE FROM sightline.collection_binding AS b
    USING bound
    WHERE b.principal_id = bound.id
    AND b.collection_id NOT IN (SELECT collection_id FROM wanted)
)
INSERT INTO sightline.collection_binding (principal_id, collection_id)
SELECT principal_id, collection_id FROM wanted
ON CONFLICT DO NOTHING

-- name: bind_to_all_collections
INSERT INTO sightline.principal (name, all_collections) VALUES (%(principal)s, true)
ON CONFLICT (name) DO UPDATE SET all_collections = true

-- name: sees_all_collections
-- Its own binding counts first, then that of the default principal. Without both, everything is
-- visible until any principal is bound.
SELECT coalesce(
    (SELECT all_collections FROM sightline.principal WHERE name = %(principal)s),
    (SELECT all_collections FROM sightline.principal WHERE name = %(default_principal)s),
    NOT EXISTS (SELECT FROM sightline.principal WHERE name IS NOT NULL)
)

-- name: remove_binding
DELETE FROM sightline.principal WHERE {key} = %(name)s

-- name: bindings
-- Names of the bound collections; null means all collections.
SELECT
    principal.{key},
    CASE
        WHEN NOT principal.all_collections
            THEN array_remove(array_agg(c.name ORDER BY c.name), NULL)
    END
FROM sightline.principal
LEFT JOIN sightline.collection_binding AS b ON b.principal_id = principal.id
LEFT JOIN sightline.collection AS c ON c.id = b.collection_id
WHERE principal.{key} IS NOT NULL
GROUP BY principal.{key}, principal.all_collections
ORDER BY principal.{key}

-- name: set_principal
-- Until the end of the transaction.
SELECT
    set_config('role', 'sightline_principal', true),
    set_config('sightline.principal', %(principal)s, true)

-- name: role_problems
-- Why bound principals and analysts cannot use the database; no row if they can.
WITH needed AS (
    SELECT name, to_regrole(name)::oid AS oid
    FROM unnest(ARRAY[
        'sightline_analyst', 'sightline_analytics_owner', 'sightline_principal'
    ]) AS name
)
SELECT 'the role ' || name || ' does not exist' FROM needed WHERE oid IS NULL
UNION ALL
SELECT current_user || ' may not act as ' || name FROM needed
WHERE name = 'sightline_principal' AND NOT CASE
    -- Since Postgres 16, a member may be denied to act as the role.
    WHEN current_setting('server_version_num')::integer >= 160000
        THEN pg_has_role(current_user, oid, 'SET')
    ELSE pg_has_role(current_user, oid, 'MEMBER')
END
UNION ALL
SELECT 'the views of the schema analytics do not belong to sightline_analytics_owner'
WHERE EXISTS (
    SELECT FROM pg_class
    WHERE relnamespace = to_regnamespace('analytics') AND relkind = 'v'
    AND relowner IS DISTINCT FROM to_regrole('sightline_analytics_owner')::oid
)
ORDER BY 1
