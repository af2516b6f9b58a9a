/** What the person searches for, as it stands in the address and in the tool call. */

import { compact } from "../connection/connection";
import type { Box } from "../connection/results";

export interface SearchQuery {
  kind: "images" | "texts";
  words: string;
  collection: string;
  /** Asset id, or `upload:N` of a picture that the person dropped. */
  image: string;
  region?: Box;
  like: string[];
  unlike: string[];
  /** 0: words only, 1: appearance only; undefined: balanced. */
  visualWeight?: number;
  filters: Filter[];
}

/** A condition on one key. All of them must hold. */
export interface Filter {
  key: string;
  from?: string;
  to?: string;
  value?: string;
  numeric?: boolean;
}

export const PAGE_SIZE = 40;

export function readQuery(params: URLSearchParams): SearchQuery {
  const weight = params.get("weight");
  return {
    kind: params.get("kind") === "texts" ? "texts" : "images",
    words: params.get("q") ?? "",
    collection: params.get("collection") ?? "",
    image: params.get("image") ?? "",
    region: readBox(params.get("region")),
    like: params.getAll("like"),
    unlike: params.getAll("unlike"),
    visualWeight: weight === null ? undefined : Math.min(1, Math.max(0, Number(weight) || 0)),
    filters: readFilters(params.get("filters")),
  };
}

export function queryParams(query: SearchQuery): Record<string, string | string[] | undefined> {
  return {
    q: query.words,
    kind: query.kind === "texts" ? "texts" : undefined,
    collection: query.collection,
    image: query.image,
    region: query.region?.map((value) => value.toFixed(4)).join(","),
    like: query.like,
    unlike: query.unlike,
    weight: query.visualWeight === undefined ? undefined : String(query.visualWeight),
    filters: query.filters.length ? JSON.stringify(query.filters) : undefined,
  };
}

export function readBox(text: string | null): Box | undefined {
  const values = text?.split(",").map(Number) ?? [];
  const valid = values.length === 4 && values.every((value) => value >= 0 && value <= 1);
  return valid ? (values as Box) : undefined;
}

/** An address may come from anybody. */
function isFilter(value: Record<string, unknown> | null): boolean {
  const { key, from = "", to = "", value: equal = "" } = value ?? {};
  return [key, from, to, equal].every((each) => typeof each === "string");
}

function readFilters(text: string | null): Filter[] {
  try {
    const values: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(values)
      ? values.filter(isFilter)
      : [];
  } catch {
    return [];
  }
}

/** Tool and arguments; `uploads` gives the data URL of a dropped picture. */
export function toolCall(
  query: SearchQuery,
  uploads: ReadonlyMap<string, string>,
): { tool: string; args: Record<string, unknown> } {
  const filters = toFilters(query.filters);
  const shared = {
    query: query.words,
    collection: query.collection,
    filters: filters.length > 1 ? { and: filters } : filters[0],
  };
  if (query.kind === "texts") return { tool: "search_text", args: compact(shared) };
  const source = (image: string) => uploads.get(image) ?? image;
  return {
    tool: "search_images",
    args: compact({
      ...shared,
      image: query.image && source(query.image),
      region: query.image ? query.region : undefined,
      like: query.like.map(source),
      unlike: query.unlike.map(source),
      visual_weight: query.words ? query.visualWeight : undefined,
    }),
  };
}

function toFilters(filters: Filter[]): Record<string, unknown>[] {
  const conditions: Record<string, unknown>[] = [];
  for (const { key, from, to, value, numeric } of filters) {
    const typed = (text: string) => (numeric && text.trim() !== "" ? Number(text) : text);
    if (from) conditions.push({ [key]: { gte: typed(from) } });
    if (to) conditions.push({ [key]: { lte: typed(to) } });
    if (value) conditions.push({ [key]: typed(value) });
  }
  return conditions;
}
