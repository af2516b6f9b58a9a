-- Re-encoding: vectors of another encoder beside those that a collection uses, then a switch.

-- name: kept
-- The embedding spaces beside those that the collection uses.
SELECT
    k.role, k.since, s.id, s.encoder AS name, s.weights, s.preprocessing, s.dimension, s.level
FROM sightline.kept_embedding_space AS k
JOIN sightline.embedding_space AS s ON s.id = k.embedding_space_id
WHERE k.collection_id = %(collection_id)s
ORDER BY s.id

-- name: keep
INSERT INTO sightline.kept_embedding_space (collection_id, level, role, embedding_space_id)
VALUES (%(collection_id)s, %(level)s, %(role)s, %(space_id)s)

-- name: forget
DELETE FROM sightline.kept_embedding_space
WHERE collection_id = %(collection_id)s AND embedding_space_id = ANY (%(space_ids)s)

-- name: use
UPDATE sightline.collection_embedding_space SET embedding_space_id = %(space_id)s
WHERE collection_id = %(collection_id)s AND level = %(level)s

-- name: mark_outside_vocabulary
-- Passages without a vector in the space, except those that its encoder failed on.
UPDATE sightline.passage AS p SET outside_vocabulary = checked.is_outside
FROM (
    SELECT
        id, id <> ALL (%(failed)s::bigint[]) AND NOT EXISTS (
            SELECT FROM sightline.{partition} AS e WHERE e.passage_id = passage.id
        ) AS is_outside
    FROM sightline.passage
    WHERE collection_id = %(collection_id)s AND kind <> ALL (%(name_kinds)s)
) AS checked
WHERE p.id = checked.id AND p.outside_vocabulary <> checked.is_outside

-- name: assets_without_vector
-- In the order of their ids. Sounds have none.
SELECT
    a.id AS asset_id, a.location, a.sha256,
    CASE WHEN a.location = s.location THEN a.ordinal ELSE 0 END AS ordinal, s.name
FROM sightline.asset AS a
JOIN sightline.source AS s ON s.id = a.source_id
WHERE a.collection_id = %(collection_id)s AND a.kind <> 'audio' AND a.id > %(after)s
AND a.id <> ALL (%(skipped)s)
AND NOT EXISTS (
    SELECT FROM sightline.{partition} AS e
    WHERE e.asset_id = a.id AND e.region_id IS NULL AND e.passage_id IS NULL
)
ORDER BY a.id
LIMIT %(rows)s

-- name: assets_without_tile_vectors
SELECT
    a.id AS asset_id, a.location, a.sha256,
    CASE WHEN a.location = s.location THEN a.ordinal ELSE 0 END AS ordinal, s.name
FROM sightline.asset AS a
JOIN sightline.source AS s ON s.id = a.source_id
WHERE a.collection_id = %(collection_id)s AND a.id > %(after)s
AND a.id <> ALL (%(skipped)s)
AND EXISTS (
    SELECT FROM sightline.region AS r
    WHERE r.asset_id = a.id AND r.kind = 'tile'
    AND NOT EXISTS (SELECT FROM sightline.{partition} AS e WHERE e.region_id = r.id)
)
ORDER BY a.id
LIMIT %(rows)s

-- name: tiles
SELECT r.asset_id, r.id AS region_id, r.ordinal, r.x0, r.y0, r.x1, r.y1
FROM sightline.region AS r
WHERE r.asset_id = ANY (%(assets)s) AND r.kind = 'tile'

-- name: passages_without_vector
SELECT p.id AS passage_id, p.text
FROM sightline.passage AS p
WHERE p.collection_id = %(collection_id)s AND p.kind <> ALL (%(name_kinds)s)
AND p.id > %(after)s AND p.id <> ALL (%(skipped)s)
AND NOT EXISTS (SELECT FROM sightline.{partition} AS e WHERE e.passage_id = p.id)
ORDER BY p.id
LIMIT %(rows)s

-- name: insert_asset_vector
-- Unless the asset was deleted.
INSERT INTO sightline.{partition} (embedding_space_id, collection_id, asset_id, embedding)
SELECT {embedding_space_id}, a.collection_id, a.id, %(vector)b::halfvec
FROM sightline.asset AS a WHERE a.id = %(id)s
ON CONFLICT DO NOTHING

-- name: insert_tile_vector
INSERT INTO sightline.{partition} (
    embedding_space_id, collection_id, asset_id, region_id, embedding
)
SELECT {embedding_space_id}, a.collection_id, a.id, r.id, %(vector)b::halfvec
FROM sightline.region AS r JOIN sightline.asset AS a ON a.id = r.asset_id
WHERE r.id = %(id)s
ON CONFLICT DO NOTHING

-- name: insert_passage_vector
INSERT INTO sightline.{partition} (
    embedding_space_id, collection_id, asset_id, passage_id, embedding
)
SELECT {embedding_space_id}, p.collection_id, p.asset_id, p.id, %(vector)b::halfvec
FROM sightline.passage AS p WHERE p.id = %(id)s
ON CONFLICT DO NOTHING

-- name: count_assets
-- Images of a collection, and how many have a vector.
SELECT
    (SELECT count(*) FROM sightline.asset
     WHERE collection_id = %(collection_id)s AND kind <> 'audio') AS total,
    (SELECT count(*) FROM sightline.{partition}
     WHERE collection_id = %(collection_id)s) AS done

-- name: count_tiles
SELECT
    (SELECT count(*) FROM sightline.region AS r JOIN sightline.asset AS a ON a.id = r.asset_id
     WHERE a.collection_id = %(collection_id)s AND r.kind = 'tile') AS total,
    (SELECT count(*) FROM sightline.{partition}
     WHERE collection_id = %(collection_id)s) AS done

-- name: count_passages
SELECT
    (SELECT count(*) FROM sightline.passage
     WHERE collection_id = %(collection_id)s AND kind <> ALL (%(name_kinds)s)) AS total,
    (SELECT count(*) FROM sightline.{partition}
     WHERE collection_id = %(collection_id)s) AS done

-- name: added_assets
-- Images that came after the switch, and so have no vectors in the previous space.
SELECT count(*) FROM sightline.asset AS a
WHERE a.collection_id = %(collection_id)s AND a.kind <> 'audio'
AND NOT EXISTS (
    SELECT FROM sightline.{partition} AS e
    WHERE e.asset_id = a.id AND e.region_id IS NULL AND e.passage_id IS NULL
)

-- name: added_tiles
SELECT count(DISTINCT r.asset_id) FROM sightline.region AS r
JOIN sightline.asset AS a ON a.id = r.asset_id
WHERE a.collection_id = %(collection_id)s AND r.kind = 'tile'
AND NOT EXISTS (SELECT FROM sightline.{partition} AS e WHERE e.region_id = r.id)

-- name: added_passages
-- Older ones without a vector are outside of the encoder's vocabulary.
SELECT count(*) FROM sightline.passage AS p
JOIN sightline.source AS s ON s.id = p.source_id
WHERE p.collection_id = %(collection_id)s AND p.kind <> ALL (%(name_kinds)s)
AND s.ingested_at >= %(since)s
AND NOT EXISTS (SELECT FROM sightline.{partition} AS e WHERE e.passage_id = p.id)

-- name: delete_results
-- Of what was measured or computed with the vectors of the spaces.
WITH space AS (
    SELECT id FROM sightline.embedding_space WHERE id = ANY (%(space_ids)s)
), reliability AS (
    DELETE FROM sightline.encoder_reliability
    WHERE collection_id = %(collection_id)s AND embedding_space_id IN (SELECT id FROM space)
), clusters AS (
    DELETE FROM sightline.cluster
    WHERE collection_id = %(collection_id)s AND embedding_space_id IN (SELECT id FROM space)
)
DELETE FROM sightline.compared_asset
WHERE collection_id = %(collection_id)s AND embedding_space_id IN (SELECT id FROM space)

-- name: delete_vectors
-- Some vectors of a collection in a space.
DELETE FROM sightline.{partition}
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM sightline.{partition}
    WHERE collection_id = %(collection_id)s LIMIT %(rows)s
))

-- name: sources_to_read
-- With images whose text another engine read, or other languages. A sidecar is not read again.
SELECT
    id, content_key, name, location, kind, state, NULL::bytea AS sidecar_sha256, ocr_engine,
    transcriber, tile_scheme, true AS has_name_passage
FROM sightline.source
WHERE collection_id = %(collection_id)s AND state = 'done' AND kind NOT IN ('text', 'audio')
AND id > %(after)s AND (ocr_engine IS NULL OR ocr_engine <> ALL (%(engines)s))
ORDER BY id
LIMIT %(rows)s

-- name: count_sources_to_read
SELECT count(*) FROM sightline.source
WHERE collection_id = %(collection_id)s AND state = 'done' AND kind NOT IN ('text', 'audio')
AND (ocr_engine IS NULL OR ocr_engine <> ALL (%(engines)s))

-- name: set_ocr_engine
-- Of a source that was not deleted in the meantime.
UPDATE sightline.source SET ocr_engine = %(ocr_engine)s, ingested_at = now()
WHERE id = %(id)s AND collection_id = %(collection_id)s AND state = 'done'
RETURNING id
