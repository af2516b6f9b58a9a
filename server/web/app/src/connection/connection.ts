/** What the app needs from the server, in a browser and inside a chat. */

import type { Box } from "./results";

export interface PictureRequest {
  asset: string;
  /** Longer edge in pixels; 0 asks for the stored thumbnail. */
  maxEdge: number;
  crop?: Box;
}

export interface Connection {
  /** Calls a tool and returns the JSON of its result. Throws ToolError. */
  call<Result>(tool: string, args: Record<string, unknown>, signal?: AbortSignal): Promise<Result>;
  /** Returns a JPEG. Throws ToolError. */
  picture(request: PictureRequest, signal?: AbortSignal): Promise<Blob>;
  /** Returns the address of the original video or sound, for some minutes; absent in a chat. */
  media?(asset: string): Promise<string>;
  /** Returns the text of a resource; absent in a chat. Throws ToolError. */
  readResource?(uri: string, signal?: AbortSignal): Promise<string>;
}

/** A tool refused the call, or the server could not be reached. */
export class ToolError extends Error {
  constructor(
    message: string,
    /** True if the server wants another bearer token. */
    readonly needsToken = false,
  ) {
    super(message);
  }
}

/** Removes values that mean "not given", so that a copied call is short. */
export function compact(args: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(args).filter(
      ([, value]) =>
        value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0),
    ),
  );
}

interface TextBlock {
  type: string;
  text?: string;
}

/** Reads the first text block of a tool result, which is the whole result as JSON. */
export function readResult<Result>(result: { content?: unknown; isError?: boolean }): Result {
  const blocks = (Array.isArray(result.content) ? result.content : []) as TextBlock[];
  const text = blocks.find((block) => block.type === "text")?.text ?? "";
  if (result.isError) throw new ToolError(text || "The server gave no reason.");
  try {
    return JSON.parse(text) as Result;
  } catch {
    throw new ToolError("The server sent a result that is not JSON.");
  }
}

/** A number of a box, with the digits that matter. */
export function trim(value: number): string {
  return String(Number(value.toFixed(6)));
}
