import { useState } from "preact/hooks";

import type { ImageHit, TextHit } from "../connection/results";
import { useApp } from "../shared/context";
import { BoxedPicture, clock, Dialog, fileName, placeOf } from "../shared/parts";
import { formatRoute } from "../shared/route";
import { Highlighted } from "./Highlighted";

export const THUMBNAIL_EDGE = 320;

export function HitCard(props: {
  hit: ImageHit;
  words: string;
  /** Order of the results, for previous and next. */
  onOpen(): void;
  onLike(asset: string): void;
  onUnlike(asset: string): void;
}) {
  const { text } = useApp();
  const [explained, setExplained] = useState(false);
  const { hit } = props;
  const box = hit.box ?? hit.text?.box;
  const place = placeOf(hit, text);
  const caption = hit.text?.text ?? hit.caption ?? "";
  return (
    <article class={hit.weak ? "card weak" : "card"}>
      <a
        class="thumb"
        href={formatRoute("view", { asset: hit.asset, box: box?.join() })}
        onClick={props.onOpen}
        title={hit.source}
      >
        <BoxedPicture
          asset={hit.asset}
          maxEdge={box ? THUMBNAIL_EDGE : 0}
          alt={hit.caption ?? place}
          boxes={box && [{ box }]}
        />
      </a>
      <p class="place">
        <span class="file">{fileName(hit)}</span>
        {hit.page !== undefined && <span class="badge">{text("page", { n: hit.page })}</span>}
        {hit.seconds !== undefined && <span class="badge">{clock(hit.seconds)}</span>}
        {hit.duplicates?.length ? (
          <span class="badge">{text("search.copies", { n: hit.duplicates.length })}</span>
        ) : null}
      </p>
      <p class="snippet">
        <Highlighted value={caption} words={props.words} />
      </p>
      <p class="actions">
        <button type="button" class="quiet" onClick={() => props.onLike(hit.asset)}>
          {text("search.like")}
        </button>
        <button type="button" class="quiet" onClick={() => props.onUnlike(hit.asset)}>
          {text("search.unlike")}
        </button>
        {hit.score !== undefined && (
          <button type="button" class="quiet" onClick={() => setExplained(true)}>
            {text("search.why")}
          </button>
        )}
      </p>
      {explained && <Reasons hit={hit} words={props.words} onClose={() => setExplained(false)} />}
    </article>
  );
}

/** Which retrievers found the hit, at which rank, and by which text. */
function Reasons(props: { hit: ImageHit | TextHit; words: string; onClose(): void }) {
  const { text } = useApp();
  const hit = props.hit as ImageHit;
  const box = hit.box ?? hit.text?.box;
  return (
    <Dialog title={placeOf(hit, text)} onClose={props.onClose}>
      {box && (
        <BoxedPicture asset={hit.asset} maxEdge={768} alt={hit.caption ?? ""} boxes={[{ box }]} />
      )}
      {hit.text && (
        <>
          <h3>
            {text("search.matched")} ({hit.text.kind})
          </h3>
          <p>
            <Highlighted value={hit.text.text} words={props.words} />
          </p>
        </>
      )}
      <h3>{text("search.retrievers")}</h3>
      <ul>
        {Object.entries(hit.retrievers ?? {}).map(([name, { rank, score }]) => (
          <li key={name}>
            {name}
            {rank !== undefined && `, ${text("search.rank", { n: rank })}`}
            {score !== undefined && `, ${Number(score.toPrecision(3))}`}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

export function TextCard({ hit, words }: { hit: TextHit; words: string }) {
  const { text } = useApp();
  const place = placeOf(
    { asset: hit.asset ?? "", source: hit.source, page: hit.page, seconds: hit.seconds?.[0] },
    text,
  );
  const body = (
    <>
      <p class="place">
        <span class="file">{place}</span>
        <span class="badge">{hit.kind}</span>
      </p>
      <p class="snippet long">
        <Highlighted value={hit.text} words={words} />
      </p>
    </>
  );
  return (
    <article class={hit.weak ? "card text weak" : "card text"}>
      {hit.asset ? (
        <a href={formatRoute("view", { asset: hit.asset, box: hit.box?.join() })}>{body}</a>
      ) : (
        body
      )}
    </article>
  );
}
