-- Pairs of pictures that show the same; hashes are those of `storage/picture_hashes/`. {rows} are
-- the tables of `storage/sql/retrieval.sql` with the condition of the scope.

-- name: same_hash
-- The given assets, and those of all collections with their symmetric hashes: each once.
WITH own AS MATERIALIZED (
    SELECT id, collection_id, perceptual_hash, symmetric_hash
    FROM sightline.asset
    WHERE id = ANY (%(ids)s) AND perceptual_hash IS NOT NULL
)
SELECT id, collection_id, perceptual_hash, symmetric_hash, true
FROM own
UNION ALL
SELECT found.id, found.collection_id, found.perceptual_hash, wanted.symmetric_hash, false
FROM (SELECT DISTINCT symmetric_hash FROM own) AS wanted
CROSS JOIN LATERAL (
    SELECT a.id, a.collection_id, a.perceptual_hash
    FROM sightline.asset AS a
    WHERE a.symmetric_hash = wanted.symmetric_hash AND a.perceptual_hash IS NOT NULL
    AND a.id <> ALL (%(ids)s)
    LIMIT %(max_compared)s
) AS found

-- name: delete_pairs
DELETE FROM sightline.picture_pair
WHERE asset_id = ANY (%(ids)s) OR other_asset_id = ANY (%(ids)s)

-- name: insert_pairs
-- In both directions. Skips assets that are being deleted.
INSERT INTO sightline.picture_pair (collection_id, asset_id, other_asset_id)
SELECT own.collection_id, own.id, pair.other
FROM (
    SELECT one, other FROM unnest(%(ones)s::text[], %(others)s::text[]) AS found (one, other)
    UNION ALL
    SELECT other, one FROM unnest(%(ones)s::text[], %(others)s::text[]) AS found (one, other)
) AS pair
JOIN (
    SELECT id, collection_id FROM sightline.asset
    WHERE id = ANY (%(ones)s) OR id = ANY (%(others)s)
    FOR KEY SHARE SKIP LOCKED
) AS own ON own.id = pair.one

-- name: duplicates
-- The near-duplicates of assets in the selection.
SELECT own.id, duplicate.id
FROM unnest(%(ids)s::text[]) AS own (id)
CROSS JOIN LATERAL (
    SELECT found.id
    FROM sightline.picture_pair AS pair
    -- LIMIT forces a lookup for each pair: a join could read the whole selection.
    CROSS JOIN LATERAL (SELECT a.id FROM {rows} AND a.id = pair.other_asset_id LIMIT 1) AS found
    WHERE pair.asset_id = own.id
    LIMIT %(max_duplicates)s
) AS duplicate
ORDER BY own.id, duplicate.id

-- name: same_texts
SELECT sightline.same_text(one, other)
FROM unnest(%(ones)s::text[], %(others)s::text[]) WITH ORDINALITY AS pair (one, other, place)
ORDER BY place

-- name: local_hashes
SELECT asset_id, local_hashes FROM sightline.thumbnail
WHERE asset_id = ANY (%(ids)s) AND local_hashes IS NOT NULL

-- name: cosines
-- The cosine of each pair, null if one has no vector.
SELECT 1 - (one.embedding::halfvec({dimension}) <=> other.embedding::halfvec({dimension}))
FROM unnest(%(ones)s::text[], %(others)s::text[]) WITH ORDINALITY AS pair (one, other, place)
LEFT JOIN sightline.{partition} AS one
    ON one.asset_id = pair.one AND one.region_id IS NULL AND one.passage_id IS NULL
LEFT JOIN sightline.{partition} AS other
    ON other.asset_id = pair.other AND other.region_id IS NULL AND other.passage_id IS NULL
ORDER BY pair.place
