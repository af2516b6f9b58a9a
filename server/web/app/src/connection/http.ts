/** The app in a browser: an MCP client of the server that sent the page. */

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { type Connection, type PictureRequest, readResult, ToolError, trim } from "./connection";

const RETRIES = 1;

export class HttpConnection implements Connection {
  private client: Promise<Client> | undefined;

  /** `base` is the address of the page, which may have a path behind a proxy. */
  constructor(
    private readonly base: URL,
    private readonly token: string | undefined,
  ) {}

  async call<Result>(
    tool: string,
    args: Record<string, unknown>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const result = await this.request(
      (client) => client.callTool({ name: tool, arguments: args }, { signal }),
      isRead(tool),
      signal,
    );
    return readResult<Result>(result);
  }

  async readResource(uri: string, signal?: AbortSignal): Promise<string> {
    const { contents } = await this.request(
      (client) => client.readResource({ uri }, { signal }),
      true,
      signal,
    );
    const text = (contents[0] as { text?: unknown } | undefined)?.text;
    if (typeof text !== "string") throw new ToolError("The server sent no text.");
    return text;
  }

  private async request<Result>(
    send: (client: Client) => Promise<Result>,
    mayRepeat: boolean,
    signal?: AbortSignal,
  ): Promise<Result> {
    for (let attempt = 0; ; attempt++) {
      try {
        const client = await this.connected();
        return await send(client);
      } catch (error) {
        if (error instanceof ToolError || signal?.aborted) throw error;
        // A restarted server has forgotten the session. Reading twice is harmless, writing is not.
        void this.client?.then((client) => client.close()).catch(() => undefined);
        this.client = undefined;
        const refused = unauthorized(error);
        if (refused || attempt >= RETRIES || !mayRepeat) {
          throw new ToolError(refused ? "" : messageOf(error), refused);
        }
      }
    }
  }

  async picture(request: PictureRequest, signal?: AbortSignal): Promise<Blob> {
    const url = new URL(`assets/${encodeURIComponent(request.asset)}`, this.base);
    if (request.maxEdge === 0) url.pathname += "/thumbnail";
    else url.searchParams.set("max_edge", String(request.maxEdge));
    if (request.crop) url.searchParams.set("crop", request.crop.map(trim).join(","));
    return (await this.fetch(url, signal)).blob();
  }

  async media(asset: string): Promise<string> {
    const url = new URL(`assets/${encodeURIComponent(asset)}/media-link`, this.base);
    const link = (await (await this.fetch(url)).json()) as { url: string };
    return new URL(link.url, url).href;
  }

  private async fetch(url: URL, signal?: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(url, { headers: this.headers(), signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ToolError(messageOf(error));
    }
    if (!response.ok) {
      const body = (await response.json().catch(() => ({}))) as { error?: string };
      throw new ToolError(body.error ?? response.statusText, response.status === 401);
    }
    return response;
  }

  private connected(): Promise<Client> {
    this.client ??= this.connect();
    return this.client;
  }

  private async connect(): Promise<Client> {
    const client = new Client({ name: "sightline-web", version: "1.0.0" });
    const url = new URL("mcp?images=link", this.base);
    await client.connect(
      new StreamableHTTPClientTransport(url, { requestInit: { headers: this.headers() } }),
    );
    return client;
  }

  private headers(): Record<string, string> {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }
}

const WRITES = new Set(["add_images", "save_annotation", "delete_assets"]);

function isRead(tool: string): boolean {
  return !WRITES.has(tool);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function unauthorized(error: unknown): boolean {
  const { code, status, name } = error as { code?: unknown; status?: unknown; name?: string };
  return code === 401 || status === 401 || name === "UnauthorizedError";
}
