-- How reliable the vectors of an encoder are, by collection and kind of asset.

-- name: kinds
-- Kinds of assets with their numbers now and at the last measurement.
SELECT a.kind, a.assets, a.captions, r.asset_count, r.caption_count
FROM (
    SELECT kind, count(*) AS assets, count(caption) AS captions
    FROM sightline.asset WHERE collection_id = %(collection_id)s AND kind <> 'audio' GROUP BY kind
) AS a
LEFT JOIN sightline.encoder_reliability AS r
    ON r.collection_id = %(collection_id)s AND r.embedding_space_id = {embedding_space_id}
    AND r.asset_kind = a.kind

-- name: sample
-- Vectors of assets with their text: the caption, and what is written on them. Those with a caption
-- come first. Ids of assets are random.
SELECT e.embedding::halfvec({dimension}) AS vector, left(a.caption, %(chars)s) AS caption,
    left(written.text, %(chars)s) AS written
FROM (
    SELECT id, caption FROM sightline.asset
    WHERE collection_id = %(collection_id)s AND kind = %(kind)s
    ORDER BY caption IS NULL, id
    LIMIT %(rows)s
) AS a
JOIN sightline.{partition} AS e ON e.asset_id = a.id
LEFT JOIN LATERAL (
    SELECT string_agg(line.text, ' ' ORDER BY line.ordinal) AS text
    FROM (
        SELECT text, ordinal FROM sightline.passage
        WHERE asset_id = a.id AND kind IN ('ocr', 'page_text')
        ORDER BY ordinal LIMIT %(lines)s
    ) AS line
) AS written ON true

-- name: store
INSERT INTO sightline.encoder_reliability (
    collection_id, embedding_space_id, asset_kind, reliability, text_deviation, asset_count,
    caption_count
) VALUES (
    %(collection_id)s, {embedding_space_id}, %(kind)s, %(reliability)s, %(text_deviation)s,
    %(asset_count)s, %(caption_count)s
)
ON CONFLICT (collection_id, embedding_space_id, asset_kind) DO UPDATE SET
    reliability = excluded.reliability, text_deviation = excluded.text_deviation,
    asset_count = excluded.asset_count, caption_count = excluded.caption_count,
    measured_at = now()

-- name: load
-- Of the collections, by the encoder of whole images.
SELECT r.collection_id, r.asset_kind, r.reliability, r.text_deviation
FROM sightline.encoder_reliability AS r
JOIN sightline.embedding_space AS s ON s.id = r.embedding_space_id
WHERE (s.encoder, s.weights, s.preprocessing, s.dimension)
    = (%(name)s, %(weights)s, %(preprocessing)s, %(dimension)s)
AND r.collection_id = ANY (%(collections)s)

-- name: kinds_of_assets
SELECT id, kind FROM sightline.asset WHERE id = ANY (%(ids)s)

-- name: kinds_of_passages
SELECT p.id, a.kind FROM sightline.passage AS p
JOIN sightline.asset AS a ON a.id = p.asset_id
WHERE p.id = ANY (%(ids)s)
