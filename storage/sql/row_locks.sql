-- Rows of sightline.lock; see storage/db/row_locks.py.

-- name: begin_wait
-- In a statement of its own: a timeout counts from the start of the statement that waits.
SELECT
    set_config('sightline.statement_timeout', current_setting('statement_timeout'), true),
    set_config('sightline.lock_timeout', current_setting('lock_timeout'), true),
    set_config('statement_timeout', '0', true),
    set_config('lock_timeout', %(timeout)s, true)

-- name: ensure
-- Only the first use of a lock inserts, and another first use then waits for its transaction.
INSERT INTO sightline.lock (name)
SELECT %(name)s WHERE NOT EXISTS (SELECT FROM sightline.lock WHERE name = %(name)s)
ON CONFLICT DO NOTHING

-- name: take
SELECT FROM sightline.lock WHERE name = %(name)s FOR UPDATE

-- name: take_shared
SELECT FROM sightline.lock WHERE name = %(name)s FOR SHARE

-- name: end_wait
SELECT
    set_config('statement_timeout', current_setting('sightline.statement_timeout'), true),
    set_config('lock_timeout', current_setting('sightline.lock_timeout'), true)
