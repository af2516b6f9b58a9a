-- Copies of a picture. {rows} are the tables of `storage/sql/retrieval.sql` with
-- the condition of the scope; hashes are those of `storage/picture_hashes/`.

-- name: hashes
-- The hashes of assets, without those of plain pictures.
SELECT
    a.id AS asset_id, a.perceptual_hash AS perceptual, a.symmetric_hash AS symmetric,
    t.local_hashes AS local
FROM sightline.asset AS a
LEFT JOIN sightline.thumbnail AS t ON t.asset_id = a.id
WHERE a.id = ANY (%(ids)s) AND a.perceptual_hash IS NOT NULL

-- name: candidates
-- Local hashes of the nearest assets, and of those of the selection whose perceptual hash is near.
-- A subquery for each symmetric hash, so that Postgres uses the index without statistics of this
-- column.
SELECT candidate.id, candidate.perceptual_hash, t.local_hashes
FROM (
    SELECT either.id, max(either.perceptual_hash) AS perceptual_hash
    FROM (
        (SELECT measured.id, measured.perceptual_hash
        FROM (
            SELECT found.id, found.perceptual_hash, least(
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[1])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[2])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[3])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[4])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[5])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[6])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[7])::bit(64)),
                bit_count((found.perceptual_hash # (%(perceptual)s::bigint[])[8])::bit(64))
            ) AS bits
            FROM unnest(%(symmetric)s::smallint[]) AS wanted (value)
            CROSS JOIN LATERAL (
                SELECT a.id, a.perceptual_hash
                FROM {rows} AND a.symmetric_hash = wanted.value AND a.perceptual_hash IS NOT NULL
                LIMIT %(rows_of_value)s
            ) AS found
        ) AS measured
        WHERE bits <= %(similar_bits)s
        ORDER BY bits, measured.id
        LIMIT %(rows)s)
        UNION ALL
        SELECT id, NULL FROM unnest(%(nearest)s::text[]) AS nearest (id)
    ) AS either
    GROUP BY either.id
) AS candidate
LEFT JOIN sightline.thumbnail AS t ON t.asset_id = candidate.id

-- name: pictures
SELECT id, collection_id, sha256, perceptual_hash, symmetric_hash
FROM sightline.asset
WHERE id = ANY (%(ids)s)
