import { useState } from "preact/hooks";

import { useApp } from "./context";

export function TokenForm(props: { wrong: boolean; onToken(token: string): void }) {
  const { text } = useApp();
  const [value, setValue] = useState("");
  return (
    <form
      class="card token"
      onSubmit={(event) => {
        event.preventDefault();
        props.onToken(value.trim());
      }}
    >
      <h1>{text("token.title")}</h1>
      {props.wrong && <p class="warning">{text("token.wrong")}</p>}
      <p>{text("token.why")}</p>
      <label>
        {text("token.title")}
        <input
          type="password"
          required
          autoComplete="off"
          value={value}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
      </label>
      <p class="hint">{text("token.keep")}</p>
      <button type="submit" class="primary">
        {text("token.use")}
      </button>
    </form>
  );
}
