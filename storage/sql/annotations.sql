-- name: insert
INSERT INTO sightline.annotation
    (asset_id, label, x0, y0, x1, y1, score, origin, model, author, note)
VALUES
    (%(asset_id)s, %(label)s, %(x0)s, %(y0)s, %(x1)s, %(y1)s, %(score)s, %(origin)s, %(model)s,
     %(author)s, %(note)s)
RETURNING id

-- name: count_by_author
SELECT count(*)
FROM sightline.annotation
WHERE asset_id = %(asset_id)s AND author IS NOT DISTINCT FROM %(author)s AND origin IN ('person', 'model')

-- name: delete_by_author
DELETE FROM sightline.annotation
WHERE asset_id = %(asset_id)s AND author IS NOT DISTINCT FROM %(author)s AND origin IN ('person', 'model')

-- name: delete_by_id
-- Own annotations, and those that a model or the detector made.
DELETE FROM sightline.annotation
WHERE asset_id = %(asset_id)s AND id = ANY(%(ids)s)
    AND (
        origin IN ('model', 'detector')
        OR (origin = 'person' AND author IS NOT DISTINCT FROM %(author)s)
    )
RETURNING id

-- name: list_newest
-- The newest annotations of each asset, and how many it has.
SELECT
    newest.id, newest.asset_id, label, ARRAY[x0, y0, x1, y1] AS box, score, origin, model, author,
    note, created_at, total
FROM unnest(%(asset_ids)s::text[]) AS wanted (asset_id)
CROSS JOIN LATERAL (
    SELECT annotation.*, count(*) OVER () AS total
    FROM sightline.annotation
    WHERE annotation.asset_id = wanted.asset_id
    ORDER BY created_at DESC, id DESC
    LIMIT %(limit)s
) AS newest
ORDER BY newest.asset_id, created_at, newest.id

-- name: list_by_asset
SELECT
    id, asset_id, label, ARRAY[x0, y0, x1, y1] AS box, score, origin, model, author, note,
    created_at
FROM sightline.annotation
WHERE asset_id = ANY(%(asset_ids)s)
ORDER BY asset_id, created_at, id

-- name: get
SELECT
    id, asset_id, label, ARRAY[x0, y0, x1, y1] AS box, score, origin, model, author, note,
    created_at
FROM sightline.annotation
WHERE id = %(id)s

-- name: annotated_asset_ids
-- In ingest order.
SELECT asset.id
FROM sightline.asset
JOIN sightline.collection ON collection.id = asset.collection_id
WHERE (%(collection)s::text IS NULL OR collection.name = %(collection)s)
AND EXISTS (SELECT FROM sightline.annotation WHERE annotation.asset_id = asset.id)
ORDER BY
    asset.collection_id, asset.created_at, asset.source_id, asset.page, asset.frame_seconds, asset.id
