-- Searching. Aliases are those of `storage/retrieval/filters/filter_schema.py`: a asset, s source,
-- c collection, p passage; e is the space's partition of embedding.

-- name: scope
-- Collections with the spaces that they use; ``shared`` is how many collections use the space.
SELECT
    c.id, c.name, u.grain, u.space_id,
    space.encoder, space.weights, space.preprocessing, space.dimension,
    sightline.users_of_space(u.space_id, u.grain) AS shared
FROM sightline.collection AS c
LEFT JOIN sightline.collection_space AS u ON u.collection_id = c.id
LEFT JOIN sightline.space ON space.id = u.space_id
WHERE %(names)s::text[] IS NULL OR c.name = ANY (%(names)s)
ORDER BY c.name, u.grain

-- name: sampled_metadata_keys
-- Keys with their JSON types, from the first few thousand rows; a rare key may be missing.
SELECT key, array_agg(DISTINCT jsonb_typeof(value))
FROM (
    (SELECT metadata FROM sightline.asset
     WHERE collection_id = ANY (%(collections)s) LIMIT %(rows)s)
    UNION ALL
    (SELECT metadata FROM sightline.source
     WHERE collection_id = ANY (%(collections)s) LIMIT %(rows)s)
) AS sample, jsonb_each(metadata) AS entry (key, value)
GROUP BY key

-- name: metadata_key
-- The JSON types of one key, wherever it stands.
SELECT array_agg(DISTINCT jsonb_typeof(metadata -> %(key)s))
FROM (
    (SELECT metadata FROM sightline.asset
     WHERE collection_id = ANY (%(collections)s) AND metadata ? %(key)s LIMIT %(rows)s)
    UNION ALL
    (SELECT metadata FROM sightline.source
     WHERE collection_id = ANY (%(collections)s) AND metadata ? %(key)s LIMIT %(rows)s)
) AS sample

-- name: assets
-- Where the pictures that a filter speaks of come from. Outer joins, which Postgres leaves out
-- where the filter does not name them.
sightline.asset AS a
LEFT JOIN sightline.source AS s ON s.id = a.source_id
LEFT JOIN sightline.collection AS c ON c.id = a.collection_id

-- name: passages
-- Where the passages that a filter speaks of come from.
sightline.passage AS p
LEFT JOIN sightline.asset AS a ON a.id = p.asset_id
LEFT JOIN sightline.source AS s ON s.id = p.source_id
LEFT JOIN sightline.collection AS c ON c.id = p.collection_id

-- name: passage_joins
-- What a filter speaks of besides the passage.
LEFT JOIN sightline.asset AS a ON a.id = p.asset_id
LEFT JOIN sightline.source AS s ON s.id = p.source_id
LEFT JOIN sightline.collection AS c ON c.id = p.collection_id

-- name: nearest
-- Through the vector index, filtered as it goes. Relaxed order: the caller sorts.
SELECT {key} AS key, e.collection_id, e.region_id, e.passage_id,
    e.embedding::halfvec({dimension}) <=> %(vector)s AS distance
FROM sightline.{partition} AS e
{joins}
WHERE {condition}
ORDER BY e.embedding::halfvec({dimension}) <=> %(vector)s
LIMIT %(rows)s

-- name: nearest_of_few
-- Exact, when the filter keeps no more than ``exact_rows``; always says how many it keeps (one
-- more than that for more). Adding 0 keeps the vector index out of it.
WITH matching AS MATERIALIZED (
    SELECT {id} AS id, a.id AS asset_id FROM {tables} WHERE {condition}
    LIMIT %(exact_rows)s::bigint + 1
), total AS (
    SELECT count(*) AS n FROM matching
)
SELECT total.n, hit.key, hit.collection_id, hit.region_id, hit.passage_id, hit.distance
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

-- name: sample_vectors
-- A random few of a large space, by whole blocks of the table, and how many were read to choose
-- from.
SELECT few.vector, few.n
FROM (
    SELECT e.embedding::halfvec({dimension}) AS vector, count(*) OVER () AS n
    FROM sightline.{partition} AS e TABLESAMPLE SYSTEM ({percent})
    WHERE e.collection_id = ANY (%(collections)s)
) AS few
ORDER BY random()
LIMIT %(rows)s

-- name: sample_few_vectors
-- The same of a small space or a small part of one, which a sample of blocks would miss.
SELECT few.vector, count(*) OVER () AS n
FROM (
    SELECT e.embedding::halfvec({dimension}) AS vector
    FROM sightline.{partition} AS e
    WHERE e.collection_id = ANY (%(collections)s)
    LIMIT %(read_rows)s
) AS few
ORDER BY random()
LIMIT %(rows)s

-- name: space_rows
-- About how many vectors the space has; -1 before the first ANALYZE.
SELECT reltuples::bigint FROM pg_class
WHERE oid = to_regclass(%(partition)s)

-- name: space_of_pictures
-- The space of whole pictures that an encoder made in the collections.
SELECT space.id
FROM sightline.space
JOIN sightline.collection_space AS u ON u.space_id = space.id AND u.grain = 'asset'
WHERE space.encoder = %(encoder)s AND space.weights = %(weights)s
    AND space.preprocessing = %(preprocessing)s AND space.dimension = %(dimension)s
    AND u.collection_id = ANY (%(collections)s)
LIMIT 1

-- name: captioned_pairs
-- Vectors of captions beside those of their pictures, where one encoder made both.
SELECT t.embedding::halfvec({dimension}), e.embedding::halfvec({dimension})
FROM (
    SELECT id, asset_id FROM sightline.passage
    WHERE kind = 'caption' AND collection_id = ANY (%(collections)s) AND asset_id IS NOT NULL
    ORDER BY md5(asset_id)
    LIMIT %(rows)s
) AS p
JOIN sightline.{text_partition} AS t ON t.passage_id = p.id
JOIN sightline.{partition} AS e ON e.asset_id = p.asset_id

-- name: vectors_of_assets
SELECT e.asset_id, e.embedding::halfvec({dimension})
FROM sightline.{partition} AS e
WHERE e.asset_id = ANY (%(ids)s) AND e.region_id IS NULL AND e.passage_id IS NULL

-- name: passage_statistics
-- What BM25 needs of the collections: number of passages, and tokens in one on average.
SELECT count(*), coalesce(avg(token_count), 0)::float8
FROM sightline.passage
WHERE %(collections)s::integer[] IS NULL OR collection_id = ANY (%(collections)s)

-- name: term_counts
-- In how many passages each term stands, counted no further than ``ceiling``.
SELECT asked.term, counted.n
FROM unnest(%(terms)s::text[]) AS asked (term)
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (
        SELECT FROM sightline.posting AS o
        WHERE o.term = asked.term COLLATE "C" LIMIT %(ceiling)s
    ) AS few
) AS counted

-- name: terms_beginning
-- Terms that begin with a character: the range up to the last code point.
SELECT DISTINCT term
FROM (
    SELECT term FROM sightline.posting
    WHERE term > %(beginning)s COLLATE "C" AND term < %(end)s COLLATE "C"
    LIMIT 20000
) AS beginning
LIMIT %(most)s

-- name: holds_words
-- Neighbours in the tokens; see `storage/text/quoted_phrases.py`.
(p.tokens @@ {phrase}::tsquery)

-- name: holds_characters
(strpos(regexp_replace(lower(normalize(p.text, NFKC)), '\s', '', 'g'), {phrase}) > 0)

-- name: saturation
-- How much a term's frequency in a passage of some length counts, in BM25.
({frequency} * (%(k1)s + 1)
    / ({frequency} + %(k1)s * (1 - %(b)s + %(b)s * {length} / %(mean_length)s)))

-- name: best_passages
-- Candidates of `lexical`, a passage each.
SELECT id, asset_id, token_count, sum(part) AS score, sum(idf) AS mass
FROM part
GROUP BY id, asset_id, token_count
ORDER BY score DESC, id
LIMIT %(candidates)s

-- name: best_assets
-- Candidates of `lexical`, an asset each: every term counts where it is strongest on the asset,
-- for the words of one label are many lines to OCR; shown is the best passage.
SELECT shown.id, shown.asset_id, shown.token_count, summed.score, summed.mass
FROM (
    SELECT asset_id, sum(part) AS score, sum(idf) AS mass
    FROM (
        SELECT asset_id, concept, max(part) AS part, max(idf) AS idf
        FROM part WHERE asset_id IS NOT NULL GROUP BY asset_id, concept
    ) AS strongest
    GROUP BY asset_id
    ORDER BY score DESC, asset_id
    LIMIT %(candidates)s
) AS summed
JOIN (
    -- For all at once: looked up for each candidate, all parts would be read for each.
    SELECT DISTINCT ON (asset_id) id, asset_id, token_count
    FROM (
        SELECT id, asset_id, token_count, sum(part) AS score
        FROM part GROUP BY id, asset_id, token_count
    ) AS scored
    ORDER BY asset_id, score DESC, id
) AS shown ON shown.asset_id = summed.asset_id

-- name: lexical
-- BM25 in two stages. The rarest terms find candidates through the postings and are weighed by
-- how many passages of the scope hold them; the others, which would drag in half of the table,
-- only add to candidates, weighed by ``shares`` of all passages. ``concept`` unites terms that
-- stand for one (all that begin with a lone Chinese character). Candidates that hold neighbours of
-- the query as neighbours are worth more.
WITH asked AS MATERIALIZED (
    SELECT term COLLATE "C" AS term, concept, weight
    FROM unnest(%(terms)s::text[], %(concepts)s::integer[], %(weights)s::float8[])
        AS t (term, concept, weight)
), posted AS MATERIALIZED (
    SELECT asked.concept, asked.weight, o.frequency, p.id, p.asset_id, p.token_count,
        {condition} AS kept
    FROM asked
    JOIN sightline.posting AS o ON o.term = asked.term
    JOIN sightline.passage AS p ON p.id = o.passage_id
    {joins}
    WHERE {scope}
    LIMIT %(most_postings)s
), weighed AS MATERIALIZED (
    SELECT concept,
        max(weight) * ln(1 + (greatest(%(passages)s, count(*)) - count(*) + 0.5) / (count(*) + 0.5))
            AS idf
    FROM posted GROUP BY concept
), part AS MATERIALIZED (
    SELECT posted.id, posted.asset_id, posted.token_count, posted.concept, weighed.idf,
        weighed.idf * {saturation} AS part
    FROM posted JOIN weighed ON weighed.concept = posted.concept
    WHERE posted.kept
), candidate AS MATERIALIZED (
    {candidates}
), common AS (
    SELECT term COLLATE "C" AS term, weight * ln(1 + (1 - share) / share) AS idf
    FROM unnest(%(common_terms)s::text[], %(common_weights)s::float8[], %(shares)s::float8[])
        AS t (term, weight, share)
), extra AS (
    SELECT candidate.id,
        sum(common.idf * {common_saturation}) AS score,
        sum(common.idf) AS mass
    FROM candidate
    CROSS JOIN common
    CROSS JOIN LATERAL (
        -- The limit keeps this a look-up: joined, all postings of a common term would be read.
        SELECT frequency FROM sightline.posting
        WHERE term = common.term AND passage_id = candidate.id
        LIMIT 1
    ) AS o
    GROUP BY candidate.id
), pair AS MATERIALIZED (
    SELECT t.pair::tsquery AS words, t.first, t.second,
        %(nearness)s * least(one.idf, other.idf) AS worth
    FROM unnest(%(pairs)s::text[], %(firsts)s::integer[], %(seconds)s::integer[])
        AS t (pair, first, second)
    JOIN weighed AS one ON one.concept = t.first
    JOIN weighed AS other ON other.concept = t.second
), held AS MATERIALIZED (
    -- Looking at positions takes ten microseconds: only where both words of a pair stand, and
    -- among the best, which are those that it can put in order.
    SELECT DISTINCT part.id, part.concept
    FROM (SELECT id FROM candidate ORDER BY score DESC, id LIMIT %(near_candidates)s) AS leader
    JOIN part ON part.id = leader.id
), near AS (
    SELECT one.id, sum(pair.worth) AS score
    FROM pair
    JOIN held AS one ON one.concept = pair.first
    JOIN held AS other ON other.concept = pair.second AND other.id = one.id
    JOIN sightline.passage AS p ON p.id = one.id
    WHERE p.tokens @@ pair.words
    GROUP BY one.id
)
SELECT candidate.id, candidate.asset_id,
    candidate.score + coalesce(extra.score, 0) + coalesce(near.score, 0) AS score,
    candidate.mass + coalesce(extra.mass, 0) AS mass,
    coalesce((SELECT sum(idf) FROM weighed), 0) + coalesce((SELECT sum(idf) FROM common), 0)
        AS found_mass
FROM candidate
LEFT JOIN extra ON extra.id = candidate.id
LEFT JOIN near ON near.id = candidate.id
ORDER BY score DESC, candidate.id
LIMIT %(depth)s

-- name: passage_records
SELECT
    p.id, p.kind, p.text, p.language, s.name, c.name, p.asset_id, p.page,
    p.x0, p.y0, p.x1, p.y1, p.start_seconds, p.end_seconds, p.char_start, p.char_end, p.confidence
FROM sightline.passage AS p
JOIN sightline.source AS s ON s.id = p.source_id
JOIN sightline.collection AS c ON c.id = p.collection_id
WHERE p.id = ANY (%(ids)s)

-- name: region_records
SELECT id, kind, x0, y0, x1, y1, label
FROM sightline.region
WHERE id = ANY (%(ids)s)

-- name: perceptual_hashes
SELECT id, perceptual_hash
FROM sightline.asset
WHERE id = ANY (%(ids)s) AND perceptual_hash IS NOT NULL

-- name: log
-- A log that is lost in a crash is no loss; a search that waits for the disk is.
INSERT INTO sightline.retrieval_log
    (principal, tool, collection, query, arguments, timings_ms, total_ms, result_count, results)
VALUES
    (%(principal)s, %(tool)s, %(collection)s, %(query)s, %(arguments)s, %(timings_ms)s,
     %(total_ms)s, %(result_count)s, %(results)s)
