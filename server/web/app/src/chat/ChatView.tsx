/** The app inside a chat: shows the result that the model received. */

import { useState } from "preact/hooks";

import { AnswerPanel } from "../ask/AnswerPanel";
import type { BridgeConnection, HostResult } from "../connection/bridge";
import { readResult } from "../connection/connection";
import type { Answer, Box, ImageHit, ImageSearch } from "../connection/results";
import { Highlighted } from "../search/Highlighted";
import { useApp } from "../shared/context";
import { BoxedPicture, placeOf } from "../shared/parts";
import { Viewer } from "../viewer/ViewerView";

export function ChatView({ host, bridge }: { host?: HostResult; bridge: BridgeConnection }) {
  const { text } = useApp();
  if (host === undefined) return <p role="status">{text("loading")}</p>;
  let result: unknown;
  try {
    result = readResult(host.result);
  } catch (error) {
    return <p class="warning">{(error as Error).message}</p>;
  }
  if (isSearch(result)) return <Hits host={host} search={result} bridge={bridge} />;
  if (isAnswer(result)) return <AnswerPanel answer={result} />;
  const asset = assetOf(result);
  return asset ? <OneAsset key={asset} id={asset} /> : <pre>{JSON.stringify(result, null, 2)}</pre>;
}

/** The asset of the result, until the person opens another one. */
function OneAsset({ id }: { id: string }) {
  const [shown, setShown] = useState(id);
  return <Viewer key={shown} id={shown} onOpen={setShown} />;
}

function isSearch(result: unknown): result is ImageSearch {
  return Array.isArray((result as ImageSearch | null)?.hits);
}

function isAnswer(result: unknown): result is Answer {
  return Array.isArray((result as Answer | null)?.claims);
}

function assetOf(result: unknown): string | undefined {
  return (result as { asset?: { asset?: string } } | null)?.asset?.asset;
}

function Hits(props: { host: HostResult; search: ImageSearch; bridge: BridgeConnection }) {
  const { text, notify, fail } = useApp();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState<{ asset: string; box?: Box }>();
  const words = String(props.host.args.query ?? "");
  if (open) {
    return (
      <>
        <button type="button" onClick={() => setOpen(undefined)}>
          {text("view.back")}
        </button>
        <Viewer
          key={open.asset}
          id={open.asset}
          match={open.box}
          onOpen={(asset) => setOpen({ asset })}
        />
      </>
    );
  }
  const toggle = (asset: string) => {
    const next = new Set(chosen);
    if (!next.delete(asset)) next.add(asset);
    setChosen(next);
  };
  const tell = () => {
    const marked = props.search.hits.filter((hit) => chosen.has(hit.asset));
    // Without file names: an instruction in one would speak in the name of the person.
    const list = marked.map((hit) => `[${hit.number}] asset ${hit.asset}`);
    props.bridge
      .tellModel(`The user marked these search results as the ones they mean:\n${list.join("\n")}`)
      .then(() => notify(text("chat.told")), fail);
  };
  return (
    <>
      <ul class="chat-hits">
        {props.search.hits.map((hit) => (
          <HitItem
            key={hit.asset}
            hit={hit}
            words={words}
            chosen={chosen.has(hit.asset)}
            onToggle={() => toggle(hit.asset)}
            onOpen={() => setOpen({ asset: hit.asset, box: hit.box ?? hit.text?.box })}
          />
        ))}
      </ul>
      <button type="button" class="primary" disabled={chosen.size === 0} onClick={tell}>
        {text("chat.tell")}
      </button>
    </>
  );
}

function HitItem(props: {
  hit: ImageHit;
  words: string;
  chosen: boolean;
  onToggle(): void;
  onOpen(): void;
}) {
  const { text } = useApp();
  const { hit } = props;
  const box = hit.box ?? hit.text?.box;
  const place = placeOf(hit, text);
  return (
    <li class={hit.weak ? "card weak" : "card"}>
      <button type="button" class="thumb" onClick={props.onOpen} aria-label={`${text("chat.open")}: ${place}`}>
        <BoxedPicture
          asset={hit.asset}
          maxEdge={box ? 320 : 0}
          alt={hit.caption ?? place}
          boxes={box && [{ box }]}
        />
      </button>
      <label>
        <input type="checkbox" checked={props.chosen} onChange={props.onToggle} />
        <span class="badge">[{hit.number}]</span> {place}
      </label>
      <p class="snippet">
        <Highlighted value={hit.text?.text ?? hit.caption ?? ""} words={props.words} />
      </p>
    </li>
  );
}
