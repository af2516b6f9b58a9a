-- name: document
SELECT location, content_key AS sha256
FROM sightline.source
WHERE id = %(source_id)s AND kind = 'pdf' AND state = 'done'

-- name: media
SELECT location, content_key AS sha256, mime_type
FROM sightline.source
WHERE id = %(source_id)s AND kind IN ('video', 'audio') AND state = 'done'

-- name: source
SELECT
    source.id, source.name, collection.name AS collection, source.kind, source.ocr_engine,
    source.transcriber, source.error,
    nullif(greatest(
        (SELECT max(page) FROM sightline.asset WHERE source_id = source.id),
        (SELECT max(coalesce(page, 0)) FROM sightline.passage WHERE source_id = source.id)
    ), 0) AS page_count
FROM sightline.source
JOIN sightline.collection ON collection.id = source.collection_id
WHERE source.id = %(id)s

-- name: sources_by_name
-- By a whole name, or by its end after a slash.
SELECT
    source.id, source.name, collection.name AS collection, source.kind, source.ocr_engine,
    source.transcriber, source.error,
    nullif(greatest(
        (SELECT max(page) FROM sightline.asset WHERE source_id = source.id),
        (SELECT max(coalesce(page, 0)) FROM sightline.passage WHERE source_id = source.id)
    ), 0) AS page_count
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

-- name: place
-- Where a passage is in the reading order of its source.
SELECT
    coalesce(page, 0) AS page, coalesce(start_seconds, '-infinity'::real) AS seconds, ordinal
FROM sightline.passage
WHERE id = %(id)s AND source_id = %(source_id)s

-- name: passages
-- The text of a source in reading order, from a place on. A chunk is without the characters that it
-- shares with the chunks before it, which end at most at reached; gap: those between it and them.
-- Reads one passage more than the limit, to know the next of each.
WITH fetched AS (
    SELECT
        id, kind, coalesce(page, 0) AS at_page,
        coalesce(start_seconds, '-infinity'::real) AS at_seconds, ordinal, length(text) AS chars,
        char_start, char_end
    FROM sightline.passage
    WHERE source_id = %(source_id)s
    AND kind IN ('chunk', 'row', 'page_text', 'ocr', 'subtitle', 'speech', 'note', 'field')
    AND (%(asset_id)s::text IS NULL OR asset_id = %(asset_id)s)
    AND (%(first_pages)s::integer[] IS NULL OR EXISTS (
        SELECT FROM unnest(%(first_pages)s::integer[], %(last_pages)s::integer[])
            AS span (first, last)
        WHERE page BETWEEN span.first AND span.last
    ))
    AND coalesce(page, 0) BETWEEN %(min_page)s AND %(max_page)s
    AND (coalesce(page, 0), coalesce(start_seconds, '-infinity'::real), ordinal, id)
        >= (%(page)s::integer, %(seconds)s::real, %(ordinal)s::integer, %(id)s::bigint)
    ORDER BY coalesce(page, 0), coalesce(start_seconds, '-infinity'::real), ordinal, id
    LIMIT %(limit)s::integer + 1
), ordered AS (
    SELECT
        *, row_number() OVER reading AS number, lead(id) OVER reading AS next_id,
        greatest(%(reached)s::integer, max(char_end) FILTER (WHERE kind = 'chunk') OVER (
            reading ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )) AS reached
    FROM fetched
    WINDOW reading AS (ORDER BY at_page, at_seconds, ordinal, id)
), gaps AS (
    SELECT *, CASE WHEN kind = 'chunk' THEN char_start - reached END AS gap FROM ordered
), sized AS (
    SELECT
        *, least(
            chars, greatest(0, -gap, CASE WHEN id = %(id)s THEN %(offset)s::integer END)
        ) AS skipped
    FROM gaps
), counted AS (
    SELECT *, sum(chars - skipped) OVER (ORDER BY number) - (chars - skipped) AS start_at
    FROM sized
)
SELECT
    id, counted.next_id, counted.reached, counted.skipped, counted.gap,
    substr(passage.text, counted.skipped + 1) AS text, passage.char_end, passage.asset_id,
    passage.kind, passage.page, passage.start_seconds, passage.confidence
FROM counted
JOIN sightline.passage USING (id)
WHERE number <= %(limit)s AND start_at < %(max_chars)s
ORDER BY number

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
