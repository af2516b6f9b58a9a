/** The boxes that a person edits, with undo. */

import { useCallback, useReducer } from "preact/hooks";

import type { Annotation, Box } from "../connection/results";

export interface EditedBox {
  /** Key in this editor. */
  key: string;
  /** Id of the saved box; undefined: new. */
  id?: number;
  label: string;
  box: Box;
  /** True if it differs from the saved one. */
  changed: boolean;
  author?: string;
  createdAt?: string;
}

interface State {
  boxes: EditedBox[];
  /** Ids of saved boxes that the next save deletes. */
  deleted: number[];
}

interface History {
  past: State[];
  present: State;
  future: State[];
}

type Action =
  | { type: "load"; state: State }
  | { type: "change"; state: State; merge: boolean }
  | { type: "undo" }
  | { type: "redo" };

const MAX_STEPS = 200;
export const MIN_SIZE = 0.004;

function reduce(history: History, action: Action): History {
  const { past, present, future } = history;
  switch (action.type) {
    case "load":
      return { past: [], present: action.state, future: [] };
    case "change":
      return {
        past: action.merge && past.length ? past : [...past.slice(-MAX_STEPS), present],
        present: action.state,
        future: [],
      };
    case "undo": {
      const last = past.at(-1);
      return last
        ? { past: past.slice(0, -1), present: last, future: [present, ...future] }
        : history;
    }
    case "redo": {
      const [next, ...rest] = future;
      return next ? { past: [...past, present], present: next, future: rest } : history;
    }
  }
}

let keys = 0;

export function newKey(): string {
  keys += 1;
  return `new-${keys}`;
}

export function fromAnnotation(annotation: Annotation): EditedBox {
  return {
    key: `saved-${annotation.id}`,
    id: annotation.id,
    label: annotation.label,
    box: annotation.box,
    changed: false,
    author: annotation.author,
    createdAt: annotation.created_at,
  };
}

export function useBoxes() {
  const [history, dispatch] = useReducer(reduce, {
    past: [],
    present: { boxes: [], deleted: [] },
    future: [],
  } as History);
  const { boxes, deleted } = history.present;

  const load = useCallback(
    (loaded: EditedBox[]) => dispatch({ type: "load", state: { boxes: loaded, deleted: [] } }),
    [],
  );
  /**
   * Takes over what was saved elsewhere and keeps the edits; returns whether they were in conflict.
   * `ids` are those of all saved boxes, also of other people and models.
   */
  const rebase = (saved: EditedBox[], ids: ReadonlySet<number>): boolean => {
    const isGone = (id: number | undefined) => id !== undefined && !ids.has(id);
    const edited = boxes.filter((each) => each.changed);
    const kept = saved.filter(
      ({ id }) => !deleted.includes(id ?? 0) && !edited.some((each) => each.id === id),
    );
    const state = {
      boxes: [...kept, ...edited.map((each) => (isGone(each.id) ? { ...each, id: undefined } : each))],
      deleted: deleted.filter((id) => ids.has(id)),
    };
    dispatch({ type: "load", state });
    return deleted.some(isGone) || edited.some((each) => isGone(each.id));
  };
  /** `instead` is the id of a saved box of a model that the next save deletes. */
  const add = (box: Box, label: string, instead?: number): string => {
    const key = newKey();
    const added = { key, label, box: clamped(box), changed: true };
    const gone = instead === undefined ? deleted : [...deleted, instead];
    dispatch({ type: "change", state: { boxes: [...boxes, added], deleted: gone }, merge: false });
    return key;
  };
  /** `merge` joins the change with the last one, for the moves of one drag. */
  const change = (key: string, changed: { box?: Box; label?: string }, merge = false) => {
    const next = boxes.map((each) =>
      each.key === key
        ? {
            ...each,
            ...changed,
            box: changed.box ? clamped(changed.box) : each.box,
            changed: true,
          }
        : each,
    );
    dispatch({ type: "change", state: { boxes: next, deleted }, merge });
  };
  const remove = (key: string) => {
    const id = boxes.find((each) => each.key === key)?.id;
    const state = {
      boxes: boxes.filter((each) => each.key !== key),
      deleted: id === undefined ? deleted : [...deleted, id],
    };
    dispatch({ type: "change", state, merge: false });
  };
  const isDirty = deleted.length > 0 || boxes.some((each) => each.changed);
  return {
    boxes,
    deleted,
    load,
    rebase,
    add,
    change,
    remove,
    isDirty,
    undo: () => dispatch({ type: "undo" }),
    redo: () => dispatch({ type: "redo" }),
    canUndo: history.past.length > 0,
    canRedo: history.future.length > 0,
  };
}

export type Boxes = ReturnType<typeof useBoxes>;

/** Keeps the box inside the picture and in order. */
export function clamped([x0, y0, x1, y1]: Box): Box {
  const inside = (value: number) => Math.min(1, Math.max(0, value));
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
  return [inside(left), inside(top), inside(right), inside(bottom)];
}

/** Moves the box without changing its size, except where the picture ends. */
export function moved([x0, y0, x1, y1]: Box, dx: number, dy: number): Box {
  const x = Math.min(1 - x1, Math.max(-x0, dx));
  const y = Math.min(1 - y1, Math.max(-y0, dy));
  return [x0 + x, y0 + y, x1 + x, y1 + y];
}

export function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box: Box) => (box[2] - box[0]) * (box[3] - box[1]);
  return (width * height) / (area(a) + area(b) - width * height);
}
