-- name: fetch
SELECT
    asset.id, collection.name AS collection, asset.kind, source.name AS source,
    source.id AS source_id, source.mime_type, asset.page, asset.frame_seconds, asset.width,
    asset.height, asset.captured_at, asset.captured_local, asset.caption, asset.metadata,
    asset.location, asset.sha256
FROM sightline.asset
JOIN sightline.collection ON collection.id = asset.collection_id
JOIN sightline.source ON source.id = asset.source_id
WHERE asset.id = ANY(%(ids)s)

-- name: thumbnails
SELECT asset_id, jpeg FROM sightline.thumbnail WHERE asset_id = ANY(%(ids)s)

-- name: text_lines
-- OCR lines with their boxes, and the text layer of pages (without box), in reading order.
SELECT asset_id, label AS text, ARRAY[x0, y0, x1, y1] AS box, ordinal
FROM sightline.region
WHERE asset_id = ANY (%(ids)s) AND kind = 'ocr_line' AND label IS NOT NULL
UNION ALL
SELECT asset_id, text, NULL, ordinal
FROM sightline.passage
WHERE asset_id = ANY (%(ids)s) AND kind = 'page_text'
ORDER BY 1, 4

-- name: find_by_filename
SELECT source.name AS source, asset.id, asset.page
FROM sightline.source
JOIN sightline.asset ON asset.source_id = source.id
JOIN sightline.collection ON collection.id = source.collection_id
WHERE (%(collection)s::text IS NULL OR collection.name = %(collection)s)
AND regexp_replace(source.name, '^.*/', '') = ANY (%(files)s)
ORDER BY source.name, asset.page, asset.frame_seconds, asset.id

-- name: find_passages_by_filename
SELECT source.name AS source, passage.id, passage.page, passage.kind, passage.text
FROM sightline.source
JOIN sightline.passage ON passage.source_id = source.id
JOIN sightline.collection ON collection.id = source.collection_id
WHERE (%(collection)s::text IS NULL OR collection.name = %(collection)s)
AND regexp_replace(source.name, '^.*/', '') = ANY (%(files)s)
ORDER BY
    source.name, passage.page, passage.kind, passage.ordinal, passage.start_seconds, passage.id

-- name: delete
-- Vectors, regions, passages, thumbnails and annotations are deleted by cascade. A source is
-- deleted with its last asset, and then its passages without an asset too.
WITH deleted AS (
    DELETE FROM sightline.asset
    WHERE id = ANY(%(ids)s)
    RETURNING id, source_id, location
), empty AS (
    DELETE FROM sightline.source
    WHERE id IN (SELECT source_id FROM deleted)
    AND NOT EXISTS (
        SELECT FROM sightline.asset
        WHERE asset.source_id = source.id AND asset.id <> ALL(%(ids)s)
    )
    RETURNING id, location
)
SELECT
    ARRAY(SELECT id FROM deleted) AS asset_ids,
    (SELECT count(*) FROM empty) AS source_count,
    ARRAY(SELECT location FROM deleted UNION SELECT location FROM empty) AS locations

-- name: unreferenced_locations
SELECT candidate
FROM unnest(%(locations)s::text[]) AS candidate
WHERE NOT EXISTS (SELECT FROM sightline.asset WHERE location = candidate)
AND NOT EXISTS (SELECT FROM sightline.source WHERE location = candidate)
