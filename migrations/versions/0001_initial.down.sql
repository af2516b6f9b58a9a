-- The schemas stay: sightline holds the version and the locks, and not every role may create
-- schemas again. The extension and the roles stay: other databases or schemas may use them.
DROP VIEW
    analytics.collections, analytics.assets, analytics.sources, analytics.passages,
    analytics.annotations, analytics.detections,
    analytics.regions, analytics.embeddings, analytics.embedding_spaces, analytics.searches,
    analytics.cluster_members;
DROP FUNCTION
    analytics.search, analytics.search_text, analytics.nearest, analytics.knn,
    analytics.duplicates, analytics.clusters,
    analytics.coverage, analytics.similarity, analytics.centroid, analytics.outliers,
    analytics.drift, analytics.overlapping_annotations, analytics.require_row_size,
    analytics.query_plan, sightline.resolve_embedding_space, sightline.filter_condition,
    sightline.filter_comparison, sightline.nested_json, sightline.filter_tables;
DROP TABLE
    sightline.collection_binding, sightline.principal, sightline.near_duplicate,
    sightline.compared_asset, sightline.cluster_member, sightline.cluster,
    sightline.retrieval_log, sightline.annotation, sightline.embedding, sightline.vocabulary,
    sightline.posting,
    sightline.passage, sightline.region, sightline.picture_pair, sightline.thumbnail,
    sightline.asset, sightline.source, sightline.encoder_reliability,
    sightline.collection_embedding_space, sightline.kept_embedding_space,
    sightline.embedding_space, sightline.collection,
    sightline.id_key;
DROP FUNCTION
    sightline.new_ids, sightline.new_id_block, sightline.new_id, sightline.permuted_number,
    sightline.permute,
    sightline.ensure_roles_if_permitted, sightline.ensure_roles,
    sightline.same_text, sightline.hash_distance,
    sightline.enable_collection_policy, sightline.count_collections_of_space,
    sightline.visible_collection_ids, sightline.current_principal_name,
    sightline.current_principal_id;
DO $$
BEGIN
    IF to_regrole('sightline_analytics_owner') IS NOT NULL THEN
        REVOKE ALL ON SCHEMA sightline, analytics
        FROM sightline_analyst, sightline_analytics_owner, sightline_principal;
    END IF;
END
$$;
