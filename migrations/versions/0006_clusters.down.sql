SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';

DROP FUNCTION analytics.clusters;
DROP VIEW analytics.cluster_members;
DROP TABLE
    sightline.near_pair, sightline.compared, sightline.cluster_member, sightline.cluster;
ALTER FUNCTION analytics.search RESET enable_sort;
ALTER FUNCTION analytics.nearest RESET enable_sort;

CREATE OR REPLACE FUNCTION analytics.duplicates(
    threshold double precision DEFAULT 0.05, space integer DEFAULT NULL,
    collection text DEFAULT NULL, most integer DEFAULT 10
)
RETURNS TABLE (
    asset_id text, in_collection text, other_asset_id text, other_collection text,
    distance double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT
SET hnsw.ef_search = 40 SET hnsw.iterative_scan = relaxed_order AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT pair.one, c1.name, pair.two, c2.name, pair.distance
        FROM (
            SELECT
                least(e.asset_id, n.asset_id) AS one, greatest(e.asset_id, n.asset_id) AS two,
                min(n.distance) AS distance
            FROM sightline.%2$I AS e
            CROSS JOIN LATERAL (
                SELECT o.asset_id, o.embedding::halfvec(%1$s) <=> e.embedding::halfvec(%1$s) AS distance
                FROM sightline.%2$I AS o
                WHERE o.asset_id <> e.asset_id
                ORDER BY o.embedding::halfvec(%1$s) <=> e.embedding::halfvec(%1$s)
                LIMIT $2
            ) AS n
            WHERE n.distance <= $1 AND ($3 IS NULL
                OR e.collection_id = (SELECT id FROM sightline.collection WHERE name = $3))
            GROUP BY 1, 2
        ) AS pair
        JOIN sightline.asset AS a1 ON a1.id = pair.one
        JOIN sightline.collection AS c1 ON c1.id = a1.collection_id
        JOIN sightline.asset AS a2 ON a2.id = pair.two
        JOIN sightline.collection AS c2 ON c2.id = a2.collection_id
        ORDER BY pair.distance, pair.one, pair.two
        $q$, chosen.dimension, 'embedding_' || chosen.id) USING threshold, most, collection;
END
$$;
COMMENT ON FUNCTION analytics.duplicates IS
    'Pairs of assets no further apart than a cosine distance, each pair once, across collections. '
    'Looks at the nearest few (most) of each asset through the index: a millisecond or so an asset.';
