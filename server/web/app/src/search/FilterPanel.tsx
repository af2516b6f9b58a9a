/** Filters built from the keys of the chosen collection. */

import { useState } from "preact/hooks";

import type { Collection, MetadataKey } from "../connection/results";
import { useApp } from "../shared/context";
import type { Filter } from "./query";

const NUMERIC = new Set(["number", "integer", "float"]);
/** Keys of every collection. */
const COMMON: MetadataKey[] = [
  { key: "captured_at", type: "date", assets: 0, examples: [] },
  { key: "kind", type: "string", assets: 0, examples: ["image", "page", "frame"] },
  { key: "source", type: "string", assets: 0, examples: [] },
  { key: "page", type: "number", assets: 0, examples: [] },
];

export function FilterPanel(props: {
  collections: Collection[];
  collection: string;
  filters: Filter[];
  onChange(filters: Filter[]): void;
}) {
  const { text } = useApp();
  const keys = new Map(COMMON.map((each) => [each.key, each]));
  for (const { name, metadata_keys } of props.collections) {
    if (props.collection && name !== props.collection) continue;
    for (const each of metadata_keys ?? []) if (!keys.has(each.key)) keys.set(each.key, each);
  }
  const [chosen, setChosen] = useState("captured_at");
  const change = (index: number, changed: Partial<Filter>) =>
    props.onChange(
      props.filters.map((each, other) => (other === index ? { ...each, ...changed } : each)),
    );
  return (
    <fieldset class="filters">
      <legend>{text("filter.add")}</legend>
      {props.filters.map((filter, index) => (
        <FilterRow
          key={`${filter.key}${index}`}
          filter={filter}
          type={keys.get(filter.key)}
          onChange={(changed) => change(index, changed)}
          onRemove={() => props.onChange(props.filters.filter((_, other) => other !== index))}
        />
      ))}
      <div class="row">
        <label>
          {text("filter.key")}
          <select value={chosen} onChange={(event) => setChosen(event.currentTarget.value)}>
            {[...keys.keys()].map((key) => (
              <option key={key} value={key}>
                {key === "captured_at" ? text("filter.date") : key}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          onClick={() =>
            props.onChange([
              ...props.filters,
              { key: chosen, numeric: NUMERIC.has(keys.get(chosen)?.type ?? "") },
            ])
          }
        >
          {text("filter.add")}
        </button>
      </div>
    </fieldset>
  );
}

function FilterRow(props: {
  filter: Filter;
  type?: MetadataKey;
  onChange(changed: Partial<Filter>): void;
  onRemove(): void;
}) {
  const { text } = useApp();
  const { filter, type } = props;
  const isDate = type?.type === "date";
  const list = `examples-${filter.key}`;
  const field = (name: "from" | "to" | "value", kind: "date" | "number" | "text") => (
    <label>
      {text(`filter.${name}`)}
      <input
        type={kind}
        step={kind === "number" ? "any" : undefined}
        value={filter[name] ?? ""}
        list={name === "value" ? list : undefined}
        onChange={(event) => props.onChange({ [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <div class="row" role="group" aria-label={filter.key}>
      <strong>{isDate ? text("filter.date") : filter.key}</strong>
      {isDate || filter.numeric ? (
        <>
          {field("from", isDate ? "date" : "number")}
          {field("to", isDate ? "date" : "number")}
        </>
      ) : (
        field("value", "text")
      )}
      <datalist id={list}>
        {type?.examples.map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <button
        type="button"
        class="quiet"
        aria-label={text("filter.remove", { key: filter.key })}
        onClick={props.onRemove}
      >
        ✕
      </button>
    </div>
  );
}
