-- Copies of a picture. {rows} are the tables of `storage/sql/retrieval.sql` with
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

-- name: pictures
SELECT id, collection_id, sha256, perceptual_hash, symmetric_hash
FROM sightline.asset
WHERE id = ANY (%(ids)s)
