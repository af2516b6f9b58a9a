/** A picture that can be moved and zoomed; sharper parts are loaded when they are enlarged. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import type { Box } from "../connection/results";
import { useApp } from "../shared/context";
import { placed } from "../shared/parts";
import { usePicture } from "../shared/pictures";

/** Longer edge of the whole picture, and of each sharper part. */
const EDGE = 1568;
const MAX_ZOOM = 40;
const STEP = 1.25;
/** Parts start at multiples of this share of their size, so that they are found again. */
const GRID = 0.25;

export interface Zoom {
  /** 1: the whole picture fits. */
  scale: number;
  /** Middle of the view in the frame of the picture. */
  x: number;
  y: number;
}

interface Drag {
  id: number;
  x: number;
  y: number;
  from: Zoom;
  /** Where it began, in the frame of the picture. */
  point: [number, number];
}

export const WHOLE: Zoom = { scale: 1, x: 0.5, y: 0.5 };

export function zoomTo(box: Box): Zoom {
  const size = Math.max(box[2] - box[0], box[3] - box[1], 0.02);
  return { scale: Math.min(8, Math.max(1, 0.5 / size)), x: (box[0] + box[2]) / 2, y: (box[1] + box[3]) / 2 };
}

interface Props {
  asset: string;
  alt: string;
  /** Width and height in pixels of the whole picture. */
  size: [number, number];
  zoom: Zoom;
  onZoom(zoom: Zoom): void;
  /** True while a drag on the picture draws a box instead of moving it. */
  drawing: boolean;
  onDrawn(box: Box): void;
  /** Layers over the picture, in its frame. */
  children: ComponentChildren;
}

export function Stage(props: Props) {
  const { text } = useApp();
  const { zoom, size } = props;
  const element = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const stage = element.current;
    if (!stage) return;
    const observer = new ResizeObserver(() =>
      setView({ width: stage.clientWidth, height: stage.clientHeight }),
    );
    observer.observe(stage);
    return () => observer.disconnect();
  }, []);

  const fit = Math.min(view.width / size[0], view.height / size[1]) || 0;
  const width = size[0] * fit * zoom.scale;
  const height = size[1] * fit * zoom.scale;
  const left = placement(view.width, width, zoom.x);
  const top = placement(view.height, height, zoom.y);

  const whole = usePicture({ asset: props.asset, maxEdge: EDGE });
  const part = useSharperPart(width, height, left, top, view, size);
  const sharper = usePicture(part && { asset: props.asset, maxEdge: EDGE, crop: part });

  const change = (scale: number, clientX?: number, clientY?: number) => {
    const frame = element.current?.getBoundingClientRect();
    const next = Math.min(MAX_ZOOM, Math.max(1, scale));
    if (frame === undefined || clientX === undefined || clientY === undefined) {
      props.onZoom({ ...zoom, scale: next });
      return;
    }
    // The point under the pointer stays where it is.
    const [px, py] = [clientX - frame.left, clientY - frame.top];
    const [u, v] = [(px - left) / width, (py - top) / height];
    const factor = next / zoom.scale;
    props.onZoom({
      scale: next,
      x: limited(u + (view.width / 2 - px) / (width * factor)),
      y: limited(v + (view.height / 2 - py) / (height * factor)),
    });
  };

  const [draft, setDraft] = useState<Box>();
  const drag = useRef<Drag | undefined>(undefined);
  const at = (event: PointerEvent): [number, number] => {
    const frame = element.current?.getBoundingClientRect();
    return [
      limited((event.clientX - (frame?.left ?? 0) - left) / width),
      limited((event.clientY - (frame?.top ?? 0) - top) / height),
    ];
  };

  useEffect(() => {
    const stage = element.current;
    if (!stage) return;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      change(zoom.scale * STEP ** (-event.deltaY / 100), event.clientX, event.clientY);
    };
    stage.addEventListener("wheel", wheel, { passive: false });
    return () => stage.removeEventListener("wheel", wheel);
  });

  const onKey = (event: KeyboardEvent) => {
    if (event.target !== element.current) return;
    const step = 0.1 / zoom.scale;
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    const move = moves[event.key];
    if (event.key === "+" || event.key === "=") change(zoom.scale * STEP);
    else if (event.key === "-") change(zoom.scale / STEP);
    else if (event.key === "0") props.onZoom(WHOLE);
    else if (event.key === "Enter" && props.drawing) {
      const half = 0.1 / zoom.scale;
      props.onDrawn([zoom.x - half, zoom.y - half, zoom.x + half, zoom.y + half]);
    } else if (move) {
      props.onZoom({ ...zoom, x: limited(zoom.x + move[0]), y: limited(zoom.y + move[1]) });
    } else return;
    event.preventDefault();
  };

  return (
    <div class="stage-frame">
      <div
        ref={element}
        class={props.drawing ? "stage drawing" : "stage"}
        tabIndex={0}
        role="group"
        aria-label={text("view.stage")}
        onKeyDown={onKey}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          const point = at(event);
          drag.current = { id: event.pointerId, x: event.clientX, y: event.clientY, from: zoom, point };
        }}
        onPointerMove={(event) => {
          const start = drag.current;
          if (start?.id !== event.pointerId) return;
          if (props.drawing) {
            const [x, y] = at(event);
            const [x0, y0] = start.point;
            setDraft([Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)]);
          } else {
            props.onZoom({
              ...start.from,
              x: limited(start.from.x - (event.clientX - start.x) / width),
              y: limited(start.from.y - (event.clientY - start.y) / height),
            });
          }
        }}
        onPointerUp={() => {
          drag.current = undefined;
          if (draft && draft[2] - draft[0] > 0.004 && draft[3] - draft[1] > 0.004) {
            props.onDrawn(draft);
          }
          setDraft(undefined);
        }}
        onPointerCancel={() => {
          drag.current = undefined;
          setDraft(undefined);
        }}
        onDblClick={(event) => {
          if (!props.drawing) change(zoom.scale * 2, event.clientX, event.clientY);
        }}
      >
        <div class="canvas" style={pixels({ left, top, width, height })}>
          {whole.url ? (
            <img class="whole" src={whole.url} alt={props.alt} draggable={false} />
          ) : (
            <p class="placeholder">{whole.error ? text("picture.failed") : text("loading")}</p>
          )}
          {sharper.url && part && (
            <img class="part" src={sharper.url} alt="" draggable={false} style={placed(part)} />
          )}
          {props.children}
          {draft && <span class="frame draft" style={placed(draft)} />}
        </div>
      </div>
      <div class="zoom" role="toolbar" aria-label={text("view.zoomIn")}>
        <button type="button" aria-label={text("view.zoomIn")} onClick={() => change(zoom.scale * 1.5)}>
          +
        </button>
        <button type="button" aria-label={text("view.zoomOut")} onClick={() => change(zoom.scale / 1.5)}>
          −
        </button>
        <button type="button" aria-label={text("view.fit")} onClick={() => props.onZoom(WHOLE)}>
          ⤢
        </button>
      </div>
    </div>
  );
}

function pixels(values: Record<string, number>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, `${value}px`]));
}

function limited(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Left or top edge of the picture in the view: centered if it fits, else the given middle. */
function placement(view: number, picture: number, middle: number): number {
  if (picture <= view) return (view - picture) / 2;
  return Math.min(0, Math.max(view - picture, view / 2 - middle * picture));
}

/** The part in view, if the whole picture has too few pixels for it; after a short rest. */
function useSharperPart(
  width: number,
  height: number,
  left: number,
  top: number,
  view: { width: number; height: number },
  size: [number, number],
): Box | undefined {
  const [part, setPart] = useState<Box>();
  const shown = Math.max(width, height) * devicePixelRatio;
  const available = Math.min(EDGE, Math.max(...size));
  const useful = width > 0 && shown > available && Math.max(...size) > EDGE;
  const cut = (start: number, length: number, total: number): [number, number] => {
    const share = Math.min(1, length / total);
    const step = share * GRID;
    const from = Math.floor(limited(-start / total) / step) * step;
    return [limited(from), limited(from + share + step)];
  };
  const [x0, x1] = cut(left, view.width, width);
  const [y0, y1] = cut(top, view.height, height);
  const key = useful ? [x0, y0, x1, y1].map((value) => value.toFixed(4)).join() : "";
  useEffect(() => {
    if (!key) {
      setPart(undefined);
      return;
    }
    const timer = setTimeout(() => setPart(key.split(",").map(Number) as Box), 120);
    return () => clearTimeout(timer);
  }, [key]);
  return useful ? part : undefined;
}
