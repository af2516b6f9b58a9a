-- A principal may be bound to every collection, those that are yet to be made as well.
ALTER TABLE sightline.tenant ADD COLUMN everything boolean NOT NULL DEFAULT false
    CHECK (NOT everything OR principal IS NOT NULL);
COMMENT ON COLUMN sightline.tenant.everything IS
    'The server works for this principal as it does for itself, and tenant_collection says nothing.';
