/** Results of the tools, as `docs/reference/tools.md` describes them; only fields the app reads. */

/** [x0, y0, x1, y1], 0 to 1 of the upright image, from the top left. */
export type Box = [number, number, number, number];

export interface Asset {
  asset: string;
  source?: string;
  collection?: string;
  kind?: string;
  page?: number;
  seconds?: number;
  size?: [number, number];
  captured_at?: string;
  caption?: string;
  metadata?: Record<string, unknown>;
}

export interface Annotation {
  id: number;
  label: string;
  box: Box;
  score?: number;
  origin: string;
  model?: string;
  author?: string;
  note?: string;
  created_at?: string;
  /** True if the caller saved it, and so may delete it. */
  mine?: boolean;
}

export interface MatchedText {
  kind: string;
  text: string;
  box?: Box;
}

export interface ImageHit extends Asset {
  number: number;
  score?: number;
  distance?: number;
  weak?: boolean;
  box?: Box;
  text?: MatchedText;
  retrievers?: Record<string, { rank?: number; score?: number }>;
  duplicates?: string[];
}

export interface TextHit {
  number: number;
  passage: string;
  kind: string;
  text: string;
  source: string;
  collection?: string;
  score?: number;
  weak?: boolean;
  page?: number;
  box?: Box;
  seconds?: [number, number];
  asset?: string;
}

interface Noted {
  notes?: string[];
}

interface SearchResult<Hit> extends Noted {
  hits: Hit[];
  collection?: string;
  total?: number;
  next_cursor?: string;
  timings_ms?: Record<string, number>;
}

export type ImageSearch = SearchResult<ImageHit>;
export type TextSearch = SearchResult<TextHit>;

export interface ViewedImage extends Noted {
  asset: Asset;
  annotations?: Annotation[];
  annotations_not_drawn?: number;
}

export interface MetadataKey {
  key: string;
  type: string;
  assets: number;
  examples: string[];
}

export interface Collection {
  name: string;
  assets: number;
  passages: number;
  failed_sources?: number;
  captured_from?: string;
  captured_to?: string;
  encoder?: string;
  metadata_keys?: MetadataKey[];
}

export interface CollectionList extends Noted {
  collections: Collection[];
  more_collections?: number;
}

export interface Check {
  check: string;
  outcome: "supported" | "contradicted" | "unknown";
  reason?: string;
  boxes?: { box: Box; label?: string; score?: number }[];
  texts?: string[];
}

export interface Claim {
  text: string;
  citations: number[];
  verdict: "supported" | "unchecked" | "contradicted";
  reasons: string[];
  box?: Box;
  quote?: string;
  checks?: Check[];
}

export interface Evidence {
  number: number;
  kind: "image" | "passage";
  asset?: Asset;
  text?: string;
  source?: string;
  weak?: boolean;
  score?: number;
  box?: Box;
  possible_injection?: boolean;
}

export interface Answer extends Noted {
  status: string;
  answer?: string;
  confidence?: number;
  claims: Claim[];
  evidence: Evidence[];
  source?: string;
  missing?: string;
  interpretations?: string[];
  model?: string;
}

export interface LocatedBoxes extends Noted {
  asset: Asset;
  boxes: { label: string; box: Box; origin: string; model?: string; score?: number }[];
  phrases?: { phrase: string; status: string; notes?: string[] }[];
}

export interface AddedFiles extends Noted {
  collection: string;
  added: number;
  updated: number;
  unchanged: number;
  duplicates: number;
  failed: number;
  failures: { name: string; code: string; reason: string }[];
}
