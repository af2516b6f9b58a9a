-- name: document
SELECT location, content_key AS sha256
FROM sightline.source
WHERE id = %(source_id)s AND kind = 'pdf' AND state = 'done'
