-- What one principal asked is not for another to read, whatever collection it asked: of the log a
-- principal sees its own searches. An analyst's login sees those of its collections, as before.
ALTER POLICY by_collection ON sightline.retrieval_log USING (
    (SELECT sightline.current_tenant()) IS NULL
    OR principal = (SELECT sightline.current_principal())
    OR (
        (SELECT sightline.current_principal()) IS NULL
        AND collection = ANY (ARRAY(SELECT c.name FROM sightline.collection AS c))
    )
);
