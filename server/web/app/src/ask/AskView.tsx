import { useState } from "preact/hooks";

import { compact } from "../connection/connection";
import type { Answer, Collection } from "../connection/results";
import { useApp } from "../shared/context";
import { BoxedPicture } from "../shared/parts";
import { useTask } from "../shared/useTask";
import { AnswerPanel } from "./AnswerPanel";

export function AskView(props: { params: URLSearchParams; collections: Collection[] }) {
  const { connection, text } = useApp();
  const asset = props.params.get("asset") ?? "";
  const [question, setQuestion] = useState("");
  const [collection, setCollection] = useState("");
  const [answer, setAnswer] = useState<Answer>();
  const [busy, run] = useTask();

  const ask = () =>
    run(async () => {
      setAnswer(undefined);
      const args = compact({
        question,
        assets: asset ? [asset] : [],
        collection: asset ? "" : collection,
        inline: false,
      });
      setAnswer(await connection.call<Answer>("answer_question", args));
    });
  return (
    <>
      <form
        class="search"
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <div class="row main">
          <label class="grow">
            <span class="hidden">{text("ask.question")}</span>
            <input
              value={question}
              required
              autoFocus
              placeholder={text("ask.placeholder")}
              onInput={(event) => setQuestion(event.currentTarget.value)}
            />
          </label>
          <button type="submit" class="primary" disabled={busy}>
            {text("ask.go")}
          </button>
        </div>
        {asset ? (
          <p class="chips">
            <span class="chip">
              <span class="mini">
                <BoxedPicture asset={asset} maxEdge={0} alt="" />
              </span>
              {text("ask.about")}
              <a href="#/ask" aria-label={text("search.remove")}>
                ✕
              </a>
            </span>
          </p>
        ) : (
          <label>
            {text("search.collection")}{" "}
            <select
              value={collection}
              onChange={(event) => setCollection(event.currentTarget.value)}
            >
              <option value="">{text("search.all")}</option>
              {props.collections.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
      </form>
      <div role="status">{busy && <p>{text("loading")}</p>}</div>
      {answer && <AnswerPanel answer={answer} />}
    </>
  );
}
