-- Map of a collection (`sightline atlas`).

-- name: points
-- Assets with vectors; a deterministic sample if there are more than ``max_points``.
SELECT a.id, e.embedding, s.name AS source, a.page, a.frame_seconds, a.caption, a.kind,
    a.captured_at, s.metadata || a.metadata AS metadata
FROM (
    SELECT asset_id, embedding FROM sightline.{partition}
    WHERE collection_id = %(collection_id)s
    ORDER BY hashtextextended(asset_id, 0)
    LIMIT %(max_points)s
) AS e
JOIN sightline.asset AS a ON a.id = e.asset_id
JOIN sightline.source AS s ON s.id = a.source_id
ORDER BY a.id

-- name: clusters
-- Of the last analysis.
SELECT m.asset_id, m.number
FROM sightline.cluster_member AS m
WHERE (m.collection_id, m.embedding_space_id) = (%(collection_id)s, %(embedding_space_id)s)
AND m.k = (
    SELECT k FROM sightline.cluster AS g
    WHERE (g.collection_id, g.embedding_space_id) = (m.collection_id, m.embedding_space_id)
    ORDER BY g.analyzed_at DESC, k LIMIT 1
)

-- name: total
SELECT count(*) FROM sightline.{partition} WHERE collection_id = %(collection_id)s
