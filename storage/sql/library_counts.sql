-- What the collections contain, for metrics.

-- name: collections
-- The largest collections, and all others in one row without a name.
WITH counted AS (
    SELECT
        collection.name,
        coalesce(assets.number, 0) AS assets,
        coalesce(passages.number, 0) AS passages,
        coalesce(sources.done, 0) AS done_sources,
        coalesce(sources.failed, 0) AS failed_sources,
        sources.ingested_at,
        row_number() OVER (ORDER BY assets.number DESC NULLS LAST, collection.id) > %(most)s AS is_other
    FROM sightline.collection
    LEFT JOIN (
        SELECT collection_id, count(*) AS number FROM sightline.asset GROUP BY collection_id
    ) AS assets ON assets.collection_id = collection.id
    LEFT JOIN (
        SELECT collection_id, count(*) AS number FROM sightline.passage GROUP BY collection_id
    ) AS passages ON passages.collection_id = collection.id
    LEFT JOIN (
        SELECT
            collection_id,
            count(*) FILTER (WHERE state = 'done') AS done,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            max(ingested_at) AS ingested_at
        FROM sightline.source GROUP BY collection_id
    ) AS sources ON sources.collection_id = collection.id
)
SELECT
    CASE WHEN NOT is_other THEN name END AS name,
    sum(assets)::bigint AS assets, sum(passages)::bigint AS passages,
    sum(done_sources)::bigint AS done_sources, sum(failed_sources)::bigint AS failed_sources,
    extract(epoch FROM max(ingested_at))::double precision AS ingested_at,
    count(*) AS collections
FROM counted
GROUP BY is_other, CASE WHEN NOT is_other THEN name END
ORDER BY is_other, name

-- name: readings
-- Assets by the way their text was read.
SELECT reading, count(*) FROM sightline.asset WHERE reading IS NOT NULL GROUP BY reading

-- name: database_bytes
SELECT pg_database_size(current_database())
