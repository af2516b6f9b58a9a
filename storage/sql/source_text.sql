-- name: document
SELECT location, content_key AS sha256
FROM sightline.source
WHERE id = %(source_id)s AND kind = 'pdf' AND state = 'done'

-- name: source
SELECT
    source.id, source.name, collection.name AS collection, source.kind, source.ocr_engine,
    source.error,
    (SELECT max(page) FROM sightline.asset WHERE source_id = source.id) AS page_count
FROM sightline.source
JOIN sightline.collection ON collection.id = source.collection_id
WHERE source.id = %(id)s

-- name: sources_by_name
-- By a whole name, or by its end after a slash.
SELECT
    source.id, source.name, collection.name AS collection, source.kind, source.ocr_engine,
    source.error,
    (SELECT max(page) FROM sightline.asset WHERE source_id = source.id) AS page_count
FROM sightline.source
JOIN sightline.collection ON collection.id = source.collection_id
WHERE (%(collection)s::text IS NULL OR collection.name = %(collection)s)
AND (
    source.name = %(name)s
    OR right(source.name, length(%(name)s::text) + 1) = '/' || %(name)s::text
)
ORDER BY source.name <> %(name)s, source.name, collection.name
LIMIT %(limit)s

-- name: sources_by_end
-- Of values that are no whole names: the first names that end with each, and their number.
SELECT
    wanted.value, (array_agg(DISTINCT source.name))[:%(limit)s::integer] AS names,
    count(DISTINCT source.name) AS found
FROM unnest(%(values)s::text[], %(ends)s::text[]) AS wanted (value, ending)
JOIN sightline.source
    -- Equal file names, because Postgres can hash them.
    ON regexp_replace(source.name, '^.*/', '') = regexp_replace(wanted.ending, '^.*/', '')
    AND right('/' || source.name, length(wanted.ending) + 1) = '/' || wanted.ending
WHERE source.collection_id = ANY (%(collections)s)
AND NOT EXISTS (
    SELECT FROM sightline.source AS whole
    WHERE whole.name = wanted.value AND whole.collection_id = ANY (%(collections)s)
)
GROUP BY wanted.value
ORDER BY wanted.value

-- name: similar_names
-- For the message about an unknown name: names with a part of it first.
SELECT name
FROM (
    SELECT DISTINCT source.name, strpos(lower(source.name), lower(%(part)s)) = 0 AS is_other
    FROM sightline.source
    JOIN sightline.collection ON collection.id = source.collection_id
    WHERE %(collection)s::text IS NULL OR collection.name = %(collection)s
) AS named
ORDER BY is_other, name
LIMIT %(limit)s

-- name: passages
-- The text of a source in reading order, from one character to another. A chunk is without the
-- characters that it shares with the chunks before it; gap: those between it and them.
WITH chosen AS (
    SELECT
        id, page, start_seconds, ordinal, length(text) AS chars,
        CASE WHEN kind = 'chunk' THEN char_start - max(char_end) OVER (
            PARTITION BY kind ORDER BY ordinal, id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) END AS gap
    FROM sightline.passage
    WHERE source_id = %(source_id)s
    AND kind IN ('chunk', 'row', 'page_text', 'ocr', 'subtitle')
    AND (%(asset_id)s::text IS NULL OR asset_id = %(asset_id)s)
    AND (%(first_pages)s::integer[] IS NULL OR EXISTS (
        SELECT FROM unnest(%(first_pages)s::integer[], %(last_pages)s::integer[])
            AS span (first, last)
        WHERE page BETWEEN span.first AND span.last
    ))
), sized AS (
    SELECT *, least(chars, greatest(0, -gap)) AS skipped FROM chosen
), counted AS (
    SELECT
        id, gap, skipped, chars - skipped AS kept,
        sum(chars - skipped) OVER (
            ORDER BY page NULLS FIRST, start_seconds NULLS FIRST, ordinal, id
        ) AS end_at,
        sum(chars - skipped) OVER () AS total
    FROM sized
), selected AS (
    SELECT * FROM counted
    WHERE kept > 0 AND end_at > %(start)s AND end_at - kept < %(end)s
    ORDER BY end_at
    LIMIT %(limit)s
)
SELECT
    total::bigint, (end_at - kept)::bigint AS start_at, substr(text, skipped + 1) AS text, gap,
    asset_id, kind, page, start_seconds, confidence
FROM selected
JOIN sightline.passage USING (id)
ORDER BY end_at

-- name: pages_without_text
SELECT page
FROM sightline.asset
WHERE source_id = %(source_id)s AND page IS NOT NULL
AND (%(first_pages)s::integer[] IS NULL OR EXISTS (
    SELECT FROM unnest(%(first_pages)s::integer[], %(last_pages)s::integer[])
        AS span (first, last)
    WHERE page BETWEEN span.first AND span.last
))
AND NOT EXISTS (
    SELECT FROM sightline.passage
    WHERE asset_id = asset.id AND kind IN ('page_text', 'ocr')
)
ORDER BY page
LIMIT %(limit)s
