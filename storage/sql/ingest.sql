-- Writes of an ingest. One transaction per batch.

-- name: id_key
SELECT key FROM sightline.id_key

-- name: existing_sources
-- Sources with these bytes or at these locations.
SELECT
    id, content_key, name, location, kind, state, sidecar_sha256, ocr_engine, transcriber,
    tile_scheme,
    EXISTS (SELECT FROM sightline.passage WHERE source_id = source.id AND kind = 'name')
        AS has_name_passage
FROM sightline.source
WHERE collection_id = %(collection_id)s
AND (content_key = ANY (%(keys)s) OR location = ANY (%(locations)s))

-- name: write_settings
-- Until the end of the transaction: a writer may have to wait while an index is built. In a
-- statement of its own: a timeout counts from the start of the statement that waits.
SELECT
    set_config('statement_timeout', '0', true),
    set_config('lock_timeout', %(lock_seconds)s || 's', true)

-- name: delete_failures
-- Of files that are tried again. A place identifies failures without a file (upload, URL, member).
DELETE FROM sightline.source
WHERE collection_id = %(collection_id)s AND state = 'failed'
AND (
    content_key = ANY (%(keys)s)
    OR location = ANY (%(locations)s) OR location = ANY (%(places)s)
)

-- name: failed_files
SELECT
    s.id, c.name AS collection, s.name, s.location, coalesce(s.error_code, '') AS code,
    s.error AS reason, s.ingested_at AS failed_at
FROM sightline.source AS s JOIN sightline.collection AS c ON c.id = s.collection_id
WHERE s.state = 'failed' AND (%(collection)s::text IS NULL OR c.name = %(collection)s)
ORDER BY c.name, s.name, s.id

-- name: unreadable_images
SELECT
    c.name AS collection, s.name, a.id AS asset, a.page, a.frame_seconds AS seconds, s.ingested_at
FROM sightline.asset AS a
JOIN sightline.source AS s ON s.id = a.source_id
JOIN sightline.collection AS c ON c.id = a.collection_id
WHERE a.reading = 'unreadable' AND (%(collection)s::text IS NULL OR c.name = %(collection)s)
ORDER BY c.name, s.name, a.ordinal

-- name: forget_failures
DELETE FROM sightline.source WHERE id = ANY (%(ids)s) AND state = 'failed'

-- name: insert_sources
-- Returns no row for a source that another process inserted first.
INSERT INTO sightline.source (
    collection_id, content_key, name, location, kind, mime_type, byte_size, metadata,
    sidecar_sha256, ocr_engine, transcriber, tile_scheme, state, error_code, error
)
SELECT
    %(collection_id)s, content_key, name, location, kind, mime_type, byte_size, metadata,
    sidecar_sha256, ocr_engine, transcriber, tile_scheme,
    CASE WHEN error IS NULL THEN 'done' ELSE 'failed' END,
    error_code, error
FROM unnest(
    %(keys)s::bytea[], %(names)s::text[], %(locations)s::text[], %(kinds)s::text[],
    %(mime_types)s::text[], %(byte_sizes)s::bigint[], %(metadata)s::jsonb[],
    %(sidecar_sha256s)s::bytea[], %(ocr_engines)s::text[], %(transcribers)s::text[],
    %(tile_schemes)s::text[],
    %(error_codes)s::text[], %(errors)s::text[]
) AS t (
    content_key, name, location, kind, mime_type, byte_size, metadata, sidecar_sha256, ocr_engine,
    transcriber, tile_scheme, error_code, error
)
ON CONFLICT (collection_id, content_key) DO NOTHING
RETURNING id, content_key

-- name: replaced_sources
-- Sources whose file has other bytes now, each with the source of the new bytes.
SELECT old.id, new.id AS new_id
FROM sightline.source AS old
JOIN sightline.source AS new
    ON old.collection_id = new.collection_id AND old.location = new.location AND old.id <> new.id
WHERE new.id = ANY (%(new_ids)s) AND new.location LIKE 'file:%%'

-- name: delete_sources
DELETE FROM sightline.source WHERE id = ANY (%(ids)s)

-- name: update_source
-- After a sidecar changed or the file was moved.
UPDATE sightline.source
SET name = %(name)s, location = %(location)s, metadata = %(metadata)s,
    sidecar_sha256 = %(sidecar_sha256)s, ocr_engine = coalesce(%(ocr_engine)s, ocr_engine),
    transcriber = coalesce(%(transcriber)s, transcriber),
    tile_scheme = coalesce(%(tile_scheme)s, tile_scheme), ingested_at = now()
WHERE id = %(id)s AND collection_id = %(collection_id)s AND state = 'done'
RETURNING id

-- name: update_asset
-- Pages, frames and pictures of documents have bytes and a location of their own.
UPDATE sightline.asset
SET location = CASE WHEN sha256 = %(content_key)s THEN %(location)s ELSE location END,
    caption = %(caption)s, metadata = %(metadata)s,
    captured_at = %(captured_at)s::timestamptz + coalesce(frame_seconds, 0) * interval '1 second',
    captured_local = %(captured_local)s::timestamp + coalesce(frame_seconds, 0) * interval '1 second',
    latitude = %(latitude)s, longitude = %(longitude)s
WHERE source_id = %(id)s

-- name: update_readings
UPDATE sightline.asset SET reading = new.reading
FROM unnest(%(ordinals)s::integer[], %(readings)s::text[]) AS new (ordinal, reading)
WHERE asset.source_id = %(id)s AND asset.ordinal = new.ordinal

-- name: delete_passages
-- Of the kinds that an update writes again.
DELETE FROM sightline.passage WHERE source_id = ANY (%(ids)s) AND kind = ANY (%(kinds)s)

-- name: delete_regions
-- That new OCR or new tiles replace.
DELETE FROM sightline.region
USING sightline.asset
WHERE asset.source_id = ANY (%(ids)s) AND region.asset_id = asset.id AND region.kind = ANY (%(kinds)s)

-- name: no_statement_timeout
SET LOCAL statement_timeout = 0

-- name: delete_tiles
-- Of a whole collection; their vectors are deleted by cascade.
DELETE FROM sightline.region
USING sightline.asset
WHERE asset.collection_id = %(collection_id)s AND region.asset_id = asset.id
AND region.kind = 'tile'

-- name: clear_tile_scheme
UPDATE sightline.source SET tile_scheme = NULL
WHERE collection_id = %(collection_id)s AND tile_scheme IS NOT NULL

-- name: unassign_tile_space
WITH kept AS (
    DELETE FROM sightline.kept_embedding_space
    WHERE collection_id = %(collection_id)s AND level = 'region'
)
DELETE FROM sightline.collection_embedding_space
WHERE collection_id = %(collection_id)s AND level = 'region'

-- name: assets_of_sources
SELECT source_id, ordinal, id, frame_seconds, width, height FROM sightline.asset
WHERE source_id = ANY (%(ids)s)

-- name: assets_of_keys
-- The first assets of sources by their bytes, and how many they have.
SELECT
    source.content_key, (array_agg(asset.id ORDER BY asset.ordinal))[:%(max_assets)s] AS asset_ids,
    count(*) AS asset_count
FROM sightline.source
JOIN sightline.asset ON asset.source_id = source.id
WHERE source.collection_id = %(collection_id)s AND source.content_key = ANY (%(keys)s)
GROUP BY source.content_key

-- name: passage_ids
SELECT sightline.new_ids('passage', %(count)s)

-- name: region_ids
SELECT sightline.new_ids('region', %(count)s)

-- name: copy_assets
COPY sightline.asset (
    id, collection_id, source_id, kind, ordinal, page, frame_seconds, location, sha256, width,
    height, captured_at, captured_local, caption, metadata, latitude, longitude, perceptual_hash,
    symmetric_hash, reading
) FROM STDIN

-- name: copy_regions
COPY sightline.region (id, asset_id, kind, ordinal, x0, y0, x1, y1, label, score) FROM STDIN

-- name: delete_file_annotations
-- That an update writes again; those of people and models stay.
DELETE FROM sightline.annotation
USING sightline.asset
WHERE asset.source_id = ANY (%(ids)s) AND annotation.asset_id = asset.id AND origin = 'file'

-- name: copy_annotations
COPY sightline.annotation (asset_id, label, x0, y0, x1, y1, origin) FROM STDIN

-- name: copy_thumbnails
COPY sightline.thumbnail (asset_id, jpeg, width, height, local_hashes) FROM STDIN (FORMAT binary)

-- name: copy_passages
COPY sightline.passage (
    id, collection_id, source_id, asset_id, kind, ordinal, text, language, page, start_seconds,
    end_seconds, char_start, char_end, x0, y0, x1, y1, confidence, tokens, token_count,
    outside_vocabulary
) FROM STDIN

-- name: copy_postings
COPY sightline.posting (term, passage_id, frequency) FROM STDIN (FORMAT binary)

-- name: insert_vocabulary
INSERT INTO sightline.vocabulary (collection_id, word, term)
SELECT %(id)s, word, term FROM unnest(%(words)s::text[], %(terms)s::text[]) AS t (word, term)
ON CONFLICT DO NOTHING

-- name: copy_embeddings
COPY sightline.{partition} (
    embedding_space_id, collection_id, asset_id, region_id, passage_id, embedding
) FROM STDIN (FORMAT binary)

-- name: analyze
ANALYZE sightline.source, sightline.asset, sightline.passage, sightline.posting,
    sightline.vocabulary

-- name: analyze_partition
ANALYZE sightline.{partition}
