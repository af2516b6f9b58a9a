/** The list of boxes: label, save, undo, export; confirm or reject those of models. */

import { useState } from "preact/hooks";

import type { Annotation, Box } from "../connection/results";
import { useApp } from "../shared/context";
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
  onDraw(): void;
  onSaved(): Promise<void>;
}) {
  const { connection, text, notify, fail } = useApp();
  const { boxes } = props;
  const [busy, setBusy] = useState(false);
  const machine = props.others.filter((each) => each.origin === "model" || each.origin === "detector");
  const people = props.others.filter((each) => !machine.includes(each));

  const write = async (args: Record<string, unknown>, done: string) => {
    setBusy(true);
    try {
      await connection.call("save_annotation", { asset: props.asset, origin: "person", ...args });
      await props.onSaved();
      notify(done);
    } catch (error) {
      fail(error);
    } finally {
      setBusy(false);
    }
  };
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
          <OwnBox key={box.key} {...props} box={box} isSelected={box.key === props.selected} />
        ))}
        {people.map((each) => (
          <li key={each.id}>
            {each.label} <Origin annotation={each} />
          </li>
        ))}
        {machine.map((each) => {
          const confirmed = [...boxes.boxes, ...people].some(
            (own) => own.label === each.label && overlap(own.box, each.box) > SAME_PLACE,
          );
          return (
            <li key={each.id}>
              {each.label} <Origin annotation={each} /> {confirmed && "✓"}
              <button
                type="button"
                class="quiet"
                disabled={busy || confirmed}
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
}) {
  const { text } = useApp();
  const { box, boxes } = props;
  return (
    <li class={props.isSelected ? "selected" : undefined}>
      <label class="grow">
        <span class="hidden">{text("boxes.label")}</span>
        <input
          value={box.label}
          placeholder={text("boxes.label")}
          onFocus={() => !props.isSelected && props.onSelect(box.key, box.box)}
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

function Origin(props: {
  annotation: Pick<Annotation, "origin" | "model" | "author" | "created_at">;
}) {
  const { text } = useApp();
  const { origin, model, author, created_at } = props.annotation;
  const time = created_at ? new Date(created_at).toLocaleString() : "";
  return <small>{text("boxes.by", { author: author ?? model ?? origin, time })}</small>;
}
