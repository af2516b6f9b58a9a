/** The list of boxes: label, save, undo, export; confirm or reject those of models. */

import { useEffect, useRef } from "preact/hooks";

import type { Annotation, Box } from "../connection/results";
import { useApp } from "../shared/context";
import { useTask } from "../shared/useTask";
import { type Boxes, type EditedBox, overlap } from "./boxes";

/** A person's box with the same label confirms a model's box from this overlap on. */
const SAME_PLACE = 0.9;

export function BoxPanel(props: {
  asset: string;
  boxes: Boxes;
  /** Saved boxes of others and of models. */
  others: Annotation[];
  selected?: string;
  drawing: boolean;
  onSelect(key: string, box: Box): void;
  /** Makes a box of the person from another one; the next save deletes `instead`. */
  onEdit(from: { box: Box; label: string }, instead?: number): void;
  onShow(box: Box): void;
  onDraw(): void;
  onSaved(): Promise<void>;
  /** Reads the saved boxes again; returns whether somebody changed those that are edited here. */
  onFailed(): Promise<boolean>;
}) {
  const { connection, text, notify } = useApp();
  const { boxes } = props;
  const [busy, run] = useTask();
  const machine = props.others.filter(
    (each) =>
      (each.origin === "model" || each.origin === "detector") && !boxes.deleted.includes(each.id),
  );
  const people = props.others.filter((each) => each.origin === "person" || each.origin === "file");

  const write = (args: Record<string, unknown>, done: string) =>
    run(async () => {
      try {
        await connection.call("save_annotation", { asset: props.asset, origin: "person", ...args });
        await props.onSaved();
        notify(done);
      } catch (error) {
        const isConflict = await props.onFailed().catch(() => false);
        if (!isConflict) throw error;
        notify(text("boxes.conflict"));
      }
    });
  const save = () => {
    const changed = boxes.boxes.filter((each) => each.changed);
    if (changed.some((each) => !each.label.trim())) {
      notify(text("boxes.needLabel"));
      return;
    }
    const replaced = changed.flatMap((each) => (each.id === undefined ? [] : [each.id]));
    void write(
      {
        boxes: changed.map(({ box, label }) => ({ box, label: label.trim() })),
        delete: [...boxes.deleted, ...replaced],
      },
      text("boxes.saved", { n: boxes.boxes.length }),
    );
  };
  const exported = () => {
    const all = [
      ...boxes.boxes.map(({ label, box }) => ({ label, box, origin: "person" })),
      ...props.others.map(({ label, box, origin, score }) => ({ label, box, origin, score })),
    ];
    const data = JSON.stringify({ asset: props.asset, annotations: all }, null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data], { type: "application/json" }));
    link.download = `${props.asset}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  return (
    <section class="boxes" aria-label={text("boxes.title")}>
      <h2>{text("boxes.title")}</h2>
      <div class="row">
        <button type="button" aria-pressed={props.drawing} onClick={props.onDraw}>
          {text("boxes.draw")}
        </button>
        <button type="button" class="quiet" disabled={!boxes.canUndo} onClick={boxes.undo}>
          {text("boxes.undo")}
        </button>
        <button type="button" class="quiet" disabled={!boxes.canRedo} onClick={boxes.redo}>
          {text("boxes.redo")}
        </button>
        <button type="button" class="quiet" onClick={exported}>
          {text("boxes.export")}
        </button>
      </div>
      {props.drawing && <p role="status">{text("boxes.drawing")}</p>}
      {boxes.boxes.length + props.others.length === 0 && !props.drawing && (
        <p class="hint">{text("boxes.none")}</p>
      )}
      <ul>
        {boxes.boxes.map((box) => (
          <OwnBox
            key={box.key}
            {...props}
            box={box}
            isSelected={box.key === props.selected}
            onEnter={save}
          />
        ))}
        {people.map((each) => (
          <li key={each.id}>
            <ShowButton annotation={each} onShow={props.onShow} /> <Origin annotation={each} />
            <button
              type="button"
              class="quiet"
              title={text("boxes.copy", { label: each.label })}
              aria-label={text("boxes.copy", { label: each.label })}
              onClick={() => props.onEdit(each)}
            >
              ✎
            </button>
          </li>
        ))}
        {machine.map((each) => {
          const confirmed = [...boxes.boxes, ...people].some(
            (own) => own.label === each.label && overlap(own.box, each.box) > SAME_PLACE,
          );
          return (
            <li key={each.id}>
              <ShowButton annotation={each} onShow={props.onShow} />{" "}
              <Origin annotation={each} /> {confirmed && "✓"}
              <button
                type="button"
                class="quiet"
                disabled={busy || confirmed}
                title={text("boxes.confirm", { label: each.label })}
                aria-label={text("boxes.confirm", { label: each.label })}
                onClick={() =>
                  void write(
                    { boxes: [{ box: each.box, label: each.label }] },
                    text("boxes.saved", { n: 1 }),
                  )
                }
              >
                ✓
              </button>
              <button
                type="button"
                class="quiet"
                disabled={busy}
                title={text("boxes.correct", { label: each.label })}
                aria-label={text("boxes.correct", { label: each.label })}
                onClick={() => props.onEdit(each, each.id)}
              >
                ✎
              </button>
              <button
                type="button"
                class="quiet"
                disabled={busy}
                title={text("boxes.reject", { label: each.label })}
                aria-label={text("boxes.reject", { label: each.label })}
                onClick={() =>
                  void write({ boxes: [], delete: [each.id] }, text("boxes.saved", { n: 0 }))
                }
              >
                ✕
              </button>
            </li>
          );
        })}
      </ul>
      {boxes.isDirty && (
        <p class="row">
          <button type="button" class="primary" disabled={busy} onClick={save}>
            {text("boxes.save")}
          </button>
          <span class="hint">{text("boxes.unsaved")}</span>
        </p>
      )}
    </section>
  );
}

function OwnBox(props: {
  box: EditedBox;
  boxes: Boxes;
  isSelected: boolean;
  onSelect(key: string, box: Box): void;
  onEnter(): void;
}) {
  const { text } = useApp();
  const { box, boxes } = props;
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    // A new box needs a label, so the person can type it at once.
    if (box.id === undefined && !box.label) field.current?.focus();
  }, []);
  return (
    <li class={props.isSelected ? "selected" : undefined}>
      <label class="grow">
        <span class="hidden">{text("boxes.label")}</span>
        <input
          ref={field}
          value={box.label}
          placeholder={text("boxes.label")}
          onFocus={() => !props.isSelected && props.onSelect(box.key, box.box)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.isComposing) props.onEnter();
          }}
          onInput={(event) =>
            boxes.change(box.key, { label: event.currentTarget.value }, box.changed)
          }
        />
      </label>
      <button
        type="button"
        class="quiet"
        aria-label={text("boxes.delete", { label: box.label || text("boxes.unnamed") })}
        onClick={() => boxes.remove(box.key)}
      >
        ✕
      </button>
      {box.createdAt && !box.changed && (
        <Origin
          annotation={{ origin: "person", author: box.author, created_at: box.createdAt }}
        />
      )}
    </li>
  );
}

/** The label of a box of others; shows the box enlarged. */
function ShowButton(props: { annotation: Annotation; onShow(box: Box): void }) {
  const { box, label } = props.annotation;
  return (
    <button type="button" class="quiet" onClick={() => props.onShow(box)}>
      {label}
    </button>
  );
}

function Origin(props: {
  annotation: Pick<Annotation, "origin" | "model" | "author" | "created_at">;
}) {
  const { text } = useApp();
  const { origin, model, author, created_at } = props.annotation;
  const time = created_at ? new Date(created_at).toLocaleString() : "";
  return <small>{text("boxes.by", { author: author ?? model ?? origin, time })}</small>;
}
