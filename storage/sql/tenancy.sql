-- Who is bound to which collections; the policies of migration 0003 hold them to it.

-- name: missing_collections
SELECT name FROM unnest(%(collections)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM sightline.collection AS c WHERE c.name = name.name)

-- name: bind
-- To these collections and no others, at once.
WITH bound AS (
    INSERT INTO sightline.tenant ({key}) VALUES (%(name)s)
    ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key}, everything = false
    RETURNING id
), wanted AS (
    SELECT bound.id AS tenant_id, c.id AS collection_id
    FROM bound CROSS JOIN sightline.collection AS c
    WHERE c.name = ANY (%(collections)s)
), gone AS (
    DELETE FROM sightline.tenant_collection AS t
    USING bound
    WHERE t.tenant_id = bound.id
    AND t.collection_id NOT IN (SELECT collection_id FROM wanted)
)
INSERT INTO sightline.tenant_collection (tenant_id, collection_id)
SELECT tenant_id, collection_id FROM wanted
ON CONFLICT DO NOTHING

-- name: bind_to_everything
INSERT INTO sightline.tenant (principal, everything) VALUES (%(principal)s, true)
ON CONFLICT (principal) DO UPDATE SET everything = true

-- name: standing
SELECT
    (SELECT everything FROM sightline.tenant WHERE principal = %(principal)s),
    (SELECT everything FROM sightline.tenant WHERE principal = %(others)s),
    EXISTS (SELECT FROM sightline.tenant WHERE principal IS NOT NULL)

-- name: release
DELETE FROM sightline.tenant WHERE {key} = %(name)s

-- name: bindings
SELECT tenant.{key}, tenant.everything, array_remove(array_agg(c.name ORDER BY c.name), NULL)
FROM sightline.tenant
LEFT JOIN sightline.tenant_collection AS t ON t.tenant_id = tenant.id
LEFT JOIN sightline.collection AS c ON c.id = t.collection_id
WHERE tenant.{key} IS NOT NULL
GROUP BY tenant.{key}, tenant.everything
ORDER BY tenant.{key}

-- name: act_for
-- Until the end of the transaction.
SELECT
    set_config('role', 'sightline_tenant', true),
    set_config('sightline.principal', %(principal)s, true)
