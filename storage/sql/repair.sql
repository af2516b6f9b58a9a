-- Repairs of `sightline check --repair`; names match the blocks of check.sql.

-- name: no_time_limit
-- Until the end of the transaction.
SELECT set_config('statement_timeout', '0', true)

-- name: partition_state
SELECT CASE
    WHEN to_regclass(%(partition)s) IS NULL THEN 'missing'
    WHEN EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'sightline.embedding'::regclass
        AND inhrelid = to_regclass(%(partition)s)
    ) THEN 'attached'
    ELSE 'detached'
END

-- name: attach_partition
ALTER TABLE sightline.embedding ATTACH PARTITION sightline.{partition} FOR VALUES IN ({embedding_space_id})

-- name: posting_without_passage
DELETE FROM sightline.posting
WHERE NOT EXISTS (SELECT FROM sightline.passage WHERE id = passage_id)

-- name: vector_of_another_collection
UPDATE sightline.embedding
SET collection_id = owner.collection_id
FROM (
    SELECT id AS asset_id, NULL::bigint AS passage_id, collection_id FROM sightline.asset
    UNION ALL
    SELECT NULL, id, collection_id FROM sightline.passage
) AS owner
WHERE embedding.collection_id <> owner.collection_id
AND (
    (embedding.passage_id IS NULL AND owner.asset_id = embedding.asset_id)
    OR owner.passage_id = embedding.passage_id
)

-- name: vector_in_an_unused_space
DELETE FROM sightline.embedding
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

-- name: source_without_content
-- The next ingest adds it again.
DELETE FROM sightline.source
WHERE state = 'done'
AND NOT EXISTS (SELECT FROM sightline.asset WHERE source_id = source.id)
AND NOT EXISTS (SELECT FROM sightline.passage WHERE source_id = source.id)

-- name: incomplete_assets
SELECT
    asset.id AS asset_id, NULL::bigint AS passage_id, asset.collection_id, asset.location,
    asset.sha256, embedding_space_id,
    NOT EXISTS (SELECT FROM sightline.thumbnail WHERE asset_id = asset.id) AS lacks_thumbnail,
    embedding_space_id IS NOT NULL AND asset.kind <> 'audio' AND NOT EXISTS (
        SELECT FROM sightline.embedding
        WHERE embedding.asset_id = asset.id
        AND embedding.embedding_space_id = collection_embedding_space.embedding_space_id
        AND region_id IS NULL AND passage_id IS NULL
    ) AS lacks_vector
FROM sightline.asset
LEFT JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = asset.collection_id AND level = 'asset'
WHERE asset.id = ANY (%(ids)s)
ORDER BY asset.id

-- name: insert_thumbnail
INSERT INTO sightline.thumbnail (asset_id, jpeg, width, height, local_hashes)
VALUES (%(asset_id)s, %(jpeg)s, %(width)s, %(height)s, %(local_hashes)s)
ON CONFLICT DO NOTHING

-- name: insert_vector
INSERT INTO sightline.embedding (embedding_space_id, collection_id, asset_id, passage_id, embedding)
VALUES (%(embedding_space_id)s, %(collection_id)s, %(asset_id)s, %(passage_id)s, %(vector)b)
ON CONFLICT DO NOTHING

-- name: passages
SELECT
    passage.id AS passage_id, passage.collection_id, passage.asset_id, passage.text,
    embedding_space_id
FROM sightline.passage
LEFT JOIN sightline.collection_embedding_space
    ON collection_embedding_space.collection_id = passage.collection_id AND level = 'passage'
WHERE passage.id = ANY (SELECT ltrim(id, 'p')::bigint FROM unnest(%(ids)s::text[]) AS id)
ORDER BY passage.id

-- name: insert_posting
INSERT INTO sightline.posting (term, passage_id, frequency)
VALUES (%(term)s, %(passage_id)s, %(frequency)s)
ON CONFLICT DO NOTHING

-- name: insert_words
INSERT INTO sightline.vocabulary (collection_id, word, term)
SELECT collection_id, %(word)s, %(term)s FROM sightline.passage WHERE id = %(passage_id)s
ON CONFLICT DO NOTHING

-- name: drop_sources_without_blobs
-- Sources with missing pages or frames, and without annotations that an ingest cannot repeat. The
-- next ingest creates them again with the same ids.
DELETE FROM sightline.source
WHERE location <> ALL (%(locations)s)
AND EXISTS (
    SELECT FROM sightline.asset
    WHERE source_id = source.id AND asset.location = ANY (%(locations)s)
)
AND NOT EXISTS (
    SELECT FROM sightline.asset
    JOIN sightline.annotation ON annotation.asset_id = asset.id
    WHERE source_id = source.id AND annotation.origin <> 'detector'
)
RETURNING name
