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
-- In the order of the document; the file name last.
SELECT p.id AS key
FROM {rows}
ORDER BY
    s.name COLLATE "C", s.id, p.kind = 'name', coalesce(p.page, a.page) NULLS FIRST,
    coalesce(p.start_seconds, a.frame_seconds) NULLS FIRST, a.ordinal NULLS FIRST, p.kind,
    p.char_start NULLS FIRST, p.ordinal, p.id
LIMIT %(limit)s OFFSET %(offset)s
