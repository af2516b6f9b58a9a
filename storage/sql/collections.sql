-- name: insert
-- Returns no row where the name is taken.
INSERT INTO sightline.collection (name, settings)
VALUES (%(name)s, %(settings)s)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, settings, created_at

-- name: by_name
SELECT id, name, settings, created_at
FROM sightline.collection
WHERE name = %(name)s

-- name: by_id
SELECT id, name, settings, created_at
FROM sightline.collection
WHERE id = %(id)s

-- name: all
SELECT id, name, settings, created_at
FROM sightline.collection
ORDER BY name

-- name: names
SELECT name FROM sightline.collection ORDER BY name

-- name: change_settings
-- Keys that are not given stay as they are.
UPDATE sightline.collection
SET settings = settings || %(settings)s
WHERE id = %(id)s
RETURNING id, name, settings, created_at

-- name: delete
DELETE FROM sightline.collection
WHERE id = %(id)s

-- name: size
-- Assets and sources of one collection.
SELECT
    (SELECT count(*) FROM sightline.asset WHERE collection_id = %(id)s),
    (SELECT count(*) FROM sightline.source WHERE collection_id = %(id)s)

-- name: no_time_limit
-- Until the end of the transaction.
SET LOCAL statement_timeout = 0

-- name: overview
-- What is in each collection, counted.
SELECT
    collection.id, collection.name, collection.settings, collection.created_at,
    coalesce(assets.number, 0), coalesce(passages.number, 0),
    coalesce(sources.done, 0), coalesce(sources.failed, 0),
    assets.captured_from, assets.captured_to, space.encoder
FROM sightline.collection
LEFT JOIN (
    SELECT
        collection_id, count(*) AS number,
        min(captured_at) AS captured_from, max(captured_at) AS captured_to
    FROM sightline.asset
    GROUP BY collection_id
) AS assets ON assets.collection_id = collection.id
LEFT JOIN (
    SELECT collection_id, count(*) AS number FROM sightline.passage
    WHERE kind <> 'name' GROUP BY collection_id
) AS passages ON passages.collection_id = collection.id
LEFT JOIN (
    SELECT
        collection_id,
        count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'failed') AS failed
    FROM sightline.source
    GROUP BY collection_id
) AS sources ON sources.collection_id = collection.id
LEFT JOIN sightline.collection_space
    ON collection_space.collection_id = collection.id AND collection_space.grain = 'asset'
LEFT JOIN sightline.space ON space.id = collection_space.space_id
ORDER BY collection.name

-- name: metadata_keys
-- The keys that assets carry, the commonest first, with the JSON type of their values and a few
-- of these. One pass over the assets: examples are the least and the greatest value, filled up
-- from the first assets of each collection.
WITH counted AS (
    SELECT
        collection_id, key, count(*) AS assets,
        min(jsonb_typeof(value)) AS type, max(jsonb_typeof(value)) AS other_type,
        min(left(value #>> '{}', 60)) AS least, max(left(value #>> '{}', 60)) AS greatest
    FROM sightline.asset, jsonb_each(metadata) AS entry (key, value)
    WHERE value <> 'null'
    GROUP BY collection_id, key
), sampled AS (
    SELECT collection.id AS collection_id, key, left(value #>> '{}', 60) AS example
    FROM sightline.collection
    CROSS JOIN LATERAL (
        SELECT metadata FROM sightline.asset
        WHERE collection_id = collection.id
        LIMIT 300
    ) AS first_assets
    CROSS JOIN LATERAL jsonb_each(first_assets.metadata) AS entry (key, value)
    WHERE value <> 'null'
)
SELECT
    collection_id, key,
    CASE WHEN type = other_type THEN type ELSE 'mixed' END,
    assets,
    (
        SELECT array_agg(DISTINCT example) FROM (
            SELECT unnest(ARRAY[least, greatest]) AS example
            UNION
            (
                SELECT DISTINCT example FROM sampled
                WHERE (sampled.collection_id, sampled.key)
                    = (counted.collection_id, counted.key)
                LIMIT 3
            )
        ) AS chosen
    )
FROM counted
ORDER BY collection_id, assets DESC, key
