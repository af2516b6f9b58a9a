-- What a selection matches, without a query. {rows} are the tables of
-- `storage/sql/retrieval.sql` with the condition of the scope.

-- name: count
SELECT count(*) FROM {rows}

-- name: any
SELECT EXISTS (SELECT FROM {rows})

-- name: list_assets
-- Newest first, then by source and place in it; without a capture time last.
SELECT a.id AS key
FROM {rows}
ORDER BY
    coalesce(a.captured_at, a.captured_local AT TIME ZONE 'UTC') DESC NULLS LAST,
    s.name COLLATE "C", a.page NULLS FIRST, a.frame_seconds NULLS FIRST, a.id
LIMIT %(limit)s OFFSET %(offset)s

-- name: list_passages
-- In the order of the document; file name and metadata last.
SELECT p.id AS key
FROM {rows}
ORDER BY
    s.name COLLATE "C", s.id, p.kind IN ('name', 'metadata'), coalesce(p.page, a.page) NULLS FIRST,
    coalesce(p.start_seconds, a.frame_seconds) NULLS FIRST, a.ordinal NULLS FIRST, p.kind,
    p.char_start NULLS FIRST, p.ordinal, p.id
LIMIT %(limit)s OFFSET %(offset)s

-- name: limit_time
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: column_values
-- The values of a column with the number of rows that have each, the most frequent first, and the
-- number of all values. Of at most max_rows rows. A long value is the beginning of its text;
-- left_out: characters of the rest.
SELECT
    CASE WHEN size > %(max_chars)s THEN to_jsonb(left(value #>> '{{}}', %(max_chars)s))
        ELSE value END AS value,
    greatest(0, size - %(max_chars)s) AS left_out, count, found
FROM (
    SELECT to_jsonb(value) AS value, length(to_jsonb(value) #>> '{{}}') AS size, count, found
    FROM (
        SELECT value, count(*) AS count, count(*) OVER () AS found
        FROM (SELECT {value} AS value FROM {rows} LIMIT %(max_rows)s) AS selected
        WHERE value IS NOT NULL
        GROUP BY value
        ORDER BY count DESC, value
        LIMIT %(limit)s
    ) AS counted
) AS measured

-- name: metadata_values
-- As column_values, for a key of the metadata; each element of a list counts.
SELECT
    CASE WHEN size > %(max_chars)s THEN to_jsonb(left(element #>> '{{}}', %(max_chars)s))
        ELSE element END AS value,
    greatest(0, size - %(max_chars)s) AS left_out, count, found
FROM (
    SELECT
        element, length(element #>> '{{}}') AS size, count(*) AS count,
        count(*) OVER () AS found
    FROM (
        SELECT DISTINCT selected.id, entry.element
        FROM (SELECT {id} AS id, {value} AS value FROM {rows} LIMIT %(max_rows)s) AS selected
        CROSS JOIN LATERAL jsonb_array_elements(
            CASE WHEN jsonb_typeof(selected.value) = 'array' THEN selected.value
                ELSE jsonb_build_array(selected.value) END
        ) AS entry (element)
        WHERE selected.value IS NOT NULL AND entry.element <> 'null'
    ) AS valued
    GROUP BY element
    ORDER BY count DESC, element
    LIMIT %(limit)s
) AS measured

-- name: count_with_column
SELECT count({value}) FROM {rows}

-- name: count_with_metadata
SELECT count(*) FROM {rows} AND coalesce({value}, 'null') NOT IN ('null', '[]')

-- name: comparable_assets
-- The largest picture first.
SELECT a.id, a.collection_id, a.sha256, a.perceptual_hash, a.symmetric_hash
FROM {rows}
ORDER BY a.width::bigint * a.height DESC, a.id
LIMIT %(limit)s
