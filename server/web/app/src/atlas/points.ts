/** Points of a map: read from the server, drawn into pixels, found by place. */

/** Positions are 0 to this. */
const EXTENT = 65_536;
const ID_LENGTH = 12;
/** Cells of the grid in each direction. */
const CELLS = 256;
const CELL = EXTENT / CELLS;

export interface Points {
  count: number;
  total: number;
  /** x and y of each point. */
  positions: Uint16Array;
  /** Number of the cluster of each point, 0 without one. */
  clusters: Uint16Array;
  idOf(index: number): string;
  /** Indices by cell; those of a cell begin at `starts[cell]`. */
  order: Uint32Array;
  starts: Uint32Array;
}

/** Where the map is on the screen: pixels = position * scale + offset. */
export interface Camera {
  scale: number;
  x: number;
  y: number;
}

/** Reads the JSON of `sightline://atlas/{collection}`. */
export function readPoints(json: string): Points {
  const data = JSON.parse(json) as Record<"assets" | "positions" | "clusters", string> & {
    total: number;
  };
  const positions = toNumbers(data.positions);
  const count = positions.length / 2;
  const starts = new Uint32Array(CELLS * CELLS + 1);
  for (let index = 0; index < count; index++) starts[cellOf(positions, index) + 1]! += 1;
  for (let cell = 0; cell < CELLS * CELLS; cell++) starts[cell + 1]! += starts[cell]!;
  const next = starts.slice();
  const order = new Uint32Array(count);
  for (let index = 0; index < count; index++) order[next[cellOf(positions, index)]!++] = index;
  return {
    count,
    total: data.total,
    positions,
    clusters: toNumbers(data.clusters),
    idOf: (index) => data.assets.slice(index * ID_LENGTH, (index + 1) * ID_LENGTH),
    order,
    starts,
  };
}

function cellOf(positions: Uint16Array, index: number): number {
  return (positions[2 * index + 1]! >> 8) * CELLS + (positions[2 * index]! >> 8);
}

function toNumbers(base64: string): Uint16Array {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, index) =>
    view.getUint16(2 * index, true),
  );
}

export function wholeMap(width: number, height: number): Camera {
  const scale = (0.92 * Math.min(width, height)) / EXTENT;
  return { scale, x: (width - scale * EXTENT) / 2, y: (height - scale * EXTENT) / 2 };
}

/** Changes the scale by a factor and keeps the place at (x, y). */
export function zoomAt(camera: Camera, factor: number, x: number, y: number): Camera {
  const scale = Math.min(2, Math.max(0.001, camera.scale * factor));
  const change = scale / camera.scale;
  return { scale, x: x - (x - camera.x) * change, y: y - (y - camera.y) * change };
}

/** Returns the index of the nearest point within a radius in pixels, undefined without one. */
export function nearest(
  points: Points,
  camera: Camera,
  x: number,
  y: number,
  radius: number,
): number | undefined {
  const [left, top] = [(x - camera.x) / camera.scale, (y - camera.y) / camera.scale];
  const reach = radius / camera.scale;
  const [firstColumn, lastColumn] = cellRange(left, reach);
  const [firstRow, lastRow] = cellRange(top, reach);
  let best: number | undefined;
  let smallest = reach * reach;
  for (let row = firstRow; row <= lastRow; row++) {
    const start = points.starts[row * CELLS + firstColumn]!;
    const end = points.starts[row * CELLS + lastColumn + 1]!;
    for (let place = start; place < end; place++) {
      const index = points.order[place]!;
      const distance =
        (points.positions[2 * index]! - left) ** 2 + (points.positions[2 * index + 1]! - top) ** 2;
      if (distance <= smallest) [best, smallest] = [index, distance];
    }
  }
  return best;
}

/** First and last cell that contain positions within `reach`; the last is smaller if none do. */
function cellRange(center: number, reach: number): [number, number] {
  return [
    Math.max(0, Math.floor((center - reach) / CELL)),
    Math.min(CELLS - 1, Math.floor((center + reach) / CELL)),
  ];
}

// In the order of memory: alpha, blue, green, red. They are visible on white and on black.
const NO_CLUSTER = 0xff8a7d72;
const COLORS = [
  0xffb4771f, 0xff0e7fff, 0xff2ca02c, 0xff2827d6, 0xffbd6794, 0xff4b568c, 0xffc277e3, 0xff22bdbc,
  0xffcfbe17, 0xff5a9e00,
];

/** Draws the points as squares. Pixels are set directly: 100,000 fill commands are too slow. */
export function drawPoints(points: Points, camera: Camera, image: ImageData, size: number): void {
  const { width, height } = image;
  const pixels = new Uint32Array(image.data.buffer);
  pixels.fill(0);
  const { positions, clusters, count } = points;
  const half = size >> 1;
  for (let index = 0; index < count; index++) {
    const left = Math.round(positions[2 * index]! * camera.scale + camera.x) - half;
    const top = Math.round(positions[2 * index + 1]! * camera.scale + camera.y) - half;
    if (left < 0 || top < 0 || left + size > width || top + size > height) continue;
    const cluster = clusters[index]!;
    const color = cluster ? COLORS[cluster % COLORS.length]! : NO_CLUSTER;
    for (let y = top; y < top + size; y++) {
      pixels.fill(color, y * width + left, y * width + left + size);
    }
  }
}
