import { useEffect, useMemo, useState } from "preact/hooks";

import { compact } from "../connection/connection";
import type {
  Annotation,
  Asset,
  Box,
  ImageSearch,
  LocatedBoxes,
  TextHit,
  TextSearch,
  ViewedImage,
} from "../connection/results";
import { readBox } from "../search/query";
import { lastResults } from "../search/SearchView";
import { useApp } from "../shared/context";
import { BoxedPicture, clock, fileName, Notes, placed, placeOf } from "../shared/parts";
import { formatRoute, go } from "../shared/route";
import { useTask } from "../shared/useTask";
import { BoxLayer } from "./BoxLayer";
import { BoxPanel } from "./BoxPanel";
import { fromAnnotation, useBoxes } from "./boxes";
import { isMedia, Player } from "./Player";
import { Stage, WHOLE, type Zoom, zoomTo } from "./Stage";

const SIMILAR = 12;
const NEIGHBORS = 50;

interface Shown {
  saved: boolean;
  detector: boolean;
  text: boolean;
  match: boolean;
}

export function ViewerView({ params }: { params: URLSearchParams }) {
  const asset = params.get("asset") ?? "";
  return <Viewer key={asset} id={asset} match={readBox(params.get("box"))} />;
}

interface ViewerProps {
  id: string;
  match?: Box;
  /** Shows another asset; without it, the address of the page changes. */
  onOpen?(asset: string): void;
}

export function Viewer({ id, match, onOpen = showInPage }: ViewerProps) {
  const { connection, text, fail } = useApp();
  const [viewed, setViewed] = useState<ViewedImage>();
  const [zoom, setZoom] = useState<Zoom>(WHOLE);
  const [shown, setShown] = useState<Shown>({
    saved: true,
    detector: true,
    text: false,
    match: true,
  });
  const [drawing, setDrawing] = useState(false);
  const [selected, setSelected] = useState<string>();
  const [found, setFound] = useState<LocatedBoxes>();
  const [lines, setLines] = useState<TextHit[]>();
  const boxes = useBoxes();

  const read = async () => {
    const result = await connection.call<ViewedImage>("view_image", {
      asset: id,
      annotated: true,
      inline: false,
    });
    setViewed(result);
    const all = result.annotations ?? [];
    const own = all.filter((each) => each.mine).map(fromAnnotation);
    return { own, ids: new Set(all.map((each) => each.id)) };
  };
  const load = async () => boxes.load((await read()).own);
  useEffect(() => {
    load().catch(fail);
  }, [id, connection]);
  const asset = viewed?.asset;
  useEffect(() => {
    if (asset) readLines(connection.call.bind(connection), asset).then(setLines, fail);
  }, [asset?.asset]);
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    if (boxes.isDirty) addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [boxes.isDirty]);

  const others = (viewed?.annotations ?? []).filter(
    (each) => !each.mine && !boxes.deleted.includes(each.id),
  );
  const edit = (from: { box: Box; label: string }, instead?: number) => {
    setSelected(boxes.add(from.box, from.label, instead));
    setShown((old) => ({ ...old, saved: true }));
  };
  if (!asset) return <p role="status">{text("loading")}</p>;
  const size = asset.size ?? [4, 3];
  const toggle = (name: keyof Shown) => setShown({ ...shown, [name]: !shown[name] });
  const layer = (name: keyof Shown, label: string, count: number) =>
    count > 0 && (
      <label class={`legend ${name}`}>
        <input type="checkbox" checked={shown[name]} onChange={() => toggle(name)} />
        <span class="swatch" />
        {label} ({count})
      </label>
    );

  return (
    <div class="viewer">
      <Steps id={id} />
      <h1 class="place">{placeOf(asset, text)}</h1>
      <div class="split">
        <Stage
          asset={id}
          alt={asset.caption ?? placeOf(asset, text)}
          size={size}
          zoom={zoom}
          onZoom={setZoom}
          drawing={drawing}
          onDrawn={(box) => {
            setSelected(boxes.add(box, ""));
            setDrawing(false);
          }}
        >
          {shown.text && <TextLayer lines={lines ?? []} />}
          {shown.match && match && <span class="frame match" style={placed(match)} />}
          {shown.match &&
            found?.boxes.map((each) => (
              <NamedFrame key={each.box.join()} tone="match" box={each.box} label={each.label} />
            ))}
          {shown.saved &&
            others.filter(isPersons).map((each) => <OtherFrame key={each.id} annotation={each} />)}
          {shown.detector &&
            others
              .filter((each) => !isPersons(each))
              .map((each) => <OtherFrame key={each.id} annotation={each} />)}
          {shown.saved && <BoxLayer boxes={boxes} selected={selected} onSelect={setSelected} />}
        </Stage>
        <aside>
          <FindForm asset={id} onFound={setFound} onZoom={(box) => setZoom(zoomTo(box))} />
          <fieldset class="layers">
            <legend>{text("view.layers")}</legend>
            {layer("match", text("view.layer.match"), (match ? 1 : 0) + (found?.boxes.length ?? 0))}
            {layer(
              "saved",
              text("view.layer.saved"),
              boxes.boxes.length + others.filter(isPersons).length,
            )}
            {layer(
              "detector",
              text("view.layer.detector"),
              others.filter((each) => !isPersons(each)).length,
            )}
            {layer("text", text("view.layer.text"), lines?.filter((line) => line.box).length ?? 0)}
          </fieldset>
          <Matches match={match} found={found} onMark={edit} />
          <BoxPanel
            asset={id}
            boxes={boxes}
            others={others}
            selected={selected}
            drawing={drawing}
            onSelect={(key, box) => {
              setSelected(key);
              setZoom(zoomTo(box));
            }}
            onEdit={edit}
            onShow={(box) => setZoom(zoomTo(box))}
            onDraw={() => setDrawing(!drawing)}
            onSaved={load}
            onFailed={async () => {
              const { own, ids } = await read();
              return boxes.rebase(own, ids);
            }}
          />
          <Facts asset={asset} notes={viewed.notes} />
          <p class="actions">
            <a class="button" href={formatRoute("ask", { asset: id })}>
              {text("view.ask")}
            </a>
            <a class="button" href={formatRoute("search", { image: id })}>
              {text("view.searchBy")}
            </a>
          </p>
          <ReadText lines={lines} onSelect={(box) => setZoom(zoomTo(box))} onMark={edit} />
        </aside>
      </div>
      {isMedia(asset) && <Player asset={asset} onOpen={onOpen} />}
      <Strip
        title={text("view.pages")}
        tool="search_images"
        args={neighborsOf(asset)}
        current={id}
        onOpen={onOpen}
      />
      <Strip
        title={text("view.similar")}
        tool="search_images"
        args={{ image: id, collection: asset.collection, limit: SIMILAR }}
        current={id}
        onOpen={onOpen}
      />
    </div>
  );
}

function showInPage(asset: string): void {
  go("view", { asset });
}

function isPersons(annotation: Annotation): boolean {
  return annotation.origin === "person" || annotation.origin === "file";
}

/** Previous and next of the last search. */
function Steps({ id }: { id: string }) {
  const { text } = useApp();
  const index = lastResults.assets.indexOf(id);
  const step = (offset: number, label: string) => {
    const next = index < 0 ? undefined : lastResults.assets[index + offset];
    return next ? (
      <a class="button" href={formatRoute("view", { asset: next })}>
        {label}
      </a>
    ) : (
      <span class="button disabled" role="link" aria-disabled="true">
        {label}
      </span>
    );
  };
  return (
    <nav class="row steps" aria-label={text("view.back")}>
      <a class="button" href={lastResults.address || formatRoute("search", {})}>
        {text("view.back")}
      </a>
      {step(-1, text("view.previous"))}
      {step(1, text("view.next"))}
    </nav>
  );
}

function NamedFrame({ box, label, tone }: { box: Box; label: string; tone: string }) {
  return (
    <span class={`frame ${tone}`} style={placed(box)}>
      <span class="label">{label}</span>
    </span>
  );
}

function OtherFrame({ annotation }: { annotation: Annotation }) {
  const tone = isPersons(annotation) ? "saved" : "detector";
  const score = annotation.score === undefined ? "" : ` ${annotation.score.toFixed(2)}`;
  return <NamedFrame box={annotation.box} label={annotation.label + score} tone={tone} />;
}

function TextLayer({ lines }: { lines: TextHit[] }) {
  return (
    <div class="layer text">
      {lines.map(
        (line) =>
          line.box && (
            <span key={line.passage} class="line" style={placed(line.box)} title={line.text}>
              {line.text}
            </span>
          ),
      )}
    </div>
  );
}

/** All text lines of the asset; the same call as an agent would make. */
async function readLines(
  call: <Result>(tool: string, args: Record<string, unknown>) => Promise<Result>,
  asset: Asset,
): Promise<TextHit[]> {
  const conditions = Object.entries({
    source: asset.source,
    page: asset.page,
    seconds: asset.seconds,
  }).flatMap(([key, value]) => (value === undefined ? [] : [{ [key]: value }]));
  const args: Record<string, unknown> = compact({
    collection: asset.collection,
    kinds: ["ocr", "page_text"],
    filters: conditions.length === 1 ? conditions[0] : { and: conditions },
    limit: NEIGHBORS,
    detail: "detailed",
  });
  const lines: TextHit[] = [];
  for (let pages = 0; pages < 10; pages++) {
    const result = await call<TextSearch>("search_text", args);
    lines.push(...result.hits.filter((hit) => hit.asset === undefined || hit.asset === asset.asset));
    if (!result.next_cursor) break;
    args.cursor = result.next_cursor;
  }
  return lines.sort((a, b) => (a.box?.[1] ?? 0) - (b.box?.[1] ?? 0));
}

/** Places that a search or the form found, each of which can become a box of the person. */
function Matches(props: {
  match?: Box;
  found?: LocatedBoxes;
  onMark(from: { box: Box; label: string }): void;
}) {
  const { text } = useApp();
  const places = [
    ...(props.match ? [{ box: props.match, label: "" }] : []),
    ...(props.found?.boxes ?? []),
  ];
  if (places.length === 0) return null;
  return (
    <p class="actions">
      {places.map(({ box, label }) => (
        <button key={box.join()} type="button" onClick={() => props.onMark({ box, label })}>
          {text("boxes.mark", { label: label || text("view.layer.match") })}
        </button>
      ))}
    </p>
  );
}

function ReadText(props: {
  lines?: TextHit[];
  onSelect(box: Box): void;
  onMark(from: { box: Box; label: string }): void;
}) {
  const { text } = useApp();
  if (props.lines === undefined) return null;
  return (
    <details>
      <summary>{text("view.text")}</summary>
      {props.lines.length === 0 && <p>{text("view.noText")}</p>}
      <ol class="lines">
        {props.lines.map((line) => (
          <li key={line.passage}>
            {line.box ? (
              <>
                <button type="button" class="line" onClick={() => line.box && props.onSelect(line.box)}>
                  {line.text}
                </button>{" "}
                <button
                  type="button"
                  class="quiet"
                  title={text("boxes.mark", { label: line.text })}
                  aria-label={text("boxes.mark", { label: line.text })}
                  onClick={() => line.box && props.onMark({ box: line.box, label: "" })}
                >
                  ✎
                </button>
              </>
            ) : (
              line.text
            )}
          </li>
        ))}
      </ol>
    </details>
  );
}

function Facts({ asset, notes }: { asset: Asset; notes?: string[] }) {
  const { text } = useApp();
  const facts: [string, unknown][] = [
    ["source", asset.source],
    ["collection", asset.collection],
    ["captured_at", asset.captured_at],
    ["size", asset.size?.join(" × ")],
    ["caption", asset.caption],
    ...Object.entries(asset.metadata ?? {}),
  ];
  return (
    <details>
      <summary>{text("view.facts")}</summary>
      <Notes notes={notes} />
      <dl>
        {facts
          .filter(([, value]) => value !== undefined)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
            </div>
          ))}
      </dl>
    </details>
  );
}

/** Finds objects and written words on the picture with annotate_image. */
function FindForm(props: {
  asset: string;
  onFound(found: LocatedBoxes): void;
  onZoom(box: Box): void;
}) {
  const { connection, text, notify } = useApp();
  const [phrase, setPhrase] = useState("");
  const [busy, run] = useTask();
  const find = () =>
    run(async () => {
      const result = await connection.call<LocatedBoxes>("annotate_image", {
        asset: props.asset,
        phrases: [phrase.replace(/[“”]/g, '"')],
        inline: false,
      });
      props.onFound(result);
      const [first] = result.boxes;
      notify(
        first
          ? text("view.found", { n: result.boxes.length })
          : [text("view.notFound", { phrase }), ...(result.phrases?.[0]?.notes ?? [])].join(" "),
      );
    });
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        void find();
      }}
    >
      <label class="grow">
        {text("view.find")}
        <input
          value={phrase}
          required
          placeholder={text("view.findPlaceholder")}
          onInput={(event) => setPhrase(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={busy}>
        {text("view.findGo")}
      </button>
    </form>
  );
}

/** Pages and frames of the same file; undefined for a picture of its own. */
function neighborsOf(asset: Asset): Record<string, unknown> | undefined {
  if (asset.page === undefined && asset.seconds === undefined) return undefined;
  return {
    collection: asset.collection,
    filters: { source: asset.source },
    limit: NEIGHBORS,
  };
}

function Strip(props: {
  title: string;
  tool: string;
  args?: Record<string, unknown>;
  current: string;
  onOpen(asset: string): void;
}) {
  const { connection, text, fail } = useApp();
  const [hits, setHits] = useState<Asset[]>([]);
  const key = JSON.stringify(props.args);
  useEffect(() => {
    if (!props.args) return;
    const abort = new AbortController();
    connection.call<ImageSearch>(props.tool, compact(props.args), abort.signal).then(
      (result) => setHits(result.hits),
      (error: unknown) => abort.signal.aborted || fail(error),
    );
    return () => abort.abort();
  }, [key]);
  const ordered = useMemo(
    () =>
      hits.some((hit) => hit.page !== undefined || hit.seconds !== undefined)
        ? [...hits].sort((a, b) => (a.page ?? a.seconds ?? 0) - (b.page ?? b.seconds ?? 0))
        : hits,
    [hits],
  );
  if (ordered.filter((hit) => hit.asset !== props.current).length === 0) return null;
  return (
    <section>
      <h2>{props.title}</h2>
      <ul class="strip">
        {ordered.map((hit) => (
          <li key={hit.asset}>
            <a
              href={formatRoute("view", { asset: hit.asset })}
              aria-current={hit.asset === props.current ? "true" : undefined}
              onClick={(event) => {
                event.preventDefault();
                props.onOpen(hit.asset);
              }}
            >
              <BoxedPicture asset={hit.asset} maxEdge={0} alt={placeOf(hit, text)} />
              <span class="badge">
                {hit.page !== undefined
                  ? text("page", { n: hit.page })
                  : hit.seconds !== undefined
                    ? clock(hit.seconds)
                    : fileName(hit)}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}
