-- Map of a collection (`sightline atlas`).

-- name: positions
-- Vectors of a collection with their cluster of the last analysis. Any beginning is a sample.
SELECT e.asset_id, e.embedding, m.number AS cluster, e.total
FROM (
    SELECT asset_id, embedding, count(*) OVER () AS total FROM sightline.{partition}
    WHERE collection_id = %(collection_id)s
    ORDER BY hashtextextended(asset_id, 0), asset_id
    LIMIT %(max_points)s
) AS e
LEFT JOIN sightline.cluster_member AS m
    ON (m.asset_id, m.collection_id, m.embedding_space_id)
        = (e.asset_id, %(collection_id)s, {embedding_space_id})
    AND m.k = (
        SELECT k FROM sightline.cluster
        WHERE (collection_id, embedding_space_id) = (%(collection_id)s, {embedding_space_id})
        ORDER BY analyzed_at DESC, k LIMIT 1
    )
ORDER BY hashtextextended(e.asset_id, 0), e.asset_id

-- name: points
-- Assets with vectors and their clusters of the last analysis; a deterministic sample if there are
-- more than ``max_points``.
SELECT a.id, e.embedding, s.name AS source, a.page, a.frame_seconds, a.caption, a.kind,
    extract(epoch FROM a.captured_at)::float8 AS captured_at, s.metadata || a.metadata AS metadata,
    'cluster ' || m.number AS cluster, e.total
FROM (
    SELECT asset_id, embedding, count(*) OVER () AS total FROM sightline.{partition}
    WHERE collection_id = %(collection_id)s
    ORDER BY hashtextextended(asset_id, 0)
    LIMIT %(max_points)s
) AS e
JOIN sightline.asset AS a ON a.id = e.asset_id
JOIN sightline.source AS s ON s.id = a.source_id
LEFT JOIN sightline.cluster_member AS m
    ON (m.asset_id, m.collection_id, m.embedding_space_id)
        = (a.id, %(collection_id)s, {embedding_space_id})
    AND m.k = (
        SELECT k FROM sightline.cluster
        WHERE (collection_id, embedding_space_id) = (%(collection_id)s, {embedding_space_id})
        ORDER BY analyzed_at DESC, k LIMIT 1
    )
ORDER BY a.id
