/** Runs a search and loads further pages while the person scrolls. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import type { ImageHit, TextHit } from "../connection/results";
import { useApp } from "../shared/context";
import { PAGE_SIZE } from "./query";

export type Hit = ImageHit | TextHit;

export interface SearchState {
  hits: Hit[];
  notes: string[];
  total?: number;
  /** True until the first page is here. */
  searching: boolean;
  more: boolean;
  milliseconds?: number;
}

interface Page {
  hits: Hit[];
  notes?: string[];
  collection?: string;
  total?: number;
  next_cursor?: string;
  timings_ms?: Record<string, number>;
}

const EMPTY: SearchState = { hits: [], notes: [], searching: false, more: false };

export function useSearch(
  call: { tool: string; args: Record<string, unknown> } | undefined,
): [SearchState, () => void] {
  const { connection, fail } = useApp();
  const [state, setState] = useState<SearchState>(EMPTY);
  const running = useRef<{ abort: AbortController; cursor?: string; busy: boolean } | undefined>(undefined);
  const key = call && JSON.stringify(call);

  const load = useCallback(async () => {
    const run = running.current;
    if (run === undefined || run.busy || call === undefined) return;
    run.busy = true;
    const args: Record<string, unknown> = { ...call.args, limit: PAGE_SIZE, detail: "detailed" };
    if (run.cursor) args.cursor = run.cursor;
    try {
      const page = await connection.call<Page>(call.tool, args, run.abort.signal);
      if (running.current !== run) return;
      run.cursor = page.next_cursor;
      run.busy = false;
      const hits = page.hits.map((hit) => ({ collection: page.collection, ...hit }));
      setState((old) => ({
        hits: args.cursor ? [...old.hits, ...hits] : hits,
        notes: [...new Set([...(args.cursor ? old.notes : []), ...(page.notes ?? [])])],
        total: page.total ?? (args.cursor ? old.total : undefined),
        searching: false,
        more: page.next_cursor !== undefined,
        milliseconds: args.cursor ? old.milliseconds : page.timings_ms?.total,
      }));
    } catch (error) {
      if (running.current !== run || run.abort.signal.aborted) return;
      setState((old) => ({ ...old, searching: false, more: false }));
      fail(error);
    }
  }, [key, connection]);

  useEffect(() => {
    setState({ ...EMPTY, searching: call !== undefined });
    if (call === undefined) return;
    const run = { abort: new AbortController(), busy: false };
    running.current = run;
    void load();
    return () => {
      running.current = undefined;
      run.abort.abort();
    };
  }, [load]);

  return [state, load];
}
