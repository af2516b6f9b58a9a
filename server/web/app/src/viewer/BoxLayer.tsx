/** Boxes of the person on the picture: select, move, change the size, delete. */

import { useRef } from "preact/hooks";

import type { Box } from "../connection/results";
import { useApp } from "../shared/context";
import { placed } from "../shared/parts";
import { type Boxes, type EditedBox, MIN_SIZE, moved } from "./boxes";

interface Drag {
  x: number;
  y: number;
  from: Box;
  handle: string;
  /** False until the pointer has moved, so that a drag is one step of undo. */
  moved: boolean;
}

const STEP = 0.005;
/** Which edges a handle moves: x0, y0, x1, y1. */
const HANDLES: Record<string, [number, number, number, number]> = {
  nw: [1, 1, 0, 0],
  ne: [0, 1, 1, 0],
  sw: [1, 0, 0, 1],
  se: [0, 0, 1, 1],
};

export function BoxLayer(props: {
  boxes: Boxes;
  selected?: string;
  onSelect(key: string | undefined): void;
}) {
  const layer = useRef<HTMLDivElement>(null);
  return (
    <div ref={layer} class="layer own">
      {props.boxes.boxes.map((box) => (
        <EditableBox
          key={box.key}
          box={box}
          boxes={props.boxes}
          selected={box.key === props.selected}
          onSelect={() => props.onSelect(box.key)}
          size={() => layer.current?.getBoundingClientRect()}
        />
      ))}
    </div>
  );
}

function EditableBox(props: {
  box: EditedBox;
  boxes: Boxes;
  selected: boolean;
  onSelect(): void;
  size(): DOMRect | undefined;
}) {
  const { text } = useApp();
  const { box, boxes } = props;
  const drag = useRef<Drag | undefined>(undefined);

  const begin = (event: PointerEvent, handle: string) => {
    event.stopPropagation();
    event.preventDefault();
    (event.currentTarget as HTMLElement).focus();
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    drag.current = { x: event.clientX, y: event.clientY, from: box.box, handle, moved: false };
    props.onSelect();
  };
  const follow = (event: PointerEvent) => {
    const start = drag.current;
    const frame = props.size();
    if (!start || !frame) return;
    event.stopPropagation();
    const dx = (event.clientX - start.x) / frame.width;
    const dy = (event.clientY - start.y) / frame.height;
    if (dx === 0 && dy === 0) return;
    boxes.change(box.key, { box: dragged(start.from, start.handle, dx, dy) }, start.moved);
    start.moved = true;
  };
  const end = (event: PointerEvent) => {
    event.stopPropagation();
    drag.current = undefined;
  };
  const onKey = (event: KeyboardEvent) => {
    const directions: Record<string, [number, number]> = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, -STEP],
      ArrowDown: [0, STEP],
    };
    const move = directions[event.key];
    if (event.key === "Delete" || event.key === "Backspace") boxes.remove(box.key);
    else if (move) {
      const handle = event.shiftKey ? "se" : "move";
      boxes.change(box.key, { box: dragged(box.box, handle, ...move) });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const name = box.label || text("boxes.unnamed");
  return (
    <div
      class={props.selected ? "frame own selected" : "frame own"}
      style={placed(box.box)}
      tabIndex={0}
      role="button"
      aria-label={text("boxes.select", { label: name })}
      onFocus={props.onSelect}
      onPointerDown={(event) => begin(event, "move")}
      onPointerMove={follow}
      onPointerUp={end}
      onKeyDown={onKey}
    >
      <span class="label">{name}</span>
      {props.selected &&
        Object.keys(HANDLES).map((handle) => (
          <span
            key={handle}
            class={`handle ${handle}`}
            onPointerDown={(event) => begin(event, handle)}
            onPointerMove={follow}
            onPointerUp={end}
          />
        ))}
    </div>
  );
}

function dragged(box: Box, handle: string, dx: number, dy: number): Box {
  const edges = HANDLES[handle];
  if (edges === undefined) return moved(box, dx, dy);
  const [left, top, right, bottom] = edges;
  const [x0, y0, x1, y1] = box;
  return [
    left ? Math.min(x0 + dx, x1 - MIN_SIZE) : x0,
    top ? Math.min(y0 + dy, y1 - MIN_SIZE) : y0,
    right ? Math.max(x1 + dx, x0 + MIN_SIZE) : x1,
    bottom ? Math.max(y1 + dy, y0 + MIN_SIZE) : y1,
  ];
}
