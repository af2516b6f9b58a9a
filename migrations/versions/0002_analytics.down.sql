-- The schema itself stays, as "sightline" does: whoever may not make it could not go up again.
DROP FUNCTION
    analytics.nearest, analytics.search, analytics.duplicates, analytics.coverage,
    analytics.similarity, analytics.centroid, analytics.outliers, analytics.label_overlap,
    analytics.drift;
DROP FUNCTION sightline.analytics_space;
DROP VIEW
    analytics.assets, analytics.sources, analytics.passages, analytics.annotations,
    analytics.embeddings, analytics.spaces, analytics.searches;
