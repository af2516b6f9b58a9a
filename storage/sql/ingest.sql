-- Writing what an ingest has read. One transaction for each batch.

-- name: known
-- What the collection has of these bytes or at these places.
SELECT
    id, content_key, name, location, kind, state, sidecar_sha256, ocr_engine, tile_scheme,
    EXISTS (SELECT FROM sightline.passage WHERE source_id = source.id AND kind = 'name')
FROM sightline.source
WHERE collection_id = %(collection_id)s
AND (content_key = ANY (%(keys)s) OR location = ANY (%(locations)s))

-- name: take_turn
-- Writers of one collection take turns, so that none waits for a row of another that waits for
-- it. No time limit: a writer may have to wait while an index is built.
SELECT
    set_config('statement_timeout', '0', true),
    pg_advisory_xact_lock(%(family)s, %(collection_id)s)

-- name: forget_failures
-- Of files that are tried again, and of what was no file (an upload, an address, a member).
DELETE FROM sightline.source
WHERE collection_id = %(collection_id)s AND state = 'failed'
AND (
    content_key = ANY (%(keys)s)
    OR location = ANY (%(locations)s) OR location = ANY (%(places)s)
)

-- name: insert_sources
-- Gives no row where another process was first.
INSERT INTO sightline.source (
    collection_id, content_key, name, location, kind, mime_type, byte_size, metadata,
    sidecar_sha256, ocr_engine, tile_scheme, state, error_code, error
)
SELECT
    %(collection_id)s, content_key, name, location, kind, mime_type, byte_size, metadata,
    sidecar_sha256, ocr_engine, tile_scheme, CASE WHEN error IS NULL THEN 'done' ELSE 'failed' END,
    error_code, error
FROM unnest(
    %(keys)s::bytea[], %(names)s::text[], %(locations)s::text[], %(kinds)s::text[],
    %(mime_types)s::text[], %(byte_sizes)s::bigint[], %(metadata)s::jsonb[],
    %(sidecar_sha256s)s::bytea[], %(readers)s::text[], %(tilings)s::text[],
    %(error_codes)s::text[], %(errors)s::text[]
) AS t (
    content_key, name, location, kind, mime_type, byte_size, metadata, sidecar_sha256, ocr_engine,
    tile_scheme, error_code, error
)
ON CONFLICT (collection_id, content_key) DO NOTHING
RETURNING id, content_key

-- name: forget_replaced
-- Sources whose file holds other bytes by now.
DELETE FROM sightline.source AS old
USING sightline.source AS new
WHERE new.id = ANY (%(new_ids)s) AND new.location LIKE 'file:%%'
AND old.collection_id = new.collection_id AND old.location = new.location AND old.id <> new.id
RETURNING new.content_key

-- name: update_source
-- A changed sidecar, or a file that was moved.
UPDATE sightline.source
SET name = %(name)s, location = %(location)s, metadata = %(metadata)s,
    sidecar_sha256 = %(sidecar_sha256)s, ocr_engine = coalesce(%(ocr_engine)s, ocr_engine),
    tile_scheme = coalesce(%(tile_scheme)s, tile_scheme), ingested_at = now()
WHERE id = %(id)s AND collection_id = %(collection_id)s AND state = 'done'
RETURNING id

-- name: update_asset
UPDATE sightline.asset
SET location = %(location)s, caption = %(caption)s, metadata = %(metadata)s,
    captured_at = %(captured_at)s, captured_local = %(captured_local)s
WHERE source_id = %(id)s AND kind = 'image'

-- name: forget_passages
-- Of the kinds that an update writes anew.
DELETE FROM sightline.passage WHERE source_id = ANY (%(ids)s) AND kind = ANY (%(kinds)s)

-- name: forget_regions
-- That another reading or another tiling of the pictures replaces.
DELETE FROM sightline.region
USING sightline.asset
WHERE asset.source_id = ANY (%(ids)s) AND region.asset_id = asset.id AND region.kind = ANY (%(kinds)s)

-- name: take_long
SET LOCAL statement_timeout = 0

-- name: forget_tiles
-- Of a whole collection; their vectors go with them.
DELETE FROM sightline.region
USING sightline.asset
WHERE asset.collection_id = %(collection_id)s AND region.asset_id = asset.id
AND region.kind = 'tile'

-- name: forget_tiling
UPDATE sightline.source SET tile_scheme = NULL
WHERE collection_id = %(collection_id)s AND tile_scheme IS NOT NULL

-- name: leave_space_of_tiles
DELETE FROM sightline.collection_embedding_space
WHERE collection_id = %(collection_id)s AND level = 'region'

-- name: pictures_of
SELECT source_id, ordinal, id, frame_seconds FROM sightline.asset
WHERE source_id = ANY (%(ids)s)

-- name: passage_ids
SELECT nextval(pg_get_serial_sequence('sightline.passage', 'id'))
FROM generate_series(1, %(count)s)

-- name: region_ids
SELECT nextval(pg_get_serial_sequence('sightline.region', 'id'))
FROM generate_series(1, %(count)s)

-- name: copy_assets
COPY sightline.asset (
    id, collection_id, source_id, kind, ordinal, page, frame_seconds, location, sha256, width,
    height, captured_at, captured_local, caption, metadata, perceptual_hash
) FROM STDIN

-- name: copy_regions
COPY sightline.region (id, asset_id, kind, ordinal, x0, y0, x1, y1, label, score) FROM STDIN

-- name: copy_thumbnails
COPY sightline.thumbnail (asset_id, jpeg, width, height) FROM STDIN (FORMAT binary)

-- name: copy_passages
COPY sightline.passage (
    id, collection_id, source_id, asset_id, kind, ordinal, text, language, page, start_seconds,
    end_seconds, char_start, char_end, x0, y0, x1, y1, confidence, tokens, token_count
) FROM STDIN

-- name: copy_postings
COPY sightline.posting (term, passage_id, frequency) FROM STDIN (FORMAT binary)

-- name: copy_embeddings
COPY sightline.{partition} (
    embedding_space_id, collection_id, asset_id, region_id, passage_id, embedding
) FROM STDIN (FORMAT binary)

-- name: analyze
ANALYZE sightline.source, sightline.asset, sightline.passage, sightline.posting

-- name: analyze_partition
ANALYZE sightline.{partition}
