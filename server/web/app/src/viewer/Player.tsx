/** Plays the video or sound of an asset; frames, results and spoken lines lead to their time. */

import { useEffect, useRef, useState } from "preact/hooks";

import { type Connection, ToolError } from "../connection/connection";
import type { Asset, ImageSearch, TextHit, TextSearch } from "../connection/results";
import { lastResults } from "../search/SearchView";
import { useApp } from "../shared/context";
import { clock } from "../shared/parts";

const PAGE = 50;
const MAX_FRAMES = 200;
const MAX_LINES = 500;
/** A link that fails so soon has not expired: the file or the browser is the reason. */
const FRESH_MILLISECONDS = 30_000;

/** Whether the asset is a part of a video or sound. */
export function isMedia(asset: Asset): boolean {
  return asset.kind === "frame" || asset.kind === "audio";
}

export function Player({ asset, onOpen }: { asset: Asset; onOpen(asset: string): void }) {
  const { connection, text, fail } = useApp();
  const media = useRef<HTMLMediaElement>(null);
  /** Where to continue when an address is loaded. */
  const resumeAt = useRef(asset.seconds ?? 0);
  const requestedAt = useRef(0);
  const [address, setAddress] = useState<string>();
  const [problem, setProblem] = useState<string>();
  const [duration, setDuration] = useState(0);
  const [time, setTime] = useState(asset.seconds ?? 0);
  const [frames, setFrames] = useState<Asset[]>([]);
  const [lines, setLines] = useState<TextHit[]>([]);

  const requestAddress = () => {
    requestedAt.current = Date.now();
    connection.media?.(asset.asset).then(setAddress, (error: unknown) => {
      if (error instanceof ToolError && error.needsToken) fail(error);
      else setProblem((error as Error).message);
    });
  };
  useEffect(() => {
    requestAddress();
    readFrames(connection, asset).then(setFrames, fail);
    readSpokenLines(connection, asset).then(setLines, fail);
  }, [asset.asset, connection]);

  const onError = () => {
    resumeAt.current = media.current?.currentTime || resumeAt.current;
    if (Date.now() - requestedAt.current > FRESH_MILLISECONDS) requestAddress();
    else setProblem(text("player.codec"));
  };
  const seek = (seconds: number) => {
    setTime(seconds);
    resumeAt.current = seconds;
    if (media.current) media.current.currentTime = seconds;
  };
  const canPlay = address !== undefined && problem === undefined;
  /** Without a player, a time leads to the frame that was shown then. */
  const show = (seconds: number) => {
    const before = frames.findLast((frame) => (frame.seconds ?? 0) <= seconds) ?? frames[0];
    if (canPlay) seek(seconds);
    else if (before) onOpen(before.asset);
  };
  const props = {
    src: address,
    controls: true,
    preload: "metadata",
    onLoadedMetadata: () => {
      const element = media.current;
      if (!element) return;
      if (Number.isFinite(element.duration)) setDuration(element.duration);
      element.currentTime = resumeAt.current;
    },
    onTimeUpdate: () => media.current && setTime(media.current.currentTime),
    onError,
  } as const;
  const title = text(asset.kind === "audio" ? "player.sound" : "player.video");
  if (connection.media === undefined && lines.length === 0) return null;
  return (
    <section class="player">
      <h2>{title}</h2>
      {problem !== undefined && <p role="status">{text("player.failed", { reason: problem })}</p>}
      {canPlay &&
        (asset.kind === "audio" ? (
          <audio ref={media as preact.RefObject<HTMLAudioElement>} aria-label={title} {...props} />
        ) : (
          <video
            ref={media as preact.RefObject<HTMLVideoElement>}
            aria-label={title}
            playsInline
            {...props}
          />
        ))}
      {canPlay && frames.length > 0 && (
        <Timeline
          frames={frames}
          current={asset.asset}
          time={time}
          duration={Math.max(duration, frames.at(-1)?.seconds ?? 0, 0.1)}
          onSeek={seek}
        />
      )}
      {lines.length > 0 && <SpokenLines lines={lines} time={time} onShow={show} />}
    </section>
  );
}

/** One mark for each frame. Arrow keys move between them, so that Tab passes them in one step. */
function Timeline(props: {
  frames: Asset[];
  current: string;
  time: number;
  duration: number;
  onSeek(seconds: number): void;
}) {
  const { text } = useApp();
  const { frames, duration } = props;
  const [focused, setFocused] = useState(() =>
    Math.max(0, frames.findIndex((frame) => frame.asset === props.current)),
  );
  const marks = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = focused + (step ?? 0);
    if (!step || next < 0 || next >= frames.length) return;
    event.preventDefault();
    setFocused(next);
    marks.current?.querySelectorAll<HTMLElement>(".mark")[next]?.focus();
  };
  const left = (seconds: number) => `${Math.min(100, (100 * seconds) / duration)}%`;
  return (
    <div
      ref={marks}
      class="timeline"
      role="group"
      aria-label={text("player.timeline")}
      onKeyDown={move}
    >
      <span class="playhead" style={{ left: left(props.time) }} />
      {frames.map((frame, index) => {
        const seconds = frame.seconds ?? 0;
        const isHit = lastResults.assets.includes(frame.asset);
        const label = text(isHit ? "player.hit" : "player.frame", { time: clock(seconds) });
        return (
          <button
            key={frame.asset}
            type="button"
            class={isHit ? "mark hit" : "mark"}
            style={{ left: left(seconds) }}
            aria-label={label}
            aria-current={frame.asset === props.current ? "true" : undefined}
            title={label}
            tabIndex={index === focused ? 0 : -1}
            onClick={() => {
              setFocused(index);
              props.onSeek(seconds);
            }}
          />
        );
      })}
    </div>
  );
}

function SpokenLines(props: { lines: TextHit[]; time: number; onShow(seconds: number): void }) {
  const { text } = useApp();
  return (
    <>
      <h3>{text("player.lines")}</h3>
      <ol class="lines spoken" tabIndex={0} aria-label={text("player.lines")}>
        {props.lines.map((line) => {
          const [start, end] = line.seconds ?? [0, 0];
          return (
            <li key={line.passage}>
              <button
                type="button"
                class="line"
                aria-current={start <= props.time && props.time < end ? "true" : undefined}
                onClick={() => props.onShow(start)}
              >
                <span class="badge">{clock(start)}</span> {line.text}
              </button>
            </li>
          );
        })}
      </ol>
    </>
  );
}

/** The frames of the same file, in their order. */
async function readFrames(connection: Connection, asset: Asset): Promise<Asset[]> {
  if (asset.kind !== "frame") return [];
  const frames: Asset[] = [];
  let cursor: string | undefined;
  do {
    const result = await connection.call<ImageSearch>("search_images", {
      ...ofSameFile(asset),
      ...(cursor && { cursor }),
    });
    frames.push(...result.hits);
    cursor = result.next_cursor;
  } while (cursor && frames.length < MAX_FRAMES);
  return frames.sort((a, b) => (a.seconds ?? 0) - (b.seconds ?? 0));
}

/** Subtitles and transcribed speech of the same file, in their order. */
async function readSpokenLines(connection: Connection, asset: Asset): Promise<TextHit[]> {
  const lines: TextHit[] = [];
  let cursor: string | undefined;
  do {
    const result = await connection.call<TextSearch>("search_text", {
      ...ofSameFile(asset),
      kinds: ["subtitle", "speech"],
      detail: "detailed",
      ...(cursor && { cursor }),
    });
    lines.push(...result.hits);
    cursor = result.next_cursor;
  } while (cursor && lines.length < MAX_LINES);
  return lines.sort((a, b) => (a.seconds?.[0] ?? 0) - (b.seconds?.[0] ?? 0));
}

function ofSameFile(asset: Asset): Record<string, unknown> {
  return { collection: asset.collection, filters: { source: asset.source }, limit: PAGE };
}
