-- Each block lists the ids of rows that violate one invariant.

-- name: settings
-- Until the end of the transaction. These queries join whole tables; with stale statistics the
-- planner would choose nested loops (200 s instead of 0.1 s for 50,000 assets).
SELECT
    set_config('statement_timeout', '0', true),
    set_config('enable_nestloop', 'off', true)

-- name: asset_without_vector
SELECT asset.id
FROM sightline.asset
JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = asset.collection_id AND level = 'asset'
WHERE asset.kind <> 'audio' AND NOT EXISTS (
    SELECT FROM sightline.embedding
    WHERE embedding.asset_id = asset.id
    AND embedding.embedding_space_id = collection_embedding_space.embedding_space_id
    AND region_id IS NULL AND passage_id IS NULL
)

-- name: source_without_tiles
-- In collections with tiles.
SELECT name
FROM sightline.source
JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = source.collection_id AND level = 'region'
WHERE state = 'done' AND tile_scheme IS NULL
AND EXISTS (SELECT FROM sightline.asset WHERE source_id = source.id)

-- name: tile_without_vector
SELECT asset.id
FROM sightline.region
JOIN sightline.asset ON asset.id = region.asset_id
WHERE region.kind = 'tile' AND NOT EXISTS (
    SELECT FROM sightline.embedding
    JOIN sightline.collection_embedding_space
        ON (collection_embedding_space.collection_id, collection_embedding_space.embedding_space_id)
        = (embedding.collection_id, embedding.embedding_space_id)
    WHERE embedding.region_id = region.id AND collection_embedding_space.level = 'region'
    AND collection_embedding_space.collection_id = asset.collection_id
)

-- name: asset_without_thumbnail
SELECT id
FROM sightline.asset
WHERE NOT EXISTS (SELECT FROM sightline.thumbnail WHERE asset_id = asset.id)

-- name: passage_without_vector
SELECT 'p' || passage.id
FROM sightline.passage
JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = passage.collection_id AND level = 'passage'
WHERE kind NOT IN ('name', 'metadata') AND NOT outside_vocabulary AND NOT EXISTS (
    SELECT FROM sightline.embedding
    WHERE embedding.passage_id = passage.id
    AND embedding.embedding_space_id = collection_embedding_space.embedding_space_id
)

-- name: passage_without_postings
SELECT 'p' || id
FROM sightline.passage
WHERE token_count > 0
AND NOT EXISTS (SELECT FROM sightline.posting WHERE passage_id = passage.id)

-- name: posting_without_passage
-- Only possible if the foreign key was disabled.
SELECT 'p' || passage_id
FROM sightline.posting
WHERE NOT EXISTS (SELECT FROM sightline.passage WHERE id = passage_id)
GROUP BY passage_id

-- name: source_without_content
SELECT name
FROM sightline.source
WHERE state = 'done'
AND NOT EXISTS (SELECT FROM sightline.asset WHERE source_id = source.id)
AND NOT EXISTS (
    SELECT FROM sightline.passage WHERE source_id = source.id AND kind NOT IN ('name', 'metadata')
)

-- name: vector_of_another_collection
SELECT coalesce(embedding.asset_id, 'p' || embedding.passage_id)
FROM sightline.embedding
LEFT JOIN sightline.asset ON asset.id = embedding.asset_id
LEFT JOIN sightline.passage ON passage.id = embedding.passage_id
WHERE asset.collection_id <> embedding.collection_id
OR passage.collection_id <> embedding.collection_id

-- name: vector_in_an_unused_space
SELECT coalesce(asset_id, 'p' || passage_id)
FROM sightline.embedding
WHERE NOT EXISTS (
    SELECT FROM sightline.collection_embedding_space
    WHERE (collection_embedding_space.collection_id, collection_embedding_space.embedding_space_id)
        = (embedding.collection_id, embedding.embedding_space_id)
)
AND NOT EXISTS (
    SELECT FROM sightline.kept_embedding_space
    WHERE (kept_embedding_space.collection_id, kept_embedding_space.embedding_space_id)
        = (embedding.collection_id, embedding.embedding_space_id)
)

-- name: unused_space
SELECT encoder || ', ' || level
FROM sightline.embedding_space
WHERE id NOT IN (SELECT embedding_space_id FROM sightline.collection_embedding_space)
AND id NOT IN (SELECT embedding_space_id FROM sightline.kept_embedding_space)

-- name: space_without_partition
SELECT encoder || ', ' || level
FROM sightline.embedding_space
WHERE NOT EXISTS (
    SELECT FROM pg_inherits
    WHERE inhparent = 'sightline.embedding'::regclass
    AND inhrelid = to_regclass('sightline.embedding_' || embedding_space.id)
)

-- name: space_without_index
SELECT encoder || ', ' || level
FROM sightline.embedding_space
WHERE NOT EXISTS (
    SELECT FROM pg_index
    WHERE indexrelid = to_regclass('sightline.embedding_' || embedding_space.id || '_hnsw') AND indisvalid
)

-- name: locations
-- Every referenced location with one asset or source that references it.
SELECT location, min(referenced_by) AS referenced_by
FROM (
    SELECT location, id AS referenced_by FROM sightline.asset
    UNION ALL
    SELECT location, name FROM sightline.source WHERE state = 'done'
) AS reference
GROUP BY location
