-- name: fetch
-- Everything that a result says of an asset.
SELECT
    asset.id, collection.name, asset.kind, source.name, source.id, source.mime_type,
    asset.page, asset.frame_seconds, asset.width, asset.height,
    asset.captured_at, asset.captured_local, asset.caption, asset.metadata,
    asset.location, asset.sha256
FROM sightline.asset
JOIN sightline.collection ON collection.id = asset.collection_id
JOIN sightline.source ON source.id = asset.source_id
WHERE asset.id = ANY(%(ids)s)

-- name: thumbnail
SELECT jpeg FROM sightline.thumbnail WHERE asset_id = %(id)s

-- name: thumbnails
SELECT asset_id, jpeg FROM sightline.thumbnail WHERE asset_id = ANY(%(ids)s)

-- name: delete
-- Vectors, regions, passages, thumbnails and annotations go with them. A source goes with the
-- last of its assets, and with the passages that stand on no asset.
WITH gone AS (
    DELETE FROM sightline.asset
    WHERE id = ANY(%(ids)s)
    RETURNING id, source_id, location
), empty AS (
    DELETE FROM sightline.source
    WHERE id IN (SELECT source_id FROM gone)
    AND NOT EXISTS (
        SELECT FROM sightline.asset
        WHERE asset.source_id = source.id AND asset.id <> ALL(%(ids)s)
    )
    RETURNING id, location
)
SELECT
    ARRAY(SELECT id FROM gone),
    (SELECT count(*) FROM empty),
    ARRAY(SELECT location FROM gone UNION SELECT location FROM empty)

-- name: locations_of_collection
SELECT location FROM sightline.asset WHERE collection_id = %(id)s
UNION
SELECT location FROM sightline.source WHERE collection_id = %(id)s

-- name: unreferenced
-- Which of the locations no row names any more.
SELECT candidate
FROM unnest(%(locations)s::text[]) AS candidate
WHERE NOT EXISTS (SELECT FROM sightline.asset WHERE location = candidate)
AND NOT EXISTS (SELECT FROM sightline.source WHERE location = candidate)

-- name: lock_objects_shared
-- Until the end of the transaction.
SELECT pg_advisory_xact_lock_shared(%(key)s)

-- name: lock_objects
SELECT pg_advisory_xact_lock(%(key)s)
