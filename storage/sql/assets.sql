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
-- OCR lines, paragraphs of the text layer of pages, and speech on its waveform, in reading order.
SELECT
    asset_id, label AS text, ARRAY[x0, y0, x1, y1] AS box, NULL::real[] AS paragraph_box, ordinal
FROM sightline.region
WHERE asset_id = ANY (%(ids)s) AND kind = 'ocr_line' AND label IS NOT NULL
UNION ALL
SELECT asset_id, text, NULL, CASE WHEN x0 IS NOT NULL THEN ARRAY[x0, y0, x1, y1] END, ordinal
FROM sightline.passage
WHERE asset_id = ANY (%(ids)s) AND kind = 'page_text'
UNION ALL
SELECT asset_id, text, ARRAY[x0, y0, x1, y1], NULL, ordinal
FROM sightline.passage
WHERE asset_id = ANY (%(ids)s) AND kind = 'speech' AND x0 IS NOT NULL
ORDER BY 1, 5

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

-- name: collections_of_assets
SELECT collection.id, collection.name, array_agg(asset.id) AS asset_ids
FROM sightline.asset
JOIN sightline.collection ON collection.id = asset.collection_id
WHERE asset.id = ANY(%(ids)s)
GROUP BY collection.id
ORDER BY collection.id

-- name: emptied_sources
-- Sources of which no asset remains without these.
SELECT DISTINCT source_id
FROM sightline.asset AS deleted
WHERE id = ANY(%(ids)s) AND collection_id = ANY(%(collections)s)
AND NOT EXISTS (
    SELECT FROM sightline.asset
    WHERE asset.source_id = deleted.source_id AND asset.id <> ALL(%(ids)s)
)

-- name: delete
-- Vectors, regions, passages, thumbnails and annotations are deleted by cascade. A source is
-- deleted with its last asset, and then its passages without an asset too.
WITH deleted AS (
    DELETE FROM sightline.asset
    WHERE id = ANY(%(ids)s) AND collection_id = ANY(%(collections)s)
    RETURNING id, location
), empty AS (
    DELETE FROM sightline.source
    WHERE id = ANY(%(emptied)s)
    RETURNING id, location
)
SELECT
    ARRAY(SELECT id FROM deleted) AS asset_ids,
    (SELECT count(*) FROM empty) AS source_count,
    (
        SELECT count(*) FROM sightline.passage WHERE kind NOT IN ('name', 'metadata') AND asset_id = ANY(%(ids)s)
    ) + (
        SELECT count(*) FROM empty JOIN sightline.passage ON passage.source_id = empty.id
        WHERE passage.kind NOT IN ('name', 'metadata') AND passage.asset_id IS NULL
    ) AS passage_count,
    (SELECT count(*) FROM sightline.annotation WHERE asset_id = ANY(%(ids)s)) AS annotation_count,
    ARRAY(SELECT location FROM deleted UNION SELECT location FROM empty) AS locations

-- name: sources_to_delete
-- Sources of a collection by name or id. A name can be that of several files.
SELECT id, name
FROM sightline.source
WHERE collection_id = %(collection_id)s AND (name = ANY(%(names)s) OR id = ANY(%(ids)s))

-- name: sources_at
-- Of these sources, those that are still at these locations.
SELECT source.id
FROM unnest(%(ids)s::bigint[], %(locations)s::text[]) AS wanted (id, location)
JOIN sightline.source ON source.id = wanted.id AND source.location = wanted.location
WHERE source.collection_id = %(collection_id)s

-- name: deletion_batch
-- The next sources of a collection: at most a number of sources, and of assets and passages unless
-- the first source alone has more.
SELECT id, content_key
FROM (
    SELECT id, content_key, sum(rows) OVER (ORDER BY content_key) - rows AS rows_before
    FROM (
        SELECT id, content_key,
            (SELECT count(*) FROM sightline.asset WHERE source_id = source.id)
            + (SELECT count(*) FROM sightline.passage WHERE source_id = source.id) AS rows
        FROM sightline.source
        WHERE collection_id = %(collection_id)s AND content_key > %(after)s
        ORDER BY content_key
        LIMIT %(max_sources)s
    ) AS next
) AS counted
WHERE rows_before < %(max_rows)s
ORDER BY content_key

-- name: count_sources
-- What the deletion of these sources deletes; of the whole collection without ids. content: changes
-- with the sources, their assets and annotations. Passages change only with one of them.
WITH source AS (
    SELECT
        count(*) AS number,
        bit_xor(hashtextextended(id || ' ' || extract(epoch FROM ingested_at), 0)) AS content
    FROM sightline.source
    WHERE collection_id = %(collection_id)s
    AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
), asset AS (
    SELECT count(*) AS number, bit_xor(hashtextextended(id, 0)) AS content
    FROM sightline.asset
    WHERE collection_id = %(collection_id)s
    AND (%(ids)s::bigint[] IS NULL OR source_id = ANY(%(ids)s))
), passage AS (
    SELECT count(*) AS number
    FROM sightline.passage
    WHERE collection_id = %(collection_id)s AND kind NOT IN ('name', 'metadata')
    AND (%(ids)s::bigint[] IS NULL OR source_id = ANY(%(ids)s))
), annotation AS (
    SELECT count(*) AS number, bit_xor(hashtextextended(annotation.id::text, 0)) AS content
    FROM sightline.annotation
    JOIN sightline.asset ON asset.id = annotation.asset_id
    WHERE asset.collection_id = %(collection_id)s
    AND (%(ids)s::bigint[] IS NULL OR asset.source_id = ANY(%(ids)s))
)
SELECT
    source.number AS sources, asset.number AS assets, passage.number AS passages,
    annotation.number AS annotations,
    concat_ws(
        ' ', %(collection_id)s::bigint, source.content, asset.content, annotation.content
    ) AS content
FROM source, asset, passage, annotation

-- name: delete_sources
-- Everything that depends on a source is deleted by cascade. All parts of the statement see the
-- rows as they were before.
WITH deleted AS (
    DELETE FROM sightline.source
    WHERE collection_id = %(collection_id)s AND id = ANY(%(ids)s)
    RETURNING id, location
), own_asset AS MATERIALIZED (
    SELECT id, location FROM sightline.asset
    WHERE collection_id = %(collection_id)s AND source_id = ANY(%(ids)s)
)
SELECT
    (SELECT count(*) FROM deleted) AS sources,
    (SELECT count(*) FROM own_asset) AS assets,
    (
        SELECT count(*) FROM sightline.passage
        WHERE collection_id = %(collection_id)s AND source_id = ANY(%(ids)s) AND kind NOT IN ('name', 'metadata')
    ) AS passages,
    (
        SELECT count(*) FROM sightline.annotation
        WHERE asset_id IN (SELECT id FROM own_asset)
    ) AS annotations,
    ARRAY(
        SELECT location FROM deleted WHERE location LIKE 'object:%%'
        UNION
        SELECT location FROM own_asset WHERE location LIKE 'object:%%'
    ) AS locations

-- name: no_statement_timeout
SET LOCAL statement_timeout = 0

-- name: delete_collection
DELETE FROM sightline.collection WHERE id = %(collection_id)s

-- name: collection_exists
SELECT EXISTS (SELECT FROM sightline.collection WHERE id = %(collection_id)s)

-- name: unreferenced_locations
SELECT candidate
FROM unnest(%(locations)s::text[]) AS candidate
WHERE NOT EXISTS (SELECT FROM sightline.asset WHERE location = candidate)
AND NOT EXISTS (SELECT FROM sightline.source WHERE location = candidate)
