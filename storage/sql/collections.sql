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
-- Other keys stay as they are.
UPDATE sightline.collection
SET settings = (settings || %(settings)s) - %(removed)s::text[]
WHERE id = %(id)s
RETURNING id, name, settings, created_at

-- name: rename
UPDATE sightline.collection
SET name = %(name)s
WHERE id = %(id)s
RETURNING id, name, settings, created_at

-- name: rename_in_log
-- The policy of the log goes by the name. Searches of an earlier collection that had the new name
-- get a name that no collection can have.
UPDATE sightline.retrieval_log
SET collection = CASE collection WHEN %(before)s THEN %(name)s ELSE collection || ' (earlier)' END
WHERE collection IN (%(before)s, %(name)s)

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
    coalesce(sources.bytes, 0)::bigint AS source_bytes,
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
    WHERE kind NOT IN ('name', 'metadata') AND (%(ids)s::bigint[] IS NULL OR collection_id = ANY(%(ids)s))
    GROUP BY collection_id
) AS passages ON passages.collection_id = collection.id
LEFT JOIN (
    SELECT
        collection_id,
        count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'failed') AS failed,
        sum(byte_size) FILTER (WHERE state = 'done') AS bytes
    FROM sightline.source
    WHERE %(ids)s::bigint[] IS NULL OR collection_id = ANY(%(ids)s)
    GROUP BY collection_id
) AS sources ON sources.collection_id = collection.id
LEFT JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = collection.id AND collection_embedding_space.level = 'asset'
LEFT JOIN sightline.embedding_space AS space ON space.id = embedding_space_id
WHERE %(ids)s::bigint[] IS NULL OR collection.id = ANY(%(ids)s)
ORDER BY collection.name

-- name: limit_time
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: metadata_keys
-- Metadata keys of the first assets of each collection, most frequent first, with JSON type and
-- example values: the most frequent, the smallest and the largest value, plus some others. Of
-- nested metadata, the innermost keys. Anybody who may add images decides how many keys there are, so the work is
-- limited: few assets, each key grouped once.
WITH RECURSIVE sampled AS MATERIALIZED (
    SELECT
        collection.id AS collection_id, first_assets.metadata,
        row_number() OVER (PARTITION BY collection.id) AS number,
        count(*) OVER (PARTITION BY collection.id) AS sampled_assets
    FROM sightline.collection
    CROSS JOIN LATERAL (
        SELECT metadata FROM sightline.asset
        WHERE collection_id = collection.id
        LIMIT %(sampled_assets)s
    ) AS first_assets
    WHERE collection.id = ANY (%(ids)s)
), nested AS (
    SELECT collection_id, number, sampled_assets, ARRAY[pair.key] AS path, pair.value
    FROM sampled CROSS JOIN LATERAL jsonb_each(metadata) AS pair
    UNION ALL
    SELECT
        nested.collection_id, nested.number, nested.sampled_assets, nested.path || pair.key,
        pair.value
    FROM nested
    CROSS JOIN LATERAL jsonb_each(
        CASE WHEN jsonb_typeof(nested.value) = 'object' THEN nested.value ELSE '{}' END
    ) AS pair
    WHERE cardinality(nested.path) < %(max_depth)s
), entry AS (
    SELECT
        collection_id, number, sampled_assets, path, jsonb_typeof(value) AS type,
        left(value #>> '{}', 60) AS example
    FROM nested
    WHERE value <> 'null'
    AND (jsonb_typeof(value) <> 'object' OR cardinality(path) = %(max_depth)s)
), counted AS (
    SELECT
        collection_id, path, count(*) AS assets, max(sampled_assets) AS sampled_assets,
        min(type) AS type, max(type) AS other_type, min(example) AS least, max(example) AS greatest,
        mode() WITHIN GROUP (ORDER BY example) AS frequent,
        (array_agg(DISTINCT example) FILTER (WHERE number <= 300))[1:3] AS others
    FROM entry
    GROUP BY collection_id, path
), ranked AS (
    SELECT
        *, count(*) OVER (PARTITION BY collection_id) AS found,
        row_number() OVER (PARTITION BY collection_id ORDER BY assets DESC, path) AS rank
    FROM counted
)
SELECT
    collection_id, path,
    CASE WHEN type = other_type THEN type ELSE 'mixed' END AS type,
    assets,
    (
        SELECT array_agg(DISTINCT example)
        FROM unnest(ARRAY[frequent, least, greatest] || others) AS chosen (example)
    ) AS examples,
    sampled_assets, found
FROM ranked
WHERE rank <= %(max_keys)s
ORDER BY collection_id, rank
