-- name: insert
-- Returns no row if the name exists.
INSERT INTO sightline.collection (name, settings)
VALUES (%(name)s, %(settings)s)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, settings, created_at

-- name: get
SELECT id, name, settings, created_at
FROM sightline.collection
WHERE name = %(name)s

-- name: list
SELECT id, name, settings, created_at
FROM sightline.collection
ORDER BY name

-- name: names
SELECT name FROM sightline.collection ORDER BY name

-- name: update_settings
-- Keys that are not given stay as they are.
UPDATE sightline.collection
SET settings = settings || %(settings)s
WHERE id = %(id)s
RETURNING id, name, settings, created_at

-- name: page
-- Some collections in the order of their names, and how many follow them.
SELECT id, count(*) OVER () - %(limit)s AS more
FROM sightline.collection
WHERE name > %(after)s
ORDER BY name
LIMIT %(limit)s

-- name: overviews
-- Of all collections without ids.
SELECT
    collection.id, collection.name, collection.settings, collection.created_at,
    coalesce(assets.number, 0) AS assets, coalesce(passages.number, 0) AS passages,
    coalesce(sources.done, 0) AS done_sources, coalesce(sources.failed, 0) AS failed_sources,
    assets.captured_from, assets.captured_to, space.encoder
FROM sightline.collection
LEFT JOIN (
    SELECT
        collection_id, count(*) AS number,
        min(captured_at) AS captured_from, max(captured_at) AS captured_to
    FROM sightline.asset
    WHERE %(ids)s::bigint[] IS NULL OR collection_id = ANY(%(ids)s)
    GROUP BY collection_id
) AS assets ON assets.collection_id = collection.id
LEFT JOIN (
    SELECT collection_id, count(*) AS number FROM sightline.passage
    WHERE kind <> 'name' AND (%(ids)s::bigint[] IS NULL OR collection_id = ANY(%(ids)s))
    GROUP BY collection_id
) AS passages ON passages.collection_id = collection.id
LEFT JOIN (
    SELECT
        collection_id,
        count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'failed') AS failed
    FROM sightline.source
    WHERE %(ids)s::bigint[] IS NULL OR collection_id = ANY(%(ids)s)
    GROUP BY collection_id
) AS sources ON sources.collection_id = collection.id
LEFT JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = collection.id AND collection_embedding_space.level = 'asset'
LEFT JOIN sightline.embedding_space AS space ON space.id = embedding_space_id
WHERE %(ids)s::bigint[] IS NULL OR collection.id = ANY(%(ids)s)
ORDER BY collection.name

-- name: metadata_keys
-- Metadata keys of assets, most frequent first, with JSON type and example values. One pass over
-- the assets: examples are the smallest and the largest value, plus some of the first assets.
WITH counted AS (
    SELECT
        collection_id, key, count(*) AS assets,
        min(jsonb_typeof(value)) AS type, max(jsonb_typeof(value)) AS other_type,
        min(left(value #>> '{}', 60)) AS least, max(left(value #>> '{}', 60)) AS greatest
    FROM sightline.asset, jsonb_each(metadata) AS entry (key, value)
    WHERE value <> 'null' AND (%(ids)s::bigint[] IS NULL OR collection_id = ANY(%(ids)s))
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
    WHERE value <> 'null' AND (%(ids)s::bigint[] IS NULL OR collection.id = ANY(%(ids)s))
)
SELECT
    collection_id, key,
    CASE WHEN type = other_type THEN type ELSE 'mixed' END AS type,
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
    ) AS examples
FROM counted
ORDER BY collection_id, assets DESC, key
