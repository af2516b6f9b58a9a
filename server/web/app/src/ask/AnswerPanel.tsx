/** An answer with its claims, their verdicts, and the evidence at its place. */

import { useState } from "preact/hooks";

import type { Answer, Box, Claim, Evidence } from "../connection/results";
import { useApp } from "../shared/context";
import { BoxedPicture, Notes, placeOf } from "../shared/parts";
import { formatRoute } from "../shared/route";
import type { MessageKey } from "../shared/messages";

const STATUSES: Record<string, MessageKey> = {
  uncertain: "ask.status.uncertain",
  not_shown: "ask.status.not_shown",
  ambiguous: "ask.status.ambiguous",
  unreadable: "ask.status.unreadable",
  no_model: "ask.status.no_model",
};

export function AnswerPanel({ answer }: { answer: Answer }) {
  const { text } = useApp();
  const [chosen, setChosen] = useState<Claim | undefined>(answer.claims[0]);
  const status = STATUSES[answer.status];
  return (
    <section class="answer" aria-live="polite">
      {answer.status === "answered" ? (
        <p class="result">{answer.answer}</p>
      ) : (
        <p class="result withheld">{text(status ?? "ask.noAnswer")}</p>
      )}
      {answer.confidence !== undefined && (
        <p class="hint">
          {text("ask.confidence", { n: Math.round(answer.confidence * 100) })}
          {answer.model && ` · ${answer.model}`}
        </p>
      )}
      {answer.missing && <p>{answer.missing}</p>}
      {answer.interpretations?.length ? (
        <ul>
          {answer.interpretations.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ul>
      ) : null}
      <Notes notes={answer.notes} />
      {answer.claims.length > 0 && <h2>{text("ask.claims")}</h2>}
      <ul class="claims">
        {answer.claims.map((claim) => (
          <li key={claim.text} class={claim.verdict}>
            <button
              type="button"
              aria-pressed={claim === chosen}
              onClick={() => setChosen(claim)}
            >
              <strong>{claim.text}</strong>{" "}
              <span class={`verdict ${claim.verdict}`}>{text(`ask.verdict.${claim.verdict}`)}</span>
              {claim.citations.map((number) => (
                <span key={number} class="badge">
                  [{number}]
                </span>
              ))}
            </button>
            <ul class="reasons">
              {claim.reasons.map((reason) => (
                <li key={reason}>{reason}</li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
      {chosen && <ClaimPicture answer={answer} claim={chosen} />}
      <h2>{text("ask.evidence")}</h2>
      <ul class="evidence">
        {answer.evidence.map((each) => (
          <EvidenceItem key={each.number} evidence={each} source={answer.source} />
        ))}
      </ul>
    </section>
  );
}

/** The first cited picture with the box of the claim and those of its checks. */
function ClaimPicture({ answer, claim }: { answer: Answer; claim: Claim }) {
  const { text } = useApp();
  const cited = answer.evidence.find(
    (each) => claim.citations.includes(each.number) && each.asset !== undefined,
  );
  if (!cited?.asset) return null;
  const checks = (claim.checks ?? []).flatMap(({ outcome, boxes }) =>
    (boxes ?? []).map(({ box }) => ({ box, tone: `check ${outcome}` })),
  );
  const boxes: { box: Box; tone: string }[] = [
    ...checks,
    ...(claim.box ? [{ box: claim.box, tone: "claim" }] : []),
  ];
  return (
    <figure class="claim-picture">
      <a href={formatRoute("view", { asset: cited.asset.asset, box: claim.box?.join() })}>
        <BoxedPicture
          asset={cited.asset.asset}
          maxEdge={1024}
          alt={cited.asset.caption ?? claim.text}
          boxes={boxes}
        />
      </a>
      <figcaption>
        {text("ask.legend")}:
        {claim.box && (
          <span class="legend claim">
            <span class="swatch" /> {text("ask.legend.claim")}
          </span>
        )}
        {[...new Set((claim.checks ?? []).filter((each) => each.boxes?.length).map((each) => each.outcome))].map(
          (outcome) => (
            <span key={outcome} class={`legend check ${outcome}`}>
              <span class="swatch" /> {text(`ask.legend.${outcome}`)}
            </span>
          ),
        )}
      </figcaption>
    </figure>
  );
}

function EvidenceItem({ evidence, source }: { evidence: Evidence; source?: string }) {
  const { text } = useApp();
  const { asset } = evidence;
  const place = placeOf(
    { asset: asset?.asset ?? "", ...asset, source: evidence.source ?? asset?.source ?? source },
    text,
  );
  const body = (
    <>
      {asset && (
        <BoxedPicture
          asset={asset.asset}
          maxEdge={evidence.box ? 320 : 0}
          alt={asset.caption ?? place}
          boxes={evidence.box && [{ box: evidence.box }]}
        />
      )}
      <span>
        <span class="badge">[{evidence.number}]</span> {place}{" "}
        {evidence.weak && <span class="badge">{text("ask.weak")}</span>}
        {evidence.text && <q>{evidence.text}</q>}
        {evidence.possible_injection && <em class="warning">{text("ask.injection")}</em>}
      </span>
    </>
  );
  return (
    <li class={evidence.weak ? "weak" : undefined}>
      {asset ? (
        <a href={formatRoute("view", { asset: asset.asset, box: evidence.box?.join() })}>{body}</a>
      ) : (
        body
      )}
    </li>
  );
}
