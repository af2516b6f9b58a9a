/** A grid that only draws the rows in view, so that 100,000 results stay fast. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const GAP = 12;
/** Rows above and below the view that are drawn as well. */
const MARGIN = 3;

export interface GridSection<Item> {
  /** Heading across the grid; none for the first section. */
  heading?: string;
  items: Item[];
}

interface Props<Item> {
  sections: GridSection<Item>[];
  keyOf(item: Item): string;
  children(item: Item): ComponentChildren;
  minWidth: number;
  rowHeight: number;
  label: string;
  /** Called when the end comes near. */
  onEnd(): void;
}

interface Row<Item> {
  top: number;
  height: number;
  heading?: string;
  items: Item[];
}

const HEADING_HEIGHT = 48;

export function ResultGrid<Item>(props: Props<Item>) {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [view, setView] = useState({ top: 0, height: 0 });

  useLayoutEffect(() => {
    const grid = element.current;
    if (!grid) return;
    let frame = 0;
    const measure = () => {
      frame = 0;
      setWidth(grid.clientWidth);
      setView({ top: -grid.getBoundingClientRect().top, height: innerHeight });
    };
    const later = () => {
      frame ||= requestAnimationFrame(measure);
    };
    measure();
    const observer = new ResizeObserver(later);
    observer.observe(grid);
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      observer.disconnect();
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, []);

  const columns = Math.max(1, Math.floor((width + GAP) / (props.minWidth + GAP)));
  const rows: Row<Item>[] = [];
  let height = 0;
  const append = (row: Omit<Row<Item>, "top">) => {
    rows.push({ ...row, top: height });
    height += row.height;
  };
  for (const { heading, items } of props.sections) {
    if (items.length === 0) continue;
    if (heading) append({ height: HEADING_HEIGHT, heading, items: [] });
    for (let start = 0; start < items.length; start += columns) {
      append({ height: props.rowHeight + GAP, items: items.slice(start, start + columns) });
    }
  }
  const margin = MARGIN * props.rowHeight;
  const shown = rows.filter(
    (row) => row.top + row.height > view.top - margin && row.top < view.top + view.height + margin,
  );
  const nearEnd = width > 0 && view.top + view.height + margin > height;
  useEffect(() => {
    if (nearEnd) props.onEnd();
  }, [nearEnd, rows.length]);

  return (
    <div ref={element} class="grid" role="list" aria-label={props.label} style={{ height: `${height}px` }}>
      {shown.map((row) =>
        row.heading ? (
          <div key={row.heading} role="listitem" class="grid-heading" style={{ top: `${row.top}px` }}>
            <h2>{row.heading}</h2>
          </div>
        ) : (
          row.items.map((item, column) => (
            <div
              key={props.keyOf(item)}
              role="listitem"
              class="cell"
              style={{
                top: `${row.top}px`,
                height: `${props.rowHeight}px`,
                left: `calc((100% + ${GAP}px) / ${columns} * ${column})`,
                width: `calc((100% + ${GAP}px) / ${columns} - ${GAP}px)`,
              }}
            >
              {props.children(item)}
            </div>
          ))
        ),
      )}
    </div>
  );
}
