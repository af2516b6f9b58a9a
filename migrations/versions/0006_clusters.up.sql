-- The catalogue, the schema that pgvector is in, and last the caller's temporary tables: see 0002.
SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';

-- An analysis of a collection's pictures in one space, for one number of clusters; the next one
-- takes its place.
CREATE TABLE sightline.cluster (
    space_id integer NOT NULL REFERENCES sightline.space ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    k integer NOT NULL CHECK (k > 0),
    number integer NOT NULL CHECK (number >= 0),
    assets integer NOT NULL,
    -- The asset nearest to the centre: what the cluster is about.
    central_asset_id text REFERENCES sightline.asset ON DELETE SET NULL,
    -- Mean cosine distance of its assets from its centre.
    mean_distance double precision NOT NULL,
    analysed_at timestamptz NOT NULL,
    PRIMARY KEY (collection_id, space_id, k, number)
);
CREATE INDEX cluster_central_idx ON sightline.cluster (central_asset_id);

CREATE TABLE sightline.cluster_member (
    space_id integer NOT NULL,
    collection_id integer NOT NULL,
    k integer NOT NULL,
    number integer NOT NULL,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    distance real NOT NULL,
    PRIMARY KEY (asset_id, space_id, k),
    FOREIGN KEY (collection_id, space_id, k, number) REFERENCES sightline.cluster ON DELETE CASCADE
);
CREATE INDEX cluster_member_idx ON sightline.cluster_member (collection_id, space_id, k, number);

-- Pictures whose nearest ten were looked up by `sightline analyze`, and which of these were near (at
-- most 0.2 apart by cosine): what duplicates() need not look up again.
CREATE TABLE sightline.compared (
    space_id integer NOT NULL REFERENCES sightline.space ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    PRIMARY KEY (asset_id, space_id)
);
CREATE TABLE sightline.near_pair (
    space_id integer NOT NULL,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    asset_id text NOT NULL,
    other_asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    distance double precision NOT NULL,
    PRIMARY KEY (asset_id, space_id, other_asset_id),
    FOREIGN KEY (asset_id, space_id) REFERENCES sightline.compared ON DELETE CASCADE
);
CREATE INDEX near_pair_other_idx ON sightline.near_pair (other_asset_id);
CREATE INDEX near_pair_distance_idx ON sightline.near_pair (space_id, distance);

SELECT sightline.guard_by_collection(guarded)
FROM unnest(ARRAY[
    'sightline.cluster', 'sightline.cluster_member', 'sightline.compared', 'sightline.near_pair'
]::regclass[]) AS guarded;
CREATE POLICY by_other ON sightline.near_pair AS RESTRICTIVE
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = other_asset_id));

CREATE VIEW analytics.cluster_members AS
SELECT
    m.asset_id, c.name AS collection, m.space_id, m.k, m.number AS cluster, m.distance,
    g.analysed_at
FROM sightline.cluster_member AS m
JOIN sightline.cluster AS g
    ON (g.collection_id, g.space_id, g.k, g.number)
        = (m.collection_id, m.space_id, m.k, m.number)
JOIN sightline.collection AS c ON c.id = m.collection_id;
COMMENT ON VIEW analytics.cluster_members IS
    'Which cluster each picture is in; filled by `sightline analyze`, as of analysed_at.';
COMMENT ON COLUMN analytics.cluster_members.k IS 'How many clusters there are of its collection.';
COMMENT ON COLUMN analytics.cluster_members.distance IS 'Cosine distance from the cluster''s centre.';

CREATE FUNCTION analytics.clusters(
    k integer DEFAULT NULL, space integer DEFAULT NULL, collection text DEFAULT NULL
)
RETURNS TABLE (
    in_collection text, cluster integer, assets integer, central_asset_id text,
    mean_distance double precision, analysed_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
BEGIN
    RETURN QUERY
    SELECT c.name, g.number, g.assets, g.central_asset_id, g.mean_distance, g.analysed_at
    FROM sightline.collection AS c
    JOIN sightline.cluster AS g ON g.collection_id = c.id AND g.space_id = chosen.id
    WHERE (clusters.collection IS NULL OR c.name = clusters.collection)
        AND g.k = coalesce(clusters.k, (
            SELECT latest.k FROM sightline.cluster AS latest
            WHERE latest.collection_id = c.id AND latest.space_id = chosen.id
            ORDER BY latest.analysed_at DESC, latest.k LIMIT 1))
    ORDER BY c.name, g.number;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such clusters' USING
            ERRCODE = 'no_data_found',
            HINT = format('There are: %s. More are made by: sightline analyze --clusters K.',
                coalesce((
                    SELECT string_agg(DISTINCT format('k=%s of %s', g.k, c.name), ', ')
                    FROM sightline.cluster AS g
                    JOIN sightline.collection AS c ON c.id = g.collection_id
                    WHERE g.space_id = chosen.id
                ), 'none yet'));
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.clusters IS
    'Groups of pictures that look alike (k-means by cosine), by collection, with the picture nearest '
    'to the centre; without k those of the latest `sightline analyze`. Members: view cluster_members.';

-- With some thousand collections to compare with, reading all vectors and sorting them would seem
-- cheaper than the index.
ALTER FUNCTION analytics.search SET enable_sort = off;
ALTER FUNCTION analytics.nearest SET enable_sort = off;

-- What `sightline analyze` compared is read; what came since is looked up, each by a short walk
-- through the index, which finds 97 of a hundred near pairs; an analysis looks closer.
CREATE OR REPLACE FUNCTION analytics.duplicates(
    threshold double precision DEFAULT 0.05, space integer DEFAULT NULL,
    collection text DEFAULT NULL, most integer DEFAULT 10
)
RETURNS TABLE (
    asset_id text, in_collection text, other_asset_id text, other_collection text,
    distance double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT
SET hnsw.ef_search = 40 SET hnsw.iterative_scan = relaxed_order SET enable_sort = off AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
    -- Whether what was compared is enough to answer this.
    within boolean := threshold <= 0.2 AND most <= 10
        AND EXISTS (SELECT FROM sightline.compared AS c WHERE c.space_id = chosen.id);
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH found AS MATERIALIZED (
            SELECT asset_id, other_asset_id, distance
            FROM sightline.near_pair
            WHERE $4 AND space_id = %3$s AND distance <= $1
            UNION ALL
            SELECT e.asset_id, n.asset_id, n.distance
            FROM (
                SELECT asset_id, embedding::halfvec(%1$s) AS vector
                FROM sightline.%2$I AS v
                WHERE ($4 OR $3 IS NULL
                    OR collection_id = (SELECT id FROM sightline.collection WHERE name = $3))
                AND NOT EXISTS (
                    SELECT FROM sightline.compared AS c
                    WHERE $4 AND c.space_id = %3$s AND c.asset_id = v.asset_id)
            ) AS e
            CROSS JOIN LATERAL (
                SELECT o.asset_id, o.embedding::halfvec(%1$s) <=> e.vector AS distance
                FROM sightline.%2$I AS o
                WHERE o.asset_id <> e.asset_id
                ORDER BY o.embedding::halfvec(%1$s) <=> e.vector
                LIMIT $2
            ) AS n
            WHERE n.distance <= $1
        ), pair AS MATERIALIZED (
            SELECT
                least(asset_id, other_asset_id) AS one, greatest(asset_id, other_asset_id) AS two,
                min(distance) AS distance
            FROM found GROUP BY 1, 2
        )
        SELECT pair.one, c1.name, pair.two, c2.name, pair.distance
        FROM pair
        JOIN sightline.asset AS a1 ON a1.id = pair.one
        JOIN sightline.collection AS c1 ON c1.id = a1.collection_id
        JOIN sightline.asset AS a2 ON a2.id = pair.two
        JOIN sightline.collection AS c2 ON c2.id = a2.collection_id
        WHERE $3 IS NULL OR $3 IN (c1.name, c2.name)
        ORDER BY pair.distance, pair.one, pair.two
        $q$, chosen.dimension, 'embedding_' || chosen.id, chosen.id)
        USING threshold, most, collection, within;
END
$$;
COMMENT ON FUNCTION analytics.duplicates IS
    'Pairs of assets no further apart than a cosine distance, each pair once, across collections; of '
    'each asset the nearest few (most). Reads what `sightline analyze` compared and looks up what '
    'came since: up to a millisecond for each asset.';

SELECT sightline.arrange_roles_if_allowed();
