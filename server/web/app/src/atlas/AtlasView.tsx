/** A collection as a map: pan, zoom, a thumbnail at the pointer, a click opens the picture. */

import { useEffect, useRef, useState } from "preact/hooks";

import type { Collection } from "../connection/results";
import { useApp } from "../shared/context";
import { BoxedPicture } from "../shared/parts";
import { go } from "../shared/route";
import { type Camera, drawPoints, nearest, type Points, readPoints, wholeMap, zoomAt } from "./points";

const POINT_PIXELS = 4;
const MANY = 20_000;
const MANY_POINT_PIXELS = 2;
const REACH_PIXELS = 10;
/** With the keyboard, the picture nearest to the middle is meant. */
const MIDDLE_REACH_PIXELS = 120;
const STEP_PIXELS = 60;
const ZOOM_STEP = 1.5;
/** A pointer that moved less has clicked. */
const CLICK_PIXELS = 4;
const TIP_PIXELS = 180;

interface Hovered {
  asset: string;
  x: number;
  y: number;
}

export function AtlasView(props: { params: URLSearchParams; collections: Collection[] }) {
  const { connection, text, fail } = useApp();
  const filled = props.collections.filter((each) => each.assets > 0);
  const name = props.params.get("collection") ?? filled[0]?.name;
  const [points, setPoints] = useState<Points>();
  useEffect(() => {
    setPoints(undefined);
    if (name === undefined) return;
    const abort = new AbortController();
    connection.readResource?.(`sightline://atlas/${encodeURIComponent(name)}`, abort.signal).then(
      (json) => setPoints(readPoints(json)),
      (error: unknown) => abort.signal.aborted || fail(error),
    );
    return () => abort.abort();
  }, [name, connection]);
  if (name === undefined) return <p>{text("atlas.none")}</p>;
  return (
    <>
      <div class="row">
        <label>
          {text("search.collection")}
          <select
            value={name}
            onChange={(event) => go("atlas", { collection: event.currentTarget.value })}
          >
            {[...new Set([name, ...filled.map((each) => each.name)])].map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <p role="status" class="grow">
          {points === undefined
            ? text("loading")
            : points.count < points.total
              ? text("atlas.countOf", { n: points.count, total: points.total })
              : text("atlas.count", { n: points.count })}
        </p>
      </div>
      <p class="hint">{text("atlas.about")}</p>
      {points && <MapCanvas key={name} points={points} />}
    </>
  );
}

function MapCanvas({ points }: { points: Points }) {
  const { text } = useApp();
  const canvas = useRef<HTMLCanvasElement>(null);
  const camera = useRef<Camera | undefined>(undefined);
  const image = useRef<ImageData | undefined>(undefined);
  const frame = useRef(0);
  const drag = useRef<{ x: number; y: number; moved: number } | undefined>(undefined);
  const [hovered, setHovered] = useState<Hovered>();

  /** Pixels of the canvas for one of the page. */
  const density = () => (canvas.current ? canvas.current.width / canvas.current.clientWidth : 1);
  const draw = () => {
    frame.current = 0;
    const context = canvas.current?.getContext("2d");
    if (!context || !camera.current || !image.current) return;
    const size = points.count > MANY ? MANY_POINT_PIXELS : POINT_PIXELS;
    drawPoints(points, camera.current, image.current, Math.max(1, Math.round(size * density())));
    context.putImageData(image.current, 0, 0);
  };
  const show = (next: Camera) => {
    camera.current = next;
    frame.current ||= requestAnimationFrame(draw);
  };
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const resized = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = element;
      if (!clientWidth || !clientHeight) return;
      element.width = Math.round(clientWidth * devicePixelRatio);
      element.height = Math.round(clientHeight * devicePixelRatio);
      image.current = new ImageData(element.width, element.height);
      show(wholeMap(element.width, element.height));
    });
    resized.observe(element);
    // Preact listens passively; the page must not scroll.
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      resized.disconnect();
      element.removeEventListener("wheel", wheel);
      cancelAnimationFrame(frame.current);
    };
  }, [points]);

  const find = (x: number, y: number, reach: number): Hovered | undefined => {
    if (!camera.current) return undefined;
    const [factor, { scale, x: left, y: top }] = [density(), camera.current];
    const index = nearest(points, camera.current, x * factor, y * factor, reach * factor);
    if (index === undefined) return undefined;
    return {
      asset: points.idOf(index),
      x: (points.positions[2 * index]! * scale + left) / factor,
      y: (points.positions[2 * index + 1]! * scale + top) / factor,
    };
  };
  const middle = () => {
    const { clientWidth = 0, clientHeight = 0 } = canvas.current ?? {};
    return [clientWidth / 2, clientHeight / 2] as const;
  };
  const zoom = (factor: number, x: number, y: number) => {
    if (!camera.current) return;
    show(zoomAt(camera.current, factor, x * density(), y * density()));
    setHovered(undefined);
  };
  const pan = (x: number, y: number) => {
    if (!camera.current) return;
    const factor = density();
    show({ ...camera.current, x: camera.current.x + x * factor, y: camera.current.y + y * factor });
  };
  const open = (found: Hovered | undefined) => found && go("view", { asset: found.asset });
  const atMiddle = () => find(...middle(), MIDDLE_REACH_PIXELS);
  const keys: Record<string, () => void> = {
    ArrowLeft: () => pan(STEP_PIXELS, 0),
    ArrowRight: () => pan(-STEP_PIXELS, 0),
    ArrowUp: () => pan(0, STEP_PIXELS),
    ArrowDown: () => pan(0, -STEP_PIXELS),
    "+": () => zoom(ZOOM_STEP, ...middle()),
    "=": () => zoom(ZOOM_STEP, ...middle()),
    "-": () => zoom(1 / ZOOM_STEP, ...middle()),
    Enter: () => open(atMiddle()),
  };
  const fit = () => canvas.current && show(wholeMap(canvas.current.width, canvas.current.height));
  return (
    <>
      <div class="row">
        <button type="button" onClick={() => zoom(ZOOM_STEP, ...middle())}>
          {text("view.zoomIn")}
        </button>
        <button type="button" onClick={() => zoom(1 / ZOOM_STEP, ...middle())}>
          {text("view.zoomOut")}
        </button>
        <button type="button" onClick={fit}>
          {text("view.fit")}
        </button>
      </div>
      <div class="atlas">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-label={text("atlas.map")}
          onKeyDown={(event) => {
            const run = keys[event.key];
            if (!run || event.ctrlKey || event.metaKey || event.altKey) return;
            event.preventDefault();
            run();
            if (event.key !== "Enter") setHovered(atMiddle());
          }}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            drag.current = { x: event.offsetX, y: event.offsetY, moved: 0 };
          }}
          onPointerMove={(event) => {
            const { offsetX: x, offsetY: y } = event;
            const from = drag.current;
            if (from === undefined) {
              const found = find(x, y, REACH_PIXELS);
              if (found?.asset !== hovered?.asset) setHovered(found);
              return;
            }
            const moved = from.moved + Math.abs(x - from.x) + Math.abs(y - from.y);
            if (moved >= CLICK_PIXELS) {
              pan(x - from.x, y - from.y);
              setHovered(undefined);
            }
            drag.current = { x, y, moved };
          }}
          onPointerUp={(event) => {
            const from = drag.current;
            drag.current = undefined;
            if (from && from.moved < CLICK_PIXELS) {
              open(find(event.offsetX, event.offsetY, REACH_PIXELS));
            }
          }}
          onPointerLeave={() => setHovered(undefined)}
        />
        {hovered && <Tip key={hovered.asset} hovered={hovered} width={canvas.current?.clientWidth} />}
      </div>
    </>
  );
}

function Tip({ hovered, width = 0 }: { hovered: Hovered; width?: number }) {
  const left = Math.max(0, Math.min(hovered.x + 12, width - TIP_PIXELS));
  return (
    <div class="tip" style={{ left: `${left}px`, top: `${hovered.y + 12}px` }}>
      <BoxedPicture asset={hovered.asset} maxEdge={0} alt={hovered.asset} />
    </div>
  );
}
