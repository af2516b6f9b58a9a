-- The catalogue, the schema that pgvector is in, and last the caller's temporary tables: see 0002.
SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';

-- How the source's pictures were cut into tiles; null where they were not. So a collection that is
-- switched to tiles later, or whose ingest was cut off, is brought up to date by the next ingest.
ALTER TABLE sightline.source ADD COLUMN tiled_by text;

CREATE VIEW analytics.regions AS
SELECT
    r.id AS region_id, r.asset_id, c.name AS collection, r.kind, r.ordinal, r.x0, r.y0, r.x1, r.y1,
    r.label, r.score
FROM sightline.region AS r
JOIN sightline.asset AS a ON a.id = r.asset_id
JOIN sightline.collection AS c ON c.id = a.collection_id;
COMMENT ON VIEW analytics.regions IS
    'Parts of pictures: lines of text that were read, and tiles that are searched by themselves.';
COMMENT ON COLUMN analytics.regions.kind IS 'tile, ocr_line or detection.';
COMMENT ON COLUMN analytics.regions.x0 IS
    'Box x0, y0, x1, y1: corners, 0 to 1 of the upright picture, origin top left.';
COMMENT ON COLUMN analytics.regions.label IS 'What was read there, or what it was taken for.';

CREATE OR REPLACE FUNCTION analytics.coverage(space integer DEFAULT NULL)
RETURNS TABLE (collection text, assets bigint, with_vector bigint, without_vector bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(
        space,
        CASE WHEN EXISTS (
            SELECT FROM sightline.space AS s WHERE s.id = coverage.space AND s.grain = 'region'
        ) THEN 'region' ELSE 'asset' END);
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT name, count(id), count(id) FILTER (WHERE found), count(id) FILTER (WHERE NOT found)
        FROM (
            SELECT c.name, a.id,
                EXISTS (SELECT FROM sightline.%I AS e WHERE e.asset_id = a.id) AS found
            FROM sightline.collection_space AS u
            JOIN sightline.collection AS c ON c.id = u.collection_id
            LEFT JOIN sightline.asset AS a ON a.collection_id = c.id
            WHERE u.space_id = $1 AND u.grain = $2
        ) AS looked_at
        GROUP BY name ORDER BY name
        $q$, 'embedding_' || chosen.id) USING chosen.id, chosen.grain;
END
$$;
COMMENT ON FUNCTION analytics.coverage IS
    'How many assets of each collection of a space have a vector in it, and how many lack one. In a '
    'space of regions an asset has one where a part of it does; one too small to have parts lacks it.';

SELECT sightline.arrange_roles_if_allowed();
