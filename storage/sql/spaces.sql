-- name: insert
-- Returns no row where the space exists.
INSERT INTO sightline.space (encoder, weights, preprocessing, dimension, grain)
VALUES (%(encoder)s, %(weights)s, %(preprocessing)s, %(dimension)s, %(grain)s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: find
SELECT id
FROM sightline.space
WHERE (encoder, weights, preprocessing, dimension, grain)
    = (%(encoder)s, %(weights)s, %(preprocessing)s, %(dimension)s, %(grain)s)

-- name: of_collection
SELECT space.id, encoder, weights, preprocessing, dimension, space.grain
FROM sightline.collection_space
JOIN sightline.space ON space.id = space_id
WHERE collection_id = %(collection_id)s AND collection_space.grain = %(grain)s

-- name: all
SELECT id, encoder, weights, preprocessing, dimension, grain
FROM sightline.space
ORDER BY id

-- name: assign
INSERT INTO sightline.collection_space (collection_id, grain, space_id)
VALUES (%(collection_id)s, %(grain)s, %(space_id)s)
ON CONFLICT DO NOTHING

-- name: partition
-- LIKE and ATTACH instead of PARTITION OF: searches go on meanwhile.
CREATE TABLE sightline.{partition} (
    LIKE sightline.embedding INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CHECK (space_id = {space_id}),
    CONSTRAINT {dimension_check} CHECK (vector_dims(embedding) = {dimension})
);
-- Vectors stay in the row: one that is moved out costs a search five times as much to read.
ALTER TABLE sightline.{partition} ALTER COLUMN embedding SET STORAGE PLAIN;
ALTER TABLE sightline.embedding ATTACH PARTITION sightline.{partition} FOR VALUES IN ({space_id});
SELECT sightline.guard_by_collection({qualified}::regclass);

-- name: create_index
CREATE INDEX IF NOT EXISTS {index} ON sightline.{partition}
USING hnsw ((embedding::halfvec({dimension})) halfvec_cosine_ops)
WITH (m = 16, ef_construction = 128)

-- name: drop_index
DROP INDEX IF EXISTS sightline.{index}

-- name: analyze
-- A load leaves no statistics behind, and the planner guesses badly without them.
ANALYZE sightline.{partition}

-- name: index_exists
-- An index that a crash left unfinished is not valid and does not count.
SELECT EXISTS (
    SELECT FROM pg_index WHERE indexrelid = to_regclass(%(index)s) AND indisvalid
)

-- name: count
SELECT count(*) FROM sightline.{partition}

-- name: lock
-- Until the end of the transaction. One for all spaces (0) or one for each.
SELECT pg_advisory_xact_lock(%(family)s, %(space_id)s)

-- name: build_settings
-- Until the end of the transaction. A graph that does not fit in the memory takes three times
-- as long to build.
SELECT
    set_config('statement_timeout', '0', true),
    set_config(
        'maintenance_work_mem',
        greatest(
            pg_size_bytes(current_setting('maintenance_work_mem')) / 1024,
            %(kilobytes)s::bigint
        ) || 'kB',
        true
    )
