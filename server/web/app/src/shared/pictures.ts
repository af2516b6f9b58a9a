/** Pictures by asset: loads few at once, keeps the recent ones, aborts those nobody shows. */

import { useEffect, useState } from "preact/hooks";

import type { Connection, PictureRequest } from "../connection/connection";
import { useApp } from "./context";

const MAX_CONCURRENT = 6;
const MAX_KEPT = 400;

interface Entry {
  url: Promise<string>;
  abort: AbortController;
  users: number;
  loaded: boolean;
}

export class PictureCache {
  private readonly entries = new Map<string, Entry>();
  private readonly waiting: (() => void)[] = [];
  private running = 0;

  constructor(private readonly connection: Connection) {}

  /** Returns an object URL. Call `release` when it is no longer shown. */
  acquire(request: PictureRequest): Promise<string> {
    const key = keyOf(request);
    let entry = this.entries.get(key);
    if (entry === undefined) {
      const abort = new AbortController();
      const created: Entry = { url: Promise.resolve(""), abort, users: 0, loaded: false };
      created.url = this.load(request, abort.signal).then(
        (blob) => {
          created.loaded = true;
          return URL.createObjectURL(blob);
        },
        (error: unknown) => {
          if (this.entries.get(key) === created) this.entries.delete(key);
          throw error;
        },
      );
      entry = created;
    } else this.entries.delete(key); // the newest is the last
    this.entries.set(key, entry);
    entry.users++;
    this.evict();
    return entry.url;
  }

  release(request: PictureRequest): void {
    const key = keyOf(request);
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    entry.users--;
    if (entry.users === 0 && !entry.loaded) {
      this.entries.delete(key);
      entry.abort.abort();
    }
  }

  private async load(request: PictureRequest, signal: AbortSignal): Promise<Blob> {
    if (this.running >= MAX_CONCURRENT) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.running++;
    try {
      signal.throwIfAborted();
      return await this.connection.picture(request, signal);
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.running--;
    }
  }

  private evict(): void {
    for (const [key, entry] of this.entries) {
      if (this.entries.size <= MAX_KEPT) return;
      if (entry.users > 0 || !entry.loaded) continue;
      this.entries.delete(key);
      void entry.url.then((url) => URL.revokeObjectURL(url));
    }
  }
}

function keyOf({ asset, maxEdge, crop }: PictureRequest): string {
  return JSON.stringify([asset, maxEdge, crop ?? null]);
}

export interface Picture {
  url?: string;
  error?: string;
}

/** Loads a picture while the component is shown. */
export function usePicture(request: PictureRequest | undefined): Picture {
  const { pictures } = useApp();
  const [picture, setPicture] = useState<Picture & { key?: string }>({});
  const key = request && keyOf(request);
  useEffect(() => {
    if (request === undefined) return;
    let shown = true;
    pictures.acquire(request).then(
      (url) => shown && setPicture({ url, key }),
      (error: unknown) => shown && setPicture({ error: String((error as Error).message), key }),
    );
    return () => {
      shown = false;
      pictures.release(request);
    };
  }, [key, pictures]);
  return picture.key === key ? picture : {};
}
