/** The place in the app is the fragment of its address, so that it can be kept and shared. */

import { useEffect, useState } from "preact/hooks";

export type View = "search" | "view" | "ask" | "atlas" | "manage";

export interface Route {
  view: View;
  params: URLSearchParams;
}

const VIEWS: readonly View[] = ["search", "view", "ask", "atlas", "manage"];

export function parseRoute(fragment: string): Route {
  const [name = "", query = ""] = fragment.replace(/^#\/?/, "").split("?", 2);
  const view = VIEWS.find((each) => each === name) ?? "search";
  return { view, params: new URLSearchParams(query) };
}

export function formatRoute(view: View, params: Record<string, string | string[] | undefined>) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== "") query.append(name, each);
    }
  }
  const text = query.toString();
  return `#/${view}${text && `?${text}`}`;
}

export function go(view: View, params: Record<string, string | string[] | undefined> = {}): void {
  location.hash = formatRoute(view, params);
}

export function useRoute(): Route {
  const [fragment, setFragment] = useState(location.hash);
  useEffect(() => {
    const changed = () => setFragment(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parseRoute(fragment);
}
