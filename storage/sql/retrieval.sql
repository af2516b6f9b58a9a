-- Search. Table aliases as in `storage/retrieval/filters/filter_columns.py`: a asset, s source,
-- c collection, p passage; e is the embedding partition of the space.

-- name: scope
-- Collections with their embedding spaces, those before a re-encoding last; space_users is the number
-- of collections with vectors in the space.
SELECT
    c.id AS collection_id, c.name, u.level, u.embedding_space_id AS space_id,
    space.encoder, space.weights, space.preprocessing, space.dimension,
    sightline.count_collections_of_space(u.embedding_space_id, u.level) AS space_users,
    coalesce(u.is_previous, false) AS is_previous
FROM sightline.collection AS c
LEFT JOIN (
    SELECT collection_id, level, embedding_space_id, false AS is_previous
    FROM sightline.collection_embedding_space
    UNION ALL
    SELECT collection_id, level, embedding_space_id, true
    FROM sightline.kept_embedding_space WHERE role = 'previous'
) AS u ON u.collection_id = c.id
LEFT JOIN sightline.embedding_space AS space ON space.id = u.embedding_space_id
WHERE %(names)s::text[] IS NULL OR c.name = ANY (%(names)s)
ORDER BY c.name, u.is_previous, u.level

-- name: sampled_metadata_keys
-- Frequent metadata keys, also nested ones, with their JSON types and whether all texts are numbers.
-- From the first rows, so it may miss rare keys.
WITH RECURSIVE sample AS MATERIALIZED (
    (SELECT metadata FROM sightline.asset
     WHERE collection_id = ANY (%(collections)s) LIMIT %(rows)s)
    UNION ALL
    (SELECT metadata FROM sightline.source
     WHERE collection_id = ANY (%(collections)s) LIMIT %(rows)s)
), entry (path, value) AS (
    SELECT ARRAY[pair.key], pair.value
    FROM sample CROSS JOIN LATERAL jsonb_each(metadata) AS pair
    UNION ALL
    SELECT entry.path || pair.key, pair.value
    FROM entry
    CROSS JOIN LATERAL jsonb_each(
        CASE WHEN jsonb_typeof(entry.value) = 'object' THEN entry.value ELSE '{}' END
    ) AS pair
    WHERE cardinality(entry.path) < %(max_depth)s
)
SELECT
    path, array_agg(DISTINCT jsonb_typeof(value)) AS types,
    coalesce(
        bool_and((value #>> '{}') ~ '^\s*[+-]?\d+(\.\d+)?\s*$')
            FILTER (WHERE jsonb_typeof(value) = 'string'),
        false
    ) AS is_numeric_text
FROM entry
GROUP BY path
ORDER BY count(*) DESC, path
LIMIT %(max_keys)s

-- name: metadata_keys
-- The JSON types of some metadata keys. Reads all rows once, however many keys there are.
SELECT
    wanted.path, array_agg(DISTINCT jsonb_typeof(metadata #> wanted.path)) AS types,
    false AS is_numeric_text
FROM (
    SELECT metadata FROM sightline.asset
    WHERE collection_id = ANY (%(collections)s) AND metadata ?| %(keys)s::text[]
    UNION ALL
    SELECT metadata FROM sightline.source
    WHERE collection_id = ANY (%(collections)s) AND metadata ?| %(keys)s::text[]
) AS matching
CROSS JOIN (
    SELECT ARRAY(SELECT jsonb_array_elements_text(each)) AS path
    FROM jsonb_array_elements(%(paths)s) AS each
) AS wanted
WHERE metadata #> wanted.path IS NOT NULL
-- An index of an array is no key.
AND jsonb_typeof(metadata #> wanted.path[:cardinality(wanted.path) - 1]) = 'object'
GROUP BY wanted.path

-- name: assets
-- Tables that a filter on assets may use. Postgres removes outer joins that the filter does not use.
sightline.asset AS a
LEFT JOIN sightline.source AS s ON s.id = a.source_id
LEFT JOIN sightline.collection AS c ON c.id = a.collection_id

-- name: passages
-- Tables that a filter on passages may use.
sightline.passage AS p
LEFT JOIN sightline.asset AS a ON a.id = p.asset_id
LEFT JOIN sightline.source AS s ON s.id = p.source_id
LEFT JOIN sightline.collection AS c ON c.id = p.collection_id

-- name: passage_joins
-- Tables that a filter may use besides the passage.
LEFT JOIN sightline.asset AS a ON a.id = p.asset_id
LEFT JOIN sightline.source AS s ON s.id = p.source_id
LEFT JOIN sightline.collection AS c ON c.id = p.collection_id

-- name: knn_settings
SELECT
    set_config('hnsw.ef_search', %(ef_search)s, true),
    set_config('enable_sort', %(enable_sort)s, true)

-- name: knn_index_scan
-- Scan the vector index and filter its rows. Relaxed order: the caller sorts.
SELECT {key} AS key, e.collection_id, e.region_id, e.passage_id,
    e.embedding::halfvec({dimension}) <=> %(vector)s AS distance
FROM sightline.{partition} AS e
{joins}
WHERE {condition}
ORDER BY e.embedding::halfvec({dimension}) <=> %(vector)s
LIMIT %(rows)s

-- name: knn_exact_scan
-- Compare all matching rows, if they are at most exact_rows. Always returns their number, counted
-- up to exact_rows + 1. Adding 0 prevents the use of the vector index.
WITH matching AS MATERIALIZED (
    SELECT {id} AS id, a.id AS asset_id FROM {tables} WHERE {condition}
    LIMIT %(exact_rows)s::bigint + 1
), total AS (
    SELECT count(*) AS n FROM matching
)
SELECT total.n AS matching, hit.key, hit.collection_id, hit.region_id, hit.passage_id, hit.distance
FROM total
LEFT JOIN LATERAL (
    SELECT {key} AS key, e.collection_id, e.region_id, e.passage_id,
        (e.embedding::halfvec({dimension}) <=> %(vector)s) + 0 AS distance
    FROM matching
    JOIN sightline.{partition} AS e ON e.{link} = matching.id
    WHERE total.n <= %(exact_rows)s
    ORDER BY distance
    LIMIT %(rows)s
) AS hit ON true
ORDER BY hit.distance

-- name: population
-- Number of vectors of the collections.
SELECT count(*) FROM sightline.{partition} AS e WHERE e.collection_id = ANY (%(collections)s)

-- name: sample_blocks
-- A random sample of a large space, from random blocks of the table.
SELECT sample.vector
FROM (
    SELECT e.embedding::halfvec({dimension}) AS vector
    FROM sightline.{partition} AS e TABLESAMPLE SYSTEM ({percent})
    WHERE e.collection_id = ANY (%(collections)s)
) AS sample
ORDER BY random()
LIMIT %(rows)s

-- name: sample_rows
-- A random sample of a small space, or of a small part of one, which sampled blocks would miss.
SELECT sample.vector
FROM (
    SELECT e.embedding::halfvec({dimension}) AS vector
    FROM sightline.{partition} AS e
    WHERE e.collection_id = ANY (%(collections)s)
    LIMIT %(max_read_rows)s
) AS sample
ORDER BY random()
LIMIT %(rows)s

-- name: estimated_rows
-- Approximate number of vectors in a partition; -1 before the first ANALYZE.
SELECT reltuples::bigint FROM pg_class
WHERE oid = to_regclass({qualified})

-- name: asset_vectors
SELECT e.asset_id, e.embedding::halfvec({dimension}) AS vector
FROM sightline.{partition} AS e
WHERE e.asset_id = ANY (%(asset_ids)s) AND e.region_id IS NULL AND e.passage_id IS NULL

-- name: passage_statistics
-- Corpus statistics for BM25: number of passages and mean number of tokens.
SELECT count(*) AS passages, coalesce(avg(token_count), 0)::float8 AS mean_length
FROM sightline.passage
WHERE %(collections)s::integer[] IS NULL OR collection_id = ANY (%(collections)s)

-- name: term_counts
-- Number of passages that contain each term, counted up to max_count.
SELECT requested.term, counted.passages
FROM unnest(%(terms)s::text[]) AS requested (term)
CROSS JOIN LATERAL (
    SELECT count(*) AS passages
    FROM (
        SELECT FROM sightline.posting AS o
        WHERE o.term = requested.term COLLATE "C" LIMIT %(max_count)s
    ) AS bounded
) AS counted

-- name: terms_with_prefix
-- Terms that begin with a character: the range up to the last code point.
SELECT DISTINCT term
FROM (
    SELECT term FROM sightline.posting
    WHERE term > %(prefix)s COLLATE "C" AND term < %(end)s COLLATE "C"
    LIMIT 20000
) AS matching
LIMIT %(max_terms)s

-- name: near_words
-- Words of the collections in ranges of the vocabulary, by the word that they are asked for.
SELECT DISTINCT asked.asked_for, found.word, found.term
FROM unnest(
    %(asked_for)s::text[], %(first)s::text[], %(last)s::text[], %(is_reversed)s::boolean[],
    %(min_chars)s::integer[], %(max_chars)s::integer[]
) AS asked (asked_for, first, last, is_reversed, min_chars, max_chars)
CROSS JOIN LATERAL (
    SELECT word, term
    FROM (
        (SELECT word, term FROM sightline.vocabulary
        WHERE NOT asked.is_reversed AND collection_id = ANY (%(collections)s)
        AND word >= asked.first COLLATE "C" AND word < asked.last COLLATE "C"
        LIMIT %(max_read)s)
        UNION ALL
        (SELECT word, term FROM sightline.vocabulary
        WHERE asked.is_reversed AND collection_id = ANY (%(collections)s)
        AND reversed_word >= asked.first COLLATE "C" AND reversed_word < asked.last COLLATE "C"
        LIMIT %(max_read)s)
    ) AS read
    WHERE char_length(word) BETWEEN asked.min_chars AND asked.max_chars
    LIMIT %(max_candidates)s
) AS found

-- name: existing_terms
-- The terms that a text of the collections has, among the first postings of each.
SELECT asked.term
FROM unnest(%(terms)s::text[]) AS asked (term)
WHERE EXISTS (
    SELECT
    FROM (
        SELECT o.passage_id FROM sightline.posting AS o
        WHERE o.term = asked.term COLLATE "C"
        LIMIT %(max_postings)s
    ) AS read
    JOIN sightline.passage AS p ON p.id = read.passage_id
    WHERE p.collection_id = ANY (%(collections)s)
)

-- name: date_orders
-- How many texts of the collections prove each order of day and month, counted up to max_count.
SELECT asked.term, counted.passages
FROM unnest(%(terms)s::text[]) AS asked (term)
CROSS JOIN LATERAL (
    SELECT count(*) AS passages
    FROM (
        SELECT FROM sightline.posting AS o
        JOIN sightline.passage AS p ON p.id = o.passage_id
        WHERE o.term = asked.term COLLATE "C" AND p.collection_id = ANY (%(collections)s)
        LIMIT %(max_count)s
    ) AS bounded
) AS counted

-- name: contains_words
-- Adjacent tokens; see `storage/text/analyzer.py`.
(p.tokens @@ {phrase}::tsquery)

-- name: contains_characters
(strpos(regexp_replace(lower(normalize(p.text, NFKC)), '\s', '', 'g'), {phrase}) > 0)

-- name: saturation
-- BM25 saturation of a term frequency in a passage of the given length.
({frequency} * (%(k1)s + 1)
    / ({frequency} + %(k1)s * (1 - %(b)s + %(b)s * {length} / %(mean_length)s)))

-- name: best_passages
-- Candidates of `lexical`, one for each passage.
SELECT id, asset_id, token_count, sum(part) AS score, sum(idf) AS matched_weight,
    coalesce(sum(idf) FILTER (WHERE is_content), 0) AS matched_content
FROM part
GROUP BY id, asset_id, token_count
ORDER BY score DESC, id
LIMIT %(candidates)s

-- name: best_assets
-- Candidates of `lexical`, one for each asset. Each term counts in its best passage, because OCR
-- splits the words of one label into several lines. The best passage represents the asset.
SELECT shown.id, shown.asset_id, shown.token_count, summed.score, summed.matched_weight,
    summed.matched_content
FROM (
    SELECT asset_id, sum(part) AS score, sum(idf) AS matched_weight,
        coalesce(sum(idf) FILTER (WHERE is_content), 0) AS matched_content
    FROM (
        SELECT asset_id, concept, is_content, max(part) AS part, max(idf) AS idf
        FROM part WHERE asset_id IS NOT NULL GROUP BY asset_id, concept, is_content
    ) AS strongest
    GROUP BY asset_id
    ORDER BY score DESC, asset_id
    LIMIT %(candidates)s
) AS summed
JOIN (
    -- Computed for all assets at once: a lookup for each candidate would read all parts each time.
    SELECT DISTINCT ON (asset_id) id, asset_id, token_count
    FROM (
        SELECT id, asset_id, token_count, sum(part) AS score
        FROM part GROUP BY id, asset_id, token_count
    ) AS scored
    ORDER BY asset_id, score DESC, id
) AS shown ON shown.asset_id = summed.asset_id

-- name: parts
-- What each term adds to a passage.
SELECT posted.id, posted.asset_id, posted.token_count, posted.concept, weighted.is_content,
    weighted.idf, weighted.idf * {saturation} AS part
FROM posted JOIN weighted ON weighted.concept = posted.concept
WHERE posted.matches

-- name: united_parts
-- What each concept adds to a passage: the best of its terms.
SELECT id, asset_id, token_count, concept, is_content, idf, max(part) AS part
FROM ({parts}) AS of_terms
GROUP BY id, asset_id, token_count, concept, is_content, idf

-- name: lexical
-- BM25 in two stages. The rarest terms find candidates through the postings and are weighted by
-- the passages of the scope that contain them. Common terms match too many passages, so they only
-- add to the score of candidates, weighted by their share of all passages. A concept unites terms
-- that stand for one word of the query (the notations of a date, near words). Candidates that
-- contain adjacent query words as adjacent words get a bonus. The weights of content words, without
-- function words such as "of", say whether a match is significant.
WITH requested AS MATERIALIZED (
    SELECT term COLLATE "C" AS term, concept, weight, is_content
    FROM unnest(
        %(terms)s::text[], %(concepts)s::integer[], %(weights)s::float8[], %(contents)s::boolean[]
    ) AS t (term, concept, weight, is_content)
), posted AS MATERIALIZED (
    SELECT requested.concept, requested.weight, requested.is_content, o.frequency,
        p.id, p.asset_id, p.token_count, {condition} AS matches
    FROM requested
    JOIN sightline.posting AS o ON o.term = requested.term
    JOIN sightline.passage AS p ON p.id = o.passage_id
    {joins}
    WHERE {scope}
    LIMIT %(max_postings)s
), weighted AS MATERIALIZED (
    SELECT concept, is_content,
        weight * ln(1 + (greatest(%(passages)s, n) - n + 0.5) / (n + 0.5)) AS idf
    FROM (
        SELECT concept, bool_or(is_content) AS is_content, max(weight) AS weight, {count} AS n
        FROM posted GROUP BY concept
    ) AS counted
), part AS MATERIALIZED (
    {parts}
), candidate AS MATERIALIZED (
    {candidates}
), common AS (
    SELECT term COLLATE "C" AS term, is_content, weight * ln(1 + (1 - share) / share) AS idf
    FROM unnest(
        %(common_terms)s::text[], %(common_weights)s::float8[], %(shares)s::float8[],
        %(common_contents)s::boolean[]
    ) AS t (term, weight, share, is_content)
), extra AS (
    SELECT candidate.id,
        sum(common.idf * {common_saturation}) AS score,
        sum(common.idf) AS matched_weight,
        coalesce(sum(common.idf) FILTER (WHERE common.is_content), 0) AS matched_content
    FROM candidate
    CROSS JOIN common
    CROSS JOIN LATERAL (
        -- LIMIT forces an index lookup: a join would read all postings of a common term.
        SELECT frequency FROM sightline.posting
        WHERE term = common.term AND passage_id = candidate.id
        LIMIT 1
    ) AS o
    GROUP BY candidate.id
), pair AS MATERIALIZED (
    SELECT t.pair::tsquery AS words, t.first, t.second,
        %(adjacency_bonus)s * least(one.idf, other.idf) AS bonus
    FROM unnest(%(pairs)s::text[], %(firsts)s::integer[], %(seconds)s::integer[])
        AS t (pair, first, second)
    JOIN weighted AS one ON one.concept = t.first
    JOIN weighted AS other ON other.concept = t.second
), matched AS MATERIALIZED (
    -- Reading positions takes ten microseconds, so only the best candidates that contain both words
    -- of a pair are checked.
    SELECT DISTINCT part.id, part.concept
    FROM (
        SELECT id FROM candidate ORDER BY score DESC, id LIMIT %(adjacency_candidates)s
    ) AS leader
    JOIN part ON part.id = leader.id
), adjacent AS (
    SELECT one.id, sum(pair.bonus) AS score
    FROM pair
    JOIN matched AS one ON one.concept = pair.first
    JOIN matched AS other ON other.concept = pair.second AND other.id = one.id
    JOIN sightline.passage AS p ON p.id = one.id
    WHERE p.tokens @@ pair.words
    GROUP BY one.id
)
SELECT candidate.id AS passage_id, candidate.asset_id,
    candidate.score + coalesce(extra.score, 0) + coalesce(adjacent.score, 0) AS score,
    candidate.matched_weight + coalesce(extra.matched_weight, 0) AS matched_weight,
    candidate.matched_content + coalesce(extra.matched_content, 0) AS matched_content,
    found.weight AS query_weight, found.content AS query_content, found.concepts
FROM candidate
CROSS JOIN (
    SELECT
        coalesce(sum(idf), 0) AS weight,
        coalesce(sum(idf) FILTER (WHERE is_content), 0) AS content,
        array_agg(concept) FILTER (WHERE concept IS NOT NULL) AS concepts
    FROM (
        SELECT concept, is_content, idf FROM weighted
        UNION ALL
        SELECT NULL, is_content, idf FROM common
    ) AS each
) AS found
LEFT JOIN extra ON extra.id = candidate.id
LEFT JOIN adjacent ON adjacent.id = candidate.id
ORDER BY score DESC, {key} COLLATE "C"
LIMIT %(rows)s

-- name: passages_by_id
SELECT
    p.id, p.kind, p.text, p.language, s.name AS source, c.name AS collection, p.asset_id, p.page,
    CASE WHEN p.x0 IS NOT NULL THEN ARRAY[p.x0, p.y0, p.x1, p.y1] END AS box,
    p.start_seconds, p.end_seconds, p.char_start, p.char_end, p.confidence
FROM sightline.passage AS p
JOIN sightline.source AS s ON s.id = p.source_id
JOIN sightline.collection AS c ON c.id = p.collection_id
WHERE p.id = ANY (%(ids)s)

-- name: regions_by_id
SELECT id, kind, ARRAY[x0, y0, x1, y1] AS box, label
FROM sightline.region
WHERE id = ANY (%(ids)s)

-- name: log
-- Written without waiting for the disk: losing rows in a crash is acceptable. The setting lasts
-- until the end of the transaction, which is that of this statement.
WITH setting AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
)
INSERT INTO sightline.retrieval_log
    (principal, tool, collection, query, arguments, timings_ms, total_ms, result_count, weak_count,
    results, request_id)
SELECT
    %(principal)s, %(tool)s, %(collection)s, %(query)s, %(arguments)s, %(timings_ms)s,
    %(total_ms)s, %(result_count)s, %(weak_count)s, %(results)s, %(request_id)s
FROM setting

-- name: largest_log
-- The principal with the most rows in the log, their number, and the number of all rows.
SELECT principal, count(*) AS rows, (sum(count(*)) OVER ())::bigint AS total
FROM sightline.retrieval_log
GROUP BY principal
ORDER BY rows DESC
LIMIT 1

-- name: prune_log
-- Several servers may prune at the same time.
DELETE FROM sightline.retrieval_log
WHERE id IN (
    SELECT id FROM sightline.retrieval_log
    WHERE {condition}
    ORDER BY created_at
    LIMIT %(rows)s
    FOR UPDATE SKIP LOCKED
)
