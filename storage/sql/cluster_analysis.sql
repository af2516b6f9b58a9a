-- `sightline analyze`: clusters and near-duplicates.

-- name: settings
-- Until the end of the transaction. The first comparison of many assets takes minutes.
SELECT
    set_config('statement_timeout', '0', true),
    set_config('hnsw.ef_search', '100', true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('enable_sort', 'off', true),
    -- All rows of a cursor are read.
    set_config('cursor_tuple_fraction', '1', true)

-- name: collections
SELECT c.id, c.name, u.embedding_space_id
FROM sightline.collection AS c
JOIN sightline.collection_embedding_space AS u ON u.collection_id = c.id AND u.level = 'asset'
WHERE %(names)s::text[] IS NULL OR c.name = ANY (%(names)s)
ORDER BY c.name

-- name: count
SELECT count(*) FROM sightline.{partition} WHERE collection_id = %(collection_id)s

-- name: sample
-- A deterministic share of the vectors. Half of the hashes are negative.
SELECT embedding FROM sightline.{partition}
WHERE collection_id = %(collection_id)s
AND abs(hashtextextended(asset_id, 0) %% 1000000) < %(millionths)s

-- name: vectors
SELECT asset_id, embedding FROM sightline.{partition} WHERE collection_id = %(collection_id)s

-- name: delete_clusters
DELETE FROM sightline.cluster
WHERE (collection_id, embedding_space_id, k)
    = (%(collection_id)s, %(embedding_space_id)s, %(k)s)

-- name: insert_clusters
-- Without statistics yet: members reference these rows.
INSERT INTO sightline.cluster (
    collection_id, embedding_space_id, k, number, asset_count, mean_distance, analyzed_at
)
SELECT %(collection_id)s, %(embedding_space_id)s, %(k)s, number, 0, 0, now()
FROM generate_series(0, %(k)s - 1) AS number

-- name: delete_empty_clusters
DELETE FROM sightline.cluster
WHERE (collection_id, embedding_space_id, k)
    = (%(collection_id)s, %(embedding_space_id)s, %(k)s)
AND NOT EXISTS (
    SELECT FROM sightline.cluster_member AS m
    WHERE (m.collection_id, m.embedding_space_id, m.k, m.number)
        = (cluster.collection_id, cluster.embedding_space_id, cluster.k, cluster.number)
)

-- name: update_clusters
-- Sets the statistics of the clusters; returns those of the collection.
WITH updated AS (
    UPDATE sightline.cluster
    SET asset_count = t.asset_count, representative_asset_id = t.representative,
        mean_distance = t.mean_distance
    FROM (
        SELECT
            number, count(*) AS asset_count, avg(distance) AS mean_distance,
            (array_agg(asset_id ORDER BY distance, asset_id))[1] AS representative
        FROM sightline.cluster_member
        WHERE (collection_id, embedding_space_id, k)
            = (%(collection_id)s, %(embedding_space_id)s, %(k)s)
        GROUP BY number
    ) AS t
    WHERE (collection_id, embedding_space_id, k)
        = (%(collection_id)s, %(embedding_space_id)s, %(k)s)
    AND cluster.number = t.number
    RETURNING cluster.asset_count, cluster.mean_distance
)
SELECT
    %(collection)s::text AS collection, %(embedding_space_id)s::integer AS embedding_space_id,
    %(k)s::integer AS k, sum(asset_count) AS assets,
    sum(asset_count * mean_distance) / sum(asset_count) AS mean_distance
FROM updated

-- name: copy_members
COPY sightline.cluster_member (
    collection_id, embedding_space_id, k, number, asset_id, distance
) FROM STDIN

-- name: compare
-- Searches the ten nearest neighbors of assets that were not compared yet; returns their number. If
-- all ten are near and some are in other collections, it also searches the ten nearest of the same
-- collection, for readers who see only that one; duplicates() searches for those who see several.
WITH chosen AS MATERIALIZED (
    SELECT v.asset_id, v.collection_id, v.embedding::halfvec({dimension}) AS vector
    FROM sightline.{partition} AS v
    WHERE NOT EXISTS (
        SELECT FROM sightline.compared_asset AS c
        WHERE c.embedding_space_id = {embedding_space_id} AND c.asset_id = v.asset_id
    )
    LIMIT %(rows)s
), nearest AS MATERIALIZED (
    SELECT chosen.asset_id, chosen.collection_id, n.asset_id AS other, n.distance,
        n.collection_id <> chosen.collection_id AS elsewhere
    FROM chosen
    CROSS JOIN LATERAL (
        SELECT
            o.asset_id, o.collection_id,
            o.embedding::halfvec({dimension}) <=> chosen.vector AS distance
        FROM sightline.{partition} AS o
        WHERE o.asset_id <> chosen.asset_id
        ORDER BY o.embedding::halfvec({dimension}) <=> chosen.vector
        LIMIT 10
    ) AS n
    WHERE n.distance <= 0.2
), crowded AS (
    SELECT asset_id FROM nearest GROUP BY asset_id HAVING count(*) = 10 AND bool_or(elsewhere)
), marked AS (
    INSERT INTO sightline.compared_asset (embedding_space_id, collection_id, asset_id, crowded)
    SELECT
        {embedding_space_id}, collection_id, asset_id,
        EXISTS (SELECT FROM crowded WHERE crowded.asset_id = chosen.asset_id)
    FROM chosen
    ON CONFLICT DO NOTHING
), near AS (
    INSERT INTO sightline.near_duplicate (
        embedding_space_id, collection_id, asset_id, other_asset_id, distance
    )
    SELECT {embedding_space_id}, collection_id, asset_id, other, distance FROM nearest
    UNION
    SELECT {embedding_space_id}, chosen.collection_id, chosen.asset_id, n.asset_id, n.distance
    FROM crowded
    JOIN chosen USING (asset_id)
    CROSS JOIN LATERAL (
        SELECT o.asset_id, o.embedding::halfvec({dimension}) <=> chosen.vector AS distance
        FROM sightline.{partition} AS o
        WHERE o.asset_id <> chosen.asset_id AND o.collection_id = chosen.collection_id
        ORDER BY o.embedding::halfvec({dimension}) <=> chosen.vector
        LIMIT 10
    ) AS n
    WHERE n.distance <= 0.2
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM chosen

-- name: analyze
ANALYZE
    sightline.cluster, sightline.cluster_member, sightline.compared_asset,
    sightline.near_duplicate
