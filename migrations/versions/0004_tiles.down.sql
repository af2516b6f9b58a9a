SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';

CREATE OR REPLACE FUNCTION analytics.coverage(space integer DEFAULT NULL)
RETURNS TABLE (collection text, assets bigint, with_vector bigint, without_vector bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT c.name, count(a.id), count(e.asset_id), count(a.id) - count(e.asset_id)
        FROM sightline.collection_space AS u
        JOIN sightline.collection AS c ON c.id = u.collection_id
        LEFT JOIN sightline.asset AS a ON a.collection_id = c.id
        LEFT JOIN sightline.%I AS e ON e.asset_id = a.id
        WHERE u.space_id = $1 AND u.grain = 'asset'
        GROUP BY c.name ORDER BY c.name
        $q$, 'embedding_' || chosen.id) USING chosen.id;
END
$$;
COMMENT ON FUNCTION analytics.coverage IS
    'How many assets of each collection of a space have a vector in it, and how many lack one.';

DROP VIEW analytics.regions;
ALTER TABLE sightline.source DROP COLUMN tiled_by;
