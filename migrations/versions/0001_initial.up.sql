-- Sightline's tables. Everything lives in the schema "sightline", which env.py makes, along with
-- pgvector (in whichever schema it already is; hence the bare type name below).

CREATE TABLE sightline.collection (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 64),
    -- Declared metadata keys, OCR mode, tiles and the like; the spaces are in collection_space.
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- An embedding space: vectors of different spaces are never compared.
CREATE TABLE sightline.space (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    encoder text NOT NULL,
    weights text NOT NULL,
    preprocessing text NOT NULL,
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 4000),
    -- What one vector stands for: a whole asset, a region of one, or a passage.
    grain text NOT NULL CHECK (grain IN ('asset', 'region', 'passage')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (encoder, weights, preprocessing, dimension, grain)
);

CREATE TABLE sightline.collection_space (
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    grain text NOT NULL CHECK (grain IN ('asset', 'region', 'passage')),
    space_id integer NOT NULL REFERENCES sightline.space,
    PRIMARY KEY (collection_id, grain)
);

CREATE TABLE sightline.source (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    -- SHA-256 of the bytes; of "path:" and the location where the bytes could not be read.
    content_key bytea NOT NULL CHECK (length(content_key) = 32),
    -- As the user gave it; what results show.
    name text NOT NULL,
    -- Where the bytes are: "file:/absolute/path" or "object:<sha256>" in the data folder.
    location text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('image', 'pdf', 'video', 'text', 'unknown')),
    mime_type text,
    byte_size bigint,
    metadata jsonb NOT NULL DEFAULT '{}',
    -- SHA-256 of caption and metadata, so that a changed sidecar is noticed.
    sidecar_key bytea,
    -- Mode and engine that read the text in its pictures ("auto: ..."); null where nothing did.
    read_by text,
    state text NOT NULL CHECK (state IN ('done', 'failed')),
    error_code text,
    error text,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (collection_id, content_key),
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
-- Whether anything still names a stored object.
CREATE INDEX source_location_idx ON sightline.source USING hash (location);

-- One picture that an agent can see: an image, a page or a frame.
CREATE TABLE sightline.asset (
    -- Derived from collection and content: short, stable, readable.
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-z]{12}$'),
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    source_id bigint NOT NULL REFERENCES sightline.source ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('image', 'page', 'frame')),
    -- Position in its source: 0 for an image, else page index or frame index.
    ordinal integer NOT NULL DEFAULT 0,
    page integer CHECK (page >= 1),
    frame_seconds real CHECK (frame_seconds >= 0),
    -- The bytes of this very picture, where the source is not one: "object:<sha256>".
    location text NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    -- Pixels, upright (after EXIF rotation).
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    captured_at timestamptz,
    -- The same moment on the wall clock of the place, for time-of-day filters.
    captured_local timestamp,
    caption text,
    metadata jsonb NOT NULL DEFAULT '{}',
    perceptual_hash bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source_id, ordinal)
);
CREATE INDEX asset_collection_idx ON sightline.asset (collection_id);
CREATE INDEX asset_captured_idx ON sightline.asset (collection_id, captured_at);
CREATE INDEX asset_metadata_idx ON sightline.asset USING gin (metadata jsonb_path_ops);
CREATE INDEX asset_location_idx ON sightline.asset USING hash (location);
CREATE INDEX asset_hash_idx ON sightline.asset (collection_id, perceptual_hash);

-- Apart from asset, so that scans of asset stay narrow.
CREATE TABLE sightline.thumbnail (
    asset_id text PRIMARY KEY REFERENCES sightline.asset ON DELETE CASCADE,
    jpeg bytea NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL
);

-- A part of an asset. Boxes are corners x0, y0, x1, y1, 0 to 1 of the upright picture.
CREATE TABLE sightline.region (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('tile', 'ocr_line', 'detection')),
    ordinal integer NOT NULL DEFAULT 0,
    x0 real NOT NULL CHECK (x0 >= 0), y0 real NOT NULL CHECK (y0 >= 0),
    x1 real NOT NULL CHECK (x1 <= 1), y1 real NOT NULL CHECK (y1 <= 1),
    label text,
    score real,
    UNIQUE (asset_id, kind, ordinal),
    CHECK (x0 < x1 AND y0 < y1)
);

-- Text with provenance. A box, where there is one, is in the frame of its asset, as in region.
CREATE TABLE sightline.passage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    source_id bigint NOT NULL REFERENCES sightline.source ON DELETE CASCADE,
    asset_id text REFERENCES sightline.asset ON DELETE CASCADE,
    region_id bigint REFERENCES sightline.region ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('caption', 'chunk', 'row', 'page_text', 'ocr', 'subtitle')),
    ordinal integer NOT NULL DEFAULT 0,
    text text NOT NULL,
    language text,
    page integer,
    start_seconds real,
    end_seconds real,
    char_start integer,
    char_end integer,
    x0 real, y0 real, x1 real, y1 real,
    confidence real,
    -- Built by our own analyser (words, stems, Chinese segments), with positions.
    tokens tsvector NOT NULL,
    -- Number of tokens, for BM25.
    token_count integer NOT NULL,
    CHECK (num_nonnulls(x0, y0, x1, y1) IN (0, 4)),
    CHECK (x0 IS NULL OR (x0 >= 0 AND y0 >= 0 AND x1 <= 1 AND y1 <= 1 AND x0 < x1 AND y0 < y1))
);
CREATE INDEX passage_source_idx ON sightline.passage (source_id);
CREATE INDEX passage_asset_idx ON sightline.passage (asset_id);
CREATE INDEX passage_region_idx ON sightline.passage (region_id) WHERE region_id IS NOT NULL;
CREATE INDEX passage_collection_idx ON sightline.passage (collection_id, kind);
CREATE INDEX passage_tokens_idx ON sightline.passage USING gin (tokens);

-- Postings for BM25: how often a term stands in a passage.
CREATE TABLE sightline.posting (
    -- Collation "C": terms are bytes to us, and those that begin with a character are one range.
    term text COLLATE "C" NOT NULL,
    passage_id bigint NOT NULL REFERENCES sightline.passage ON DELETE CASCADE,
    frequency smallint NOT NULL CHECK (frequency > 0),
    PRIMARY KEY (term, passage_id) INCLUDE (frequency)
);
CREATE INDEX posting_passage_idx ON sightline.posting (passage_id);

-- Parent of one partition a space; the dimension is checked and indexed there.
CREATE TABLE sightline.embedding (
    space_id integer NOT NULL REFERENCES sightline.space,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    asset_id text REFERENCES sightline.asset ON DELETE CASCADE,
    region_id bigint REFERENCES sightline.region ON DELETE CASCADE,
    passage_id bigint REFERENCES sightline.passage ON DELETE CASCADE,
    embedding halfvec NOT NULL,
    CHECK (asset_id IS NOT NULL OR passage_id IS NOT NULL),
    UNIQUE NULLS NOT DISTINCT (space_id, asset_id, region_id, passage_id)
) PARTITION BY LIST (space_id);
CREATE INDEX embedding_asset_idx ON sightline.embedding (asset_id);
CREATE INDEX embedding_region_idx ON sightline.embedding (region_id) WHERE region_id IS NOT NULL;
CREATE INDEX embedding_passage_idx ON sightline.embedding (passage_id) WHERE passage_id IS NOT NULL;
CREATE INDEX embedding_collection_idx ON sightline.embedding (collection_id);

CREATE TABLE sightline.annotation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    label text NOT NULL,
    x0 real NOT NULL CHECK (x0 >= 0), y0 real NOT NULL CHECK (y0 >= 0),
    x1 real NOT NULL CHECK (x1 <= 1), y1 real NOT NULL CHECK (y1 <= 1),
    score real,
    origin text NOT NULL CHECK (origin IN ('person', 'model')),
    model text,
    author text,
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (x0 < x1 AND y0 < y1)
);
CREATE INDEX annotation_asset_idx ON sightline.annotation (asset_id);

CREATE TABLE sightline.retrieval_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    principal text,
    tool text NOT NULL,
    collection text,
    query text,
    arguments jsonb NOT NULL DEFAULT '{}',
    timings_ms jsonb NOT NULL DEFAULT '{}',
    total_ms real NOT NULL,
    result_count integer NOT NULL,
    -- Asset or passage ids with scores, best first.
    results jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX retrieval_log_at_idx ON sightline.retrieval_log (at);
