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

-- name: summaries
-- What is in each collection, counted.
SELECT
    collection.id, collection.name, collection.settings, collection.created_at,
    coalesce(assets.images, 0), coalesce(assets.pages, 0), coalesce(assets.frames, 0),
    coalesce(passages.number, 0),
    coalesce(sources.done, 0), coalesce(sources.failed, 0),
    assets.captured_first, assets.captured_last
FROM sightline.collection
LEFT JOIN (
    SELECT
        collection_id,
        count(*) FILTER (WHERE kind = 'image') AS images,
        count(*) FILTER (WHERE kind = 'page') AS pages,
        count(*) FILTER (WHERE kind = 'frame') AS frames,
        min(captured_at) AS captured_first,
        max(captured_at) AS captured_last
    FROM sightline.asset GROUP BY collection_id
) AS assets ON assets.collection_id = collection.id
LEFT JOIN (
    SELECT collection_id, count(*) AS number FROM sightline.passage GROUP BY collection_id
) AS passages ON passages.collection_id = collection.id
LEFT JOIN (
    SELECT
        collection_id,
        count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'failed') AS failed
    FROM sightline.source GROUP BY collection_id
) AS sources ON sources.collection_id = collection.id
ORDER BY collection.name

-- name: metadata_keys
-- The keys that assets of a collection carry, with the JSON types that their values have and the
-- least and the greatest value, as text, for examples.
SELECT
    key, array_agg(DISTINCT jsonb_typeof(value) ORDER BY jsonb_typeof(value)), count(*),
    min(left(value #>> '{}', 80)), max(left(value #>> '{}', 80))
FROM sightline.asset, jsonb_each(metadata) AS entry (key, value)
WHERE collection_id = %(id)s
GROUP BY key
ORDER BY count(*) DESC, key
