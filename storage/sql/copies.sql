-- Copies of a picture, and near-duplicates. {rows} are the tables of `storage/sql/retrieval.sql` with
-- the condition of the scope; hashes are those of `storage/picture_hashes.py`.

-- name: hashes
-- The hashes of assets, without those of plain pictures.
SELECT
    a.id AS asset_id, a.perceptual_hash AS perceptual, a.symmetric_hash AS symmetric,
    t.local_hashes AS local
FROM sightline.asset AS a
LEFT JOIN sightline.thumbnail AS t ON t.asset_id = a.id
WHERE a.id = ANY (%(ids)s) AND a.perceptual_hash IS NOT NULL

-- name: near_hashes
-- Assets of the selection with one of the symmetric hashes, those with the nearest perceptual hash
-- first. A subquery for each, so that Postgres uses the index without statistics of this column.
SELECT found.id AS asset_id, found.perceptual_hash
FROM unnest(%(symmetric)s::smallint[]) AS wanted (value)
CROSS JOIN LATERAL (
    SELECT a.id, a.perceptual_hash
    FROM {rows} AND a.symmetric_hash = wanted.value AND a.perceptual_hash IS NOT NULL
    LIMIT %(rows_of_value)s
) AS found
ORDER BY (
    SELECT min(bit_count((found.perceptual_hash # hash)::bit(64)))
    FROM unnest(%(perceptual)s::bigint[]) AS hash
), found.id
LIMIT %(rows)s

-- name: local_hashes
SELECT asset_id, local_hashes FROM sightline.thumbnail
WHERE asset_id = ANY (%(ids)s) AND local_hashes IS NOT NULL

-- name: pictures
SELECT id, collection_id, sha256, perceptual_hash, symmetric_hash
FROM sightline.asset
WHERE id = ANY (%(ids)s)

-- name: same_symmetric_hash
-- Assets of the selection with the symmetric hash of one of the given assets.
SELECT
    own.id AS own_id, own.collection_id AS own_collection, own.perceptual_hash AS own_hash,
    found.id AS other_id, found.collection_id AS other_collection,
    found.perceptual_hash AS other_hash
FROM sightline.asset AS own
CROSS JOIN LATERAL (
    SELECT a.id, a.collection_id, a.perceptual_hash
    FROM {rows} AND a.symmetric_hash = own.symmetric_hash AND a.id <> own.id
    AND a.perceptual_hash IS NOT NULL
    LIMIT %(rows_of_asset)s
) AS found
WHERE own.id = ANY (%(ids)s) AND own.perceptual_hash IS NOT NULL
ORDER BY own.id, found.id

-- name: same_texts
SELECT sightline.same_text(one, other)
FROM unnest(%(ones)s::text[], %(others)s::text[]) WITH ORDINALITY AS pair (one, other, place)
ORDER BY place

-- name: cosines
-- The cosine of each pair, null if one has no vector.
SELECT 1 - (one.embedding::halfvec({dimension}) <=> other.embedding::halfvec({dimension}))
FROM unnest(%(ones)s::text[], %(others)s::text[]) WITH ORDINALITY AS pair (one, other, place)
LEFT JOIN sightline.{partition} AS one
    ON one.asset_id = pair.one AND one.region_id IS NULL AND one.passage_id IS NULL
LEFT JOIN sightline.{partition} AS other
    ON other.asset_id = pair.other AND other.region_id IS NULL AND other.passage_id IS NULL
ORDER BY pair.place
