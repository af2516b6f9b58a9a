-- Words of deleted texts; see storage/records/deleted_words.py.

-- name: terms
-- The terms of passages that are about to be deleted: of sources, or of assets.
SELECT DISTINCT passage.collection_id, posting.term
FROM sightline.passage
JOIN sightline.posting ON posting.passage_id = passage.id
WHERE (passage.source_id = ANY (%(sources)s) OR passage.asset_id = ANY (%(assets)s))
AND (%(kinds)s::text[] IS NULL OR passage.kind = ANY (%(kinds)s))

-- name: forget
-- Looks at a limited number of postings of each term. A word with more stays.
DELETE FROM sightline.vocabulary AS known
USING unnest(%(collections)s::integer[], %(terms)s::text[]) AS deleted (collection_id, term)
WHERE known.collection_id = deleted.collection_id AND known.term = deleted.term
AND CASE
    WHEN EXISTS (
        SELECT FROM sightline.posting
        WHERE posting.term = deleted.term OFFSET %(max_postings)s LIMIT 1
    ) THEN false
    ELSE NOT EXISTS (
        SELECT FROM sightline.posting
        JOIN sightline.passage ON passage.id = posting.passage_id
        WHERE posting.term = deleted.term AND passage.collection_id = deleted.collection_id
    )
END
