import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { Collection, ImageHit, TextHit } from "../connection/results";
import { useApp } from "../shared/context";
import { BoxedPicture, CopyButton, Notes } from "../shared/parts";
import { go } from "../shared/route";
import { FilterPanel } from "./FilterPanel";
import { HitCard, TextCard } from "./HitCard";
import { type GridSection, ResultGrid } from "./ResultGrid";
import { queryParams, readQuery, type SearchQuery, toolCall } from "./query";
import { addUpload, onPicture, uploads } from "./uploads";
import { type Hit, useSearch } from "./useSearch";

/** Assets of the last search, in its order, for previous and next in the viewer. */
export const lastResults: { assets: string[]; address: string } = { assets: [], address: "" };

export function SearchView(props: { params: URLSearchParams; collections: Collection[] }) {
  const { text, fail } = useApp();
  const query = readQuery(props.params);
  const [words, setWords] = useState(query.words);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => setWords(query.words), [query.words]);

  const asked = props.params.size > 0;
  const key = props.params.toString();
  const call = useMemo(() => (asked ? toolCall(query, uploads) : undefined), [key]);
  const [state, loadMore] = useSearch(call);

  const update = (changed: Partial<SearchQuery>) =>
    go("search", { ...queryParams({ ...query, words, ...changed }), list: "1" });
  useEffect(
    () =>
      onPicture((file) => {
        addUpload(file).then(
          (image) => update({ image, region: undefined, kind: "images" }),
          fail,
        );
      }),
    [key, words],
  );

  const sections = useMemo(() => separateWeak(state.hits, text("search.weak")), [state.hits, text]);
  const order = () => {
    lastResults.assets = sections.flatMap(({ items }) =>
      items.flatMap((hit) => (hit.asset ? [hit.asset] : [])),
    );
    lastResults.address = location.hash;
  };
  const isImages = query.kind === "images";

  return (
    <>
      <form
        role="search"
        class="search"
        onSubmit={(event) => {
          event.preventDefault();
          update({});
        }}
      >
        <div class="row main">
          <label class="grow">
            <span class="hidden">{text("search.words")}</span>
            <input
              ref={field}
              type="search"
              name="q"
              value={words}
              placeholder={text("search.placeholder")}
              autoFocus
              onInput={(event) => setWords(event.currentTarget.value)}
            />
          </label>
          <button type="submit" class="primary">
            {text("search.go")}
          </button>
        </div>
        <div class="row">
          <label>
            {text("search.kind")}
            <select
              value={query.kind}
              onChange={(event) =>
                update({ kind: event.currentTarget.value === "texts" ? "texts" : "images" })
              }
            >
              <option value="images">{text("search.images")}</option>
              <option value="texts">{text("search.texts")}</option>
            </select>
          </label>
          <label>
            {text("search.collection")}
            <select
              value={query.collection}
              onChange={(event) => update({ collection: event.currentTarget.value })}
            >
              <option value="">{text("search.all")}</option>
              {props.collections.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          {isImages && (
            <label class="button">
              {text("search.choose")}
              <input
                type="file"
                accept="image/*"
                class="hidden"
                onChange={(event) => {
                  const [file] = event.currentTarget.files ?? [];
                  if (file) {
                    addUpload(file).then((image) => update({ image, region: undefined }), fail);
                  }
                  event.currentTarget.value = "";
                }}
              />
            </label>
          )}
        </div>
        <QueryPicture query={query} onChange={update} />
        <details open={query.filters.length > 0 || query.visualWeight !== undefined}>
          <summary>{text("search.more")}</summary>
          <FilterPanel
            collections={props.collections}
            collection={query.collection}
            filters={query.filters}
            onChange={(filters) => update({ filters })}
          />
          {isImages && <Balance value={query.visualWeight} onChange={update} />}
        </details>
      </form>

      <div class="status" role="status">
        {!asked && <p>{text("search.start")}</p>}
        {state.searching && <p>{text("loading")}</p>}
        {asked && !state.searching && state.hits.length === 0 && <p>{text("search.none")}</p>}
        {state.hits.length > 0 && (
          <p>
            {state.total === undefined
              ? text("search.count", { n: `${state.hits.length}${state.more ? "+" : ""}` })
              : text("search.countOf", { n: state.hits.length, total: state.total })}
            {state.milliseconds !== undefined && ` · ${Math.round(state.milliseconds)} ms`}
          </p>
        )}
        {call && (
          <CopyButton
            value={JSON.stringify({ name: call.tool, arguments: shortened(call.args) }, null, 2)}
            label={text("search.call")}
          />
        )}
      </div>
      <Notes notes={state.notes} />
      <ResultGrid<Hit>
        key={query.kind}
        sections={sections}
        keyOf={(hit) => ("passage" in hit ? hit.passage : hit.asset)}
        minWidth={isImages ? 220 : 320}
        rowHeight={isImages ? 300 : 190}
        label={text("nav.search")}
        onEnd={() => {
          if (state.more) loadMore();
        }}
      >
        {(hit) =>
          "passage" in hit ? (
            <TextCard hit={hit as TextHit} words={query.words} />
          ) : (
            <HitCard
              hit={hit as ImageHit}
              words={query.words}
              onOpen={order}
              onLike={(asset) => update({ like: [...new Set([...query.like, asset])] })}
              onUnlike={(asset) => update({ unlike: [...new Set([...query.unlike, asset])] })}
            />
          )
        }
      </ResultGrid>
    </>
  );
}

function separateWeak(hits: Hit[], heading: string): GridSection<Hit>[] {
  return [
    { items: hits.filter((hit) => !hit.weak) },
    { heading, items: hits.filter((hit) => hit.weak) },
  ];
}

/** The picture, part and examples of the query, each of which can be removed. */
function QueryPicture(props: { query: SearchQuery; onChange(changed: Partial<SearchQuery>): void }) {
  const { text } = useApp();
  const { image, region, like, unlike } = props.query;
  const removable = (asset: string, label: string, remove: Partial<SearchQuery>) => (
    <span class="chip" key={label + asset}>
      <QueryThumbnail image={asset} />
      {label}
      <button
        type="button"
        class="quiet"
        aria-label={`${text("search.remove")}: ${label}`}
        onClick={() => props.onChange(remove)}
      >
        ✕
      </button>
    </span>
  );
  if (!image && like.length + unlike.length === 0) return <p class="hint">{text("search.drop")}</p>;
  return (
    <div class="chips">
      {image && removable(image, text("search.by"), { image: "", region: undefined })}
      {image && (
        <RegionPicker
          image={image}
          region={region}
          onChange={(chosen) => props.onChange({ region: chosen })}
        />
      )}
      {like.map((asset) =>
        removable(asset, text("search.like"), { like: like.filter((each) => each !== asset) }),
      )}
      {unlike.map((asset) =>
        removable(asset, text("search.unlike"), {
          unlike: unlike.filter((each) => each !== asset),
        }),
      )}
    </div>
  );
}

function QueryThumbnail({ image }: { image: string }) {
  const upload = uploads.get(image);
  if (upload) return <img class="mini" src={upload} alt="" />;
  return (
    <span class="mini">
      <BoxedPicture asset={image} maxEdge={0} alt="" />
    </span>
  );
}

/** A picture on which the person draws the part to search by. */
function RegionPicker(props: {
  image: string;
  region?: [number, number, number, number];
  onChange(region: [number, number, number, number] | undefined): void;
}) {
  const { text } = useApp();
  const [drawn, setDrawn] = useState(props.region);
  const start = useRef<[number, number] | undefined>(undefined);
  useEffect(() => setDrawn(props.region), [props.region?.join()]);
  const at = (event: PointerEvent): [number, number] => {
    const frame = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const clamp = (value: number) => Math.min(1, Math.max(0, value));
    return [
      clamp((event.clientX - frame.left) / frame.width),
      clamp((event.clientY - frame.top) / frame.height),
    ];
  };
  return (
    <details class="region">
      <summary>{text("search.part")}</summary>
      <div
        class="region-stage"
        onPointerDown={(event) => {
          event.preventDefault();
          event.currentTarget.setPointerCapture(event.pointerId);
          start.current = at(event);
        }}
        onPointerMove={(event) => {
          if (!start.current) return;
          const [x, y] = at(event);
          const [x0, y0] = start.current;
          setDrawn([Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)]);
        }}
        onPointerUp={() => {
          start.current = undefined;
          if (!drawn) return;
          const large = drawn[2] - drawn[0] > 0.02 && drawn[3] - drawn[1] > 0.02;
          props.onChange(large ? drawn : undefined);
        }}
      >
        {uploads.has(props.image) ? (
          <img src={uploads.get(props.image)} alt="" draggable={false} />
        ) : (
          <BoxedPicture asset={props.image} maxEdge={512} alt="" />
        )}
        {drawn && (
          <span
            class="frame match"
            style={{
              left: `${drawn[0] * 100}%`,
              top: `${drawn[1] * 100}%`,
              width: `${(drawn[2] - drawn[0]) * 100}%`,
              height: `${(drawn[3] - drawn[1]) * 100}%`,
            }}
          />
        )}
      </div>
    </details>
  );
}

function Balance(props: { value?: number; onChange(changed: Partial<SearchQuery>): void }) {
  const { text } = useApp();
  const { value } = props;
  const meaning =
    value === undefined
      ? text("search.balanced")
      : value === 0
        ? text("search.wordsOnly")
        : value === 1
          ? text("search.appearance")
          : value.toFixed(2);
  return (
    <div class="row">
      <label class="grow">
        {text("search.balance")}: {meaning}
        <input
          type="range"
          min="0"
          max="1"
          step="0.05"
          value={value ?? 0.5}
          onChange={(event) => props.onChange({ visualWeight: Number(event.currentTarget.value) })}
        />
      </label>
      <button type="button" onClick={() => props.onChange({ visualWeight: undefined })}>
        {text("search.balanced")}
      </button>
    </div>
  );
}

/** The call without the bytes of dropped pictures, which nobody wants to paste. */
function shortened(args: Record<string, unknown>): Record<string, unknown> {
  const short = (value: unknown): unknown =>
    typeof value === "string" && value.startsWith("data:")
      ? `${value.slice(0, 40)}…`
      : Array.isArray(value)
        ? value.map(short)
        : value;
  return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, short(value)]));
}
