/** Small parts that several views use. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import type { Asset, Box } from "../connection/results";
import { useApp } from "./context";
import { usePicture } from "./pictures";

export function Notes({ notes }: { notes?: string[] }) {
  if (!notes?.length) return null;
  return (
    <ul class="notes">
      {notes.map((note) => (
        <li key={note}>{note}</li>
      ))}
    </ul>
  );
}

/** A picture with boxes on it; the boxes are in the frame of the whole picture. */
export function BoxedPicture(props: {
  asset: string;
  maxEdge: number;
  alt: string;
  boxes?: { box: Box; tone?: string }[];
}) {
  const { text } = useApp();
  const picture = usePicture({ asset: props.asset, maxEdge: props.maxEdge });
  return (
    <span class="boxed">
      {picture.url ? (
        <img src={picture.url} alt={props.alt} draggable={false} />
      ) : (
        <span class="placeholder">{picture.error ? text("picture.failed") : ""}</span>
      )}
      {picture.url &&
        props.boxes?.map(({ box, tone }) => (
          <span key={box.join()} class={`frame ${tone ?? "match"}`} style={placed(box)} />
        ))}
    </span>
  );
}

export function placed([x0, y0, x1, y1]: Box) {
  return {
    left: `${x0 * 100}%`,
    top: `${y0 * 100}%`,
    width: `${(x1 - x0) * 100}%`,
    height: `${(y1 - y0) * 100}%`,
  };
}

/** File name without its folders. */
export function fileName(asset: Asset): string {
  return (asset.source ?? asset.asset).split(/[\\/]/).at(-1) || asset.asset;
}

/** File name, and page or time. */
export function placeOf(asset: Asset, t: ReturnType<typeof useApp>["text"]): string {
  const parts = [fileName(asset)];
  if (asset.page !== undefined) parts.push(t("page", { n: asset.page }));
  if (asset.seconds !== undefined) parts.push(clock(asset.seconds));
  return parts.join(" · ");
}

export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

export function Dialog(props: { title: string; onClose(): void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { text } = useApp();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-label={props.title} onClose={props.onClose}>
      <header>
        <h2>{props.title}</h2>
        <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
          {text("close")}
        </button>
      </header>
      {props.children}
    </dialog>
  );
}

/** A button that copies text. */
export function CopyButton({ value, label }: { value: string; label: string }) {
  const { notify, text, fail } = useApp();
  return (
    <button
      type="button"
      class="quiet"
      onClick={() => {
        navigator.clipboard.writeText(value).then(() => notify(text("copied")), fail);
      }}
    >
      {label}
    </button>
  );
}
