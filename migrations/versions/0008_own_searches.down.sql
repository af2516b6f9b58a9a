ALTER POLICY by_collection ON sightline.retrieval_log USING (
    (SELECT sightline.current_tenant()) IS NULL
    OR principal = (SELECT sightline.current_principal())
    OR collection = ANY (ARRAY(SELECT c.name FROM sightline.collection AS c))
);
