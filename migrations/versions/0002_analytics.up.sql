-- What analysts read: views and functions in the schema "analytics" (which env.py makes), whose
-- names and columns stay while the tables behind them change.
--
-- Views and functions read with the rights of their owner, so that a reader needs none on the
-- tables. Each function has a fixed search path: the catalogue, the schema that pgvector is in, and
-- last, where nothing is found by chance, the caller's temporary tables.
SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';
-- Loads pgvector, whose settings nobody but a superuser could give to a function before.
SELECT '[1]'::halfvec;

CREATE VIEW analytics.assets AS
SELECT
    a.id AS asset_id, c.name AS collection, a.source_id, s.name AS source, a.kind, a.page,
    a.frame_seconds, a.width, a.height, a.captured_at, a.captured_local, a.caption, a.metadata,
    s.metadata AS source_metadata, a.perceptual_hash, a.created_at
FROM sightline.asset AS a
JOIN sightline.source AS s ON s.id = a.source_id
JOIN sightline.collection AS c ON c.id = a.collection_id;
COMMENT ON VIEW analytics.assets IS
    'Pictures that an agent can see: images, document pages and video frames.';
COMMENT ON COLUMN analytics.assets.asset_id IS 'Twelve characters, as in tool results.';
COMMENT ON COLUMN analytics.assets.source IS 'The file it came from, as given at ingest.';
COMMENT ON COLUMN analytics.assets.kind IS 'image, page or frame.';
COMMENT ON COLUMN analytics.assets.width IS 'Pixels, upright.';
COMMENT ON COLUMN analytics.assets.captured_local IS
    'captured_at on the wall clock of the place, for questions on the time of day.';
COMMENT ON COLUMN analytics.assets.metadata IS 'Its own metadata, such as metadata ->> ''product''.';
COMMENT ON COLUMN analytics.assets.perceptual_hash IS
    '64 bits; bit_count((a # b)::bit(64)) of few bits means alike to the eye.';

CREATE VIEW analytics.sources AS
SELECT
    s.id AS source_id, c.name AS collection, s.name, s.kind, s.mime_type, s.byte_size, s.metadata,
    s.state, s.error_code, s.error, s.ingested_at
FROM sightline.source AS s
JOIN sightline.collection AS c ON c.id = s.collection_id;
COMMENT ON VIEW analytics.sources IS 'Files that were ingested, and those that could not be.';
COMMENT ON COLUMN analytics.sources.state IS 'done or failed; error says why.';

CREATE VIEW analytics.passages AS
SELECT
    p.id AS passage_id, c.name AS collection, p.source_id, s.name AS source, p.asset_id,
    p.region_id, p.kind, p.text, p.language, p.page, p.start_seconds, p.end_seconds, p.char_start,
    p.char_end, p.x0, p.y0, p.x1, p.y1, p.confidence, p.token_count
FROM sightline.passage AS p
JOIN sightline.source AS s ON s.id = p.source_id
JOIN sightline.collection AS c ON c.id = p.collection_id;
COMMENT ON VIEW analytics.passages IS
    'Text with the place it stands on: captions, chunks, rows, page text, OCR lines, subtitles.';
COMMENT ON COLUMN analytics.passages.x0 IS
    'Box x0, y0, x1, y1: corners, 0 to 1 of the upright picture, origin top left.';
COMMENT ON COLUMN analytics.passages.confidence IS 'Of the reader (OCR), 0 to 1.';

CREATE VIEW analytics.annotations AS
SELECT
    n.id AS annotation_id, n.asset_id, c.name AS collection, n.label, n.x0, n.y0, n.x1, n.y1,
    n.score, n.origin, n.model, n.author, n.note, n.created_at
FROM sightline.annotation AS n
JOIN sightline.asset AS a ON a.id = n.asset_id
JOIN sightline.collection AS c ON c.id = a.collection_id;
COMMENT ON VIEW analytics.annotations IS 'Boxes with labels, drawn by persons or models.';
COMMENT ON COLUMN analytics.annotations.x0 IS
    'Box x0, y0, x1, y1: corners, 0 to 1 of the upright picture, origin top left.';
COMMENT ON COLUMN analytics.annotations.origin IS 'person or model; model and author say which.';

CREATE VIEW analytics.embeddings AS
SELECT
    e.space_id, sp.grain, c.name AS collection, e.asset_id, e.region_id, e.passage_id,
    sp.dimension, e.embedding
FROM sightline.embedding AS e
JOIN sightline.space AS sp ON sp.id = e.space_id
JOIN sightline.collection AS c ON c.id = e.collection_id;
COMMENT ON VIEW analytics.embeddings IS
    'Vectors. Compare those of one space_id only, by cosine distance (<=>); to find the nearest of '
    'many use the functions nearest and search, which have an index.';
COMMENT ON COLUMN analytics.embeddings.grain IS 'What a vector stands for: asset, region, passage.';

CREATE VIEW analytics.spaces AS
SELECT
    sp.id AS space_id, sp.encoder, sp.weights, sp.preprocessing, sp.dimension, sp.grain,
    sp.created_at,
    ARRAY(
        SELECT c.name FROM sightline.collection_space AS u
        JOIN sightline.collection AS c ON c.id = u.collection_id
        WHERE u.space_id = sp.id AND u.grain = sp.grain ORDER BY c.name
    ) AS collections,
    (SELECT count(*) FROM sightline.embedding AS e WHERE e.space_id = sp.id) AS vectors
FROM sightline.space AS sp;
COMMENT ON VIEW analytics.spaces IS
    'Embedding spaces: which encoder made which vectors. Vectors of two spaces never compare.';
COMMENT ON COLUMN analytics.spaces.weights IS 'Fingerprint of the encoder''s weights.';
COMMENT ON COLUMN analytics.spaces.vectors IS 'How many there are; counted when it is asked for.';

CREATE VIEW analytics.searches AS
SELECT
    id AS search_id, at, principal, tool, collection, query, arguments, timings_ms, total_ms,
    result_count, results
FROM sightline.retrieval_log;
COMMENT ON VIEW analytics.searches IS 'The searches that were made, what they found and what each stage took.';
COMMENT ON COLUMN analytics.searches.principal IS 'Name of the token; null where none is asked for.';
COMMENT ON COLUMN analytics.searches.timings_ms IS 'Milliseconds by stage.';
COMMENT ON COLUMN analytics.searches.results IS 'Ids with their scores, best first.';

-- The space that a function works in: the one asked for, the only one there is, or an error that
-- names them all.
CREATE FUNCTION sightline.analytics_space(asked integer, of_grain text, of_asset text DEFAULT NULL)
RETURNS sightline.space
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    candidates sightline.space[];
    listed text;
BEGIN
    SELECT array_agg(s ORDER BY s.id) INTO candidates
    FROM sightline.space AS s
    WHERE (asked IS NULL OR s.id = asked)
        AND (of_grain IS NULL OR s.grain = of_grain)
        AND (asked IS NOT NULL OR of_asset IS NULL OR s.id IN (
            SELECT u.space_id FROM sightline.collection_space AS u
            JOIN sightline.asset AS a ON a.collection_id = u.collection_id
            WHERE a.id = of_asset AND u.grain = s.grain));
    IF cardinality(candidates) = 1 THEN
        RETURN candidates[1];
    END IF;
    SELECT string_agg(format('%s (%s of %s)', s.id, s.grain, s.encoder), ', ' ORDER BY s.id)
    INTO listed FROM sightline.space AS s WHERE of_grain IS NULL OR s.grain = of_grain;
    IF asked IS NOT NULL THEN
        RAISE EXCEPTION 'no space % for this', asked USING
            ERRCODE = 'invalid_parameter_value',
            HINT = format('Spaces: %s.', coalesce(listed, 'none yet'));
    ELSIF of_asset IS NOT NULL AND NOT EXISTS (SELECT FROM sightline.asset WHERE id = of_asset) THEN
        RAISE EXCEPTION 'no asset %', quote_literal(of_asset) USING
            ERRCODE = 'invalid_parameter_value', HINT = 'Take ids from the view assets.';
    END IF;
    RAISE EXCEPTION 'say which space' USING
        ERRCODE = 'invalid_parameter_value',
        HINT = format('Spaces, for the argument space: %s.', coalesce(listed, 'none yet'));
END
$$;
COMMENT ON FUNCTION sightline.analytics_space IS 'The space that a function of the schema analytics works in.';

-- The partition and the dimension stand as literals in each statement below: with bound ones
-- Postgres plans for all partitions and finds no index.
CREATE FUNCTION analytics.search(
    query_vector halfvec, k integer DEFAULT 10, space integer DEFAULT NULL,
    collection text DEFAULT NULL
)
RETURNS TABLE (
    asset_id text, region_id bigint, passage_id bigint, in_collection text,
    distance double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT
SET hnsw.ef_search = 200 SET hnsw.iterative_scan = relaxed_order AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(
        space, CASE WHEN space IS NULL THEN 'asset' END);
BEGIN
    IF vector_dims(query_vector) <> chosen.dimension THEN
        RAISE EXCEPTION 'the vector has % numbers and those of space % have %',
            vector_dims(query_vector), chosen.id, chosen.dimension
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY EXECUTE format($q$
        SELECT n.asset_id, n.region_id, n.passage_id, c.name, n.distance
        FROM (
            SELECT e.asset_id, e.region_id, e.passage_id, e.collection_id,
                e.embedding::halfvec(%1$s) <=> $1 AS distance
            FROM sightline.%2$I AS e
            WHERE %3$s
            ORDER BY e.embedding::halfvec(%1$s) <=> $1
            LIMIT $2
        ) AS n
        JOIN sightline.collection AS c ON c.id = n.collection_id
        ORDER BY n.distance
        $q$,
        chosen.dimension, 'embedding_' || chosen.id,
        CASE WHEN collection IS NULL THEN 'true' ELSE
            'e.collection_id = (SELECT id FROM sightline.collection WHERE name = $3)' END
    ) USING query_vector, k, collection;
END
$$;
COMMENT ON FUNCTION analytics.search IS
    'The k vectors of a space that are nearest to a vector, by cosine distance, through the index. '
    'Without a space, that of the pictures.';

CREATE FUNCTION analytics.nearest(asset text, k integer DEFAULT 10, space integer DEFAULT NULL)
RETURNS TABLE (asset_id text, collection text, distance double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT
SET hnsw.ef_search = 200 SET hnsw.iterative_scan = relaxed_order AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset', asset);
    own halfvec;
BEGIN
    EXECUTE format('SELECT e.embedding FROM sightline.%I AS e WHERE e.asset_id = $1',
        'embedding_' || chosen.id) INTO own USING asset;
    IF own IS NULL THEN
        RAISE EXCEPTION 'asset % has no vector in space %', quote_literal(asset), chosen.id USING
            ERRCODE = 'invalid_parameter_value',
            HINT = 'Take ids from the view embeddings; coverage() counts what is missing.';
    END IF;
    RETURN QUERY EXECUTE format($q$
        SELECT n.asset_id, c.name, n.distance
        FROM (
            SELECT e.asset_id, e.collection_id, e.embedding::halfvec(%1$s) <=> $1 AS distance
            FROM sightline.%2$I AS e
            WHERE e.asset_id <> $3
            ORDER BY e.embedding::halfvec(%1$s) <=> $1
            LIMIT $2
        ) AS n
        JOIN sightline.collection AS c ON c.id = n.collection_id
        ORDER BY n.distance, n.asset_id
        $q$, chosen.dimension, 'embedding_' || chosen.id) USING own, k, asset;
END
$$;
COMMENT ON FUNCTION analytics.nearest IS
    'The k other assets that look most like one, by cosine distance, through the index; of all '
    'collections that share the space.';

CREATE FUNCTION analytics.duplicates(
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

CREATE FUNCTION analytics.coverage(space integer DEFAULT NULL)
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

CREATE FUNCTION analytics.similarity(a text, b text, space integer DEFAULT NULL)
RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset', a);
    result double precision;
BEGIN
    EXECUTE format($q$
        SELECT 1 - (x.embedding <=> y.embedding)
        FROM sightline.%1$I AS x, sightline.%1$I AS y WHERE x.asset_id = $1 AND y.asset_id = $2
        $q$, 'embedding_' || chosen.id) INTO result USING a, b;
    RETURN result;
END
$$;
COMMENT ON FUNCTION analytics.similarity IS
    'Cosine similarity of two assets, 1 where they are the same; null where one has no vector.';

CREATE FUNCTION analytics.centroid(
    collection text DEFAULT NULL, metadata jsonb DEFAULT '{}', space integer DEFAULT NULL
)
RETURNS TABLE (space_id integer, assets bigint, centroid halfvec)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path FROM CURRENT AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT $1, count(*), avg(e.embedding)
        FROM sightline.%I AS e
        JOIN sightline.asset AS a ON a.id = e.asset_id
        JOIN sightline.collection AS c ON c.id = a.collection_id
        WHERE ($2 IS NULL OR c.name = $2) AND a.metadata @> $3
        $q$, 'embedding_' || chosen.id) USING chosen.id, collection, metadata;
END
$$;
COMMENT ON FUNCTION analytics.centroid IS
    'The mean vector of the assets of a collection (or all) whose metadata contains some.';

CREATE FUNCTION analytics.outliers(
    k integer DEFAULT 20, space integer DEFAULT NULL, collection text DEFAULT NULL
)
RETURNS TABLE (asset_id text, in_collection text, distance double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path FROM CURRENT AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH centre AS MATERIALIZED (
            SELECT e.collection_id, c.name, avg(e.embedding) AS mean
            FROM sightline.%1$I AS e
            JOIN sightline.collection AS c ON c.id = e.collection_id
            WHERE $2 IS NULL OR c.name = $2
            GROUP BY e.collection_id, c.name
        )
        SELECT e.asset_id, centre.name, e.embedding <=> centre.mean AS distance
        FROM sightline.%1$I AS e
        JOIN centre ON centre.collection_id = e.collection_id
        ORDER BY distance DESC, e.asset_id
        LIMIT $1
        $q$, 'embedding_' || chosen.id) USING k, collection;
END
$$;
COMMENT ON FUNCTION analytics.outliers IS
    'The k assets that are furthest from the mean of their own collection, by cosine distance.';

CREATE FUNCTION analytics.drift(
    earlier tstzrange, later tstzrange, space integer DEFAULT NULL, collection text DEFAULT NULL
)
RETURNS TABLE (
    in_collection text, assets_earlier bigint, assets_later bigint, distance double precision,
    spread double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT AS $$
DECLARE
    chosen sightline.space := sightline.analytics_space(space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH vector AS MATERIALIZED (
            SELECT c.name, a.captured_at <@ $1 AS is_earlier, a.captured_at <@ $2 AS is_later,
                e.embedding
            FROM sightline.asset AS a
            JOIN sightline.collection AS c ON c.id = a.collection_id
            JOIN sightline.%I AS e ON e.asset_id = a.id
            WHERE (a.captured_at <@ $1 OR a.captured_at <@ $2) AND ($3 IS NULL OR c.name = $3)
        ), mean AS (
            SELECT name,
                count(*) FILTER (WHERE is_earlier) AS n_earlier,
                count(*) FILTER (WHERE is_later) AS n_later,
                avg(embedding) FILTER (WHERE is_earlier) AS earlier,
                avg(embedding) FILTER (WHERE is_later) AS later
            FROM vector GROUP BY name
        )
        SELECT mean.name, mean.n_earlier, mean.n_later, mean.earlier <=> mean.later,
            (SELECT avg(vector.embedding <=> mean.earlier)
             FROM vector WHERE vector.name = mean.name AND vector.is_earlier)
        FROM mean
        ORDER BY 4 DESC NULLS LAST, 1
        $q$, 'embedding_' || chosen.id) USING earlier, later, collection;
END
$$;
COMMENT ON FUNCTION analytics.drift IS
    'Cosine distance between the mean vectors of two periods of captured_at, by collection; spread '
    'is the mean distance of the earlier assets from their own mean, to compare it with.';

CREATE FUNCTION analytics.label_overlap(
    least_overlap double precision DEFAULT 0.0, collection text DEFAULT NULL
)
RETURNS TABLE (
    asset_id text, in_collection text, first_id bigint, first_label text, first_author text,
    second_id bigint, second_label text, second_author text, overlap double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.asset_id, c.name, p.first_id, p.first_label, p.first_author, p.second_id,
        p.second_label, p.second_author,
        p.common / ((p.ax1 - p.ax0) * (p.ay1 - p.ay0) + (p.bx1 - p.bx0) * (p.by1 - p.by0) - p.common)
            AS overlap
    FROM (
        SELECT a.asset_id, a.id AS first_id, a.label AS first_label,
            coalesce(a.model, a.author, a.origin) AS first_author, b.id AS second_id,
            b.label AS second_label, coalesce(b.model, b.author, b.origin) AS second_author,
            a.x0::float8 AS ax0, a.y0::float8 AS ay0, a.x1::float8 AS ax1, a.y1::float8 AS ay1,
            b.x0::float8 AS bx0, b.y0::float8 AS by0, b.x1::float8 AS bx1, b.y1::float8 AS by1,
            greatest(0, least(a.x1, b.x1)::float8 - greatest(a.x0, b.x0)::float8)
                * greatest(0, least(a.y1, b.y1)::float8 - greatest(a.y0, b.y0)::float8) AS common
        FROM sightline.annotation AS a
        JOIN sightline.annotation AS b ON b.asset_id = a.asset_id AND b.id > a.id
    ) AS p
    JOIN sightline.asset AS s ON s.id = p.asset_id
    JOIN sightline.collection AS c ON c.id = s.collection_id
    WHERE p.common > 0
        AND (label_overlap.collection IS NULL OR c.name = label_overlap.collection)
        AND p.common >= least_overlap
            * ((p.ax1 - p.ax0) * (p.ay1 - p.ay0) + (p.bx1 - p.bx0) * (p.by1 - p.by0) - p.common)
    ORDER BY p.asset_id, p.first_id, p.second_id;
END
$$;
COMMENT ON FUNCTION analytics.label_overlap IS
    'Pairs of boxes on one asset that overlap, with intersection over union: where persons and '
    'models draw the same thing differently, or call it by two names.';

-- Whoever may not make roles goes without: `sightline grant-analyst` says what to run then.
DO $$
BEGIN
    IF to_regrole('sightline_reader') IS NULL THEN
        BEGIN
            CREATE ROLE sightline_reader NOLOGIN;
        EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
            RAISE NOTICE 'the role sightline_reader was not made: %', SQLERRM;
        END;
    END IF;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA analytics FROM PUBLIC;
    REVOKE ALL ON FUNCTION sightline.analytics_space FROM PUBLIC;
    IF to_regrole('sightline_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA analytics TO sightline_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO sightline_reader;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics TO sightline_reader;
    END IF;
END
$$;
COMMENT ON SCHEMA analytics IS
    'Sightline''s collections for analysts: views and functions that stay while tables change.';
