-- What a library holds, for people.

-- name: database
SELECT
    pg_database_size(current_database()) AS database_bytes,
    pg_total_relation_size('sightline.thumbnail') AS thumbnail_bytes,
    (
        SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
        FROM pg_inherits WHERE inhparent = 'sightline.embedding'::regclass
    ) AS vector_bytes,
    pg_total_relation_size('sightline.passage') + pg_total_relation_size('sightline.posting')
        AS text_bytes

-- name: sources
SELECT coalesce(mime_type, 'unknown') AS type, state, count(*) AS files, sum(byte_size)::bigint AS bytes
FROM sightline.source
WHERE %(collection)s::text IS NULL
OR collection_id = (SELECT id FROM sightline.collection WHERE name = %(collection)s)
GROUP BY 1, 2 ORDER BY 2, 3 DESC, 1

-- name: assets
SELECT kind, count(*) AS number
FROM sightline.asset
WHERE %(collection)s::text IS NULL
OR collection_id = (SELECT id FROM sightline.collection WHERE name = %(collection)s)
GROUP BY 1 ORDER BY 2 DESC, 1

-- name: passages
SELECT kind, count(*) AS number
FROM sightline.passage
WHERE kind NOT IN ('name', 'metadata') AND (
    %(collection)s::text IS NULL
    OR collection_id = (SELECT id FROM sightline.collection WHERE name = %(collection)s)
)
GROUP BY 1 ORDER BY 2 DESC, 1

-- name: annotations
SELECT origin AS kind, count(*) AS number
FROM sightline.annotation JOIN sightline.asset ON asset.id = annotation.asset_id
WHERE %(collection)s::text IS NULL
OR collection_id = (SELECT id FROM sightline.collection WHERE name = %(collection)s)
GROUP BY 1 ORDER BY 2 DESC, 1

-- name: spaces
SELECT
    space.id, space.encoder, space.level, space.dimension,
    array_agg(collection.name ORDER BY collection.name) AS collections
FROM sightline.embedding_space AS space
JOIN sightline.collection_embedding_space AS used ON used.embedding_space_id = space.id
JOIN sightline.collection ON collection.id = used.collection_id
WHERE %(collection)s::text IS NULL OR collection.name = %(collection)s
GROUP BY space.id ORDER BY space.id
