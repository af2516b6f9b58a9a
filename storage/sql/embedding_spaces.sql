-- name: insert
-- Returns no row if the space exists.
INSERT INTO sightline.embedding_space (encoder, weights, preprocessing, dimension, level)
VALUES (%(name)s, %(weights)s, %(preprocessing)s, %(dimension)s, %(level)s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: find
SELECT id
FROM sightline.embedding_space
WHERE (encoder, weights, preprocessing, dimension, level)
    = (%(name)s, %(weights)s, %(preprocessing)s, %(dimension)s, %(level)s)

-- name: find_for_collection
SELECT s.id, s.encoder AS name, s.weights, s.preprocessing, s.dimension, s.level
FROM sightline.collection_embedding_space AS u
JOIN sightline.embedding_space AS s ON s.id = u.embedding_space_id
WHERE u.collection_id = %(collection_id)s AND u.level = %(level)s

-- name: of_collections
-- The embedding spaces of whole images, by collection.
SELECT
    u.collection_id, s.id, s.encoder AS name, s.weights, s.preprocessing, s.dimension, s.level
FROM sightline.collection_embedding_space AS u
JOIN sightline.embedding_space AS s ON s.id = u.embedding_space_id
WHERE u.level = 'asset' AND u.collection_id = ANY (%(collections)s)

-- name: of_collection
-- The embedding space of each level.
SELECT s.id, s.encoder AS name, s.weights, s.preprocessing, s.dimension, s.level
FROM sightline.collection_embedding_space AS u
JOIN sightline.embedding_space AS s ON s.id = u.embedding_space_id
WHERE u.collection_id = %(collection_id)s
ORDER BY s.id

-- name: hold
-- Nobody drops them until the end of the transaction.
SELECT id FROM sightline.embedding_space WHERE id = ANY (%(ids)s) FOR KEY SHARE

-- name: unused
-- Locked, without those that an ingest is about to use.
SELECT s.id, s.encoder AS name, s.weights, s.preprocessing, s.dimension, s.level
FROM sightline.embedding_space AS s
WHERE id NOT IN (SELECT embedding_space_id FROM sightline.collection_embedding_space)
AND id NOT IN (SELECT embedding_space_id FROM sightline.kept_embedding_space)
AND (%(ids)s::integer[] IS NULL OR id = ANY (%(ids)s))
ORDER BY s.id
FOR UPDATE SKIP LOCKED

-- name: drop_partition
DROP TABLE IF EXISTS sightline.{partition}

-- name: delete
DELETE FROM sightline.embedding_space WHERE id = %(id)s

-- name: list
SELECT id, encoder AS name, weights, preprocessing, dimension, level
FROM sightline.embedding_space
ORDER BY id

-- name: assign
INSERT INTO sightline.collection_embedding_space (collection_id, level, embedding_space_id)
VALUES (%(collection_id)s, %(level)s, %(embedding_space_id)s)
ON CONFLICT DO NOTHING

-- name: create_partition
-- LIKE and ATTACH do not block searches; PARTITION OF would.
CREATE TABLE sightline.{partition} (
    LIKE sightline.embedding INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CHECK (embedding_space_id = {embedding_space_id}),
    CONSTRAINT {dimension_check} CHECK (vector_dims(embedding) = {dimension})
);
-- Keep vectors in the row: reading TOASTed vectors makes a search five times slower.
ALTER TABLE sightline.{partition} ALTER COLUMN embedding SET STORAGE PLAIN;
ALTER TABLE sightline.embedding
ATTACH PARTITION sightline.{partition} FOR VALUES IN ({embedding_space_id});
SELECT sightline.enable_collection_policy({qualified}::regclass);

-- name: create_index
CREATE INDEX IF NOT EXISTS {index} ON sightline.{partition}
USING hnsw ((embedding::halfvec({dimension})) halfvec_cosine_ops)
WITH (m = 16, ef_construction = 128)

-- name: drop_index
DROP INDEX IF EXISTS sightline.{index}

-- name: analyze
-- A bulk load leaves no statistics, and without them the planner chooses bad plans.
ANALYZE sightline.{partition}

-- name: index_exists
-- An index that a crash left incomplete is invalid and does not count.
SELECT EXISTS (
    SELECT FROM pg_index WHERE indexrelid = to_regclass(%(index)s) AND indisvalid
)

-- name: count_vectors
SELECT count(*) FROM sightline.{partition}

-- name: creation_settings
-- Until the end of the transaction. A new partition waits for the transactions of writers.
SELECT set_config('lock_timeout', '30s', true)

-- name: drop_settings
-- Until the end of the transaction. A drop waits for readers, and every search queues behind it: an
-- analyst with an open transaction must not stop them.
SELECT set_config('lock_timeout', '1s', true)

-- name: build_settings
-- Until the end of the transaction. A graph that does not fit into memory takes three times as
-- long to build. The build waits for writers only.
SELECT
    set_config('statement_timeout', '0', true),
    set_config('lock_timeout', '60s', true),
    set_config(
        'maintenance_work_mem',
        greatest(
            pg_size_bytes(current_setting('maintenance_work_mem')) / 1024,
            %(kilobytes)s::bigint
        ) || 'kB',
        true
    )
