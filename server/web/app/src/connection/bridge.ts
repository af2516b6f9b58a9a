/** The app inside a chat: tools are called through the host (MCP Apps). */

import { App, PostMessageTransport } from "@modelcontextprotocol/ext-apps";

import { type Connection, type PictureRequest, readResult, ToolError, trim } from "./connection";

/** Smallest `max_edge` of view_image. */
const MIN_EDGE = 64;

export interface HostResult {
  tool: string;
  args: Record<string, unknown>;
  /** Blocks of the result that the model received. */
  result: { content?: unknown; isError?: boolean };
}

interface ImageBlock {
  type: string;
  data?: string;
  mimeType?: string;
}

export class BridgeConnection implements Connection {
  private constructor(private readonly app: App) {}

  /** Connects to the host; `onResult` receives each result of the tool that opened the app. */
  static async open(onResult: (result: HostResult) => void): Promise<BridgeConnection> {
    const app = new App({ name: "sightline", version: "1.0.0" }, {});
    let args: Record<string, unknown> = {};
    app.ontoolinput = (params) => {
      args = params.arguments ?? {};
    };
    app.ontoolresult = (result) => {
      const tool = app.getHostContext()?.toolInfo?.tool.name ?? "";
      onResult({ tool, args, result });
    };
    app.onhostcontextchanged = () => showTheme(app);
    await app.connect(new PostMessageTransport(window.parent, window.parent));
    showTheme(app);
    return new BridgeConnection(app);
  }

  async call<Result>(tool: string, args: Record<string, unknown>): Promise<Result> {
    return readResult<Result>(await this.callRaw(tool, args));
  }

  async picture(request: PictureRequest): Promise<Blob> {
    if (this.app.getHostCapabilities()?.serverResources) return this.resource(request);
    if (request.crop) throw new ToolError("The host passes on no parts of pictures.");
    const result = await this.callRaw("view_image", {
      asset: request.asset,
      max_edge: Math.max(request.maxEdge, MIN_EDGE),
      inline: true,
    });
    readResult(result); // throws the error of the tool
    const image = (result.content as ImageBlock[]).find((block) => block.type === "image");
    if (!image?.data) throw new ToolError("The host removed the image from the result.");
    return toBlob(image.data, image.mimeType ?? "image/jpeg");
  }

  private async resource({ asset, maxEdge, crop }: PictureRequest): Promise<Blob> {
    const part = crop ? `/crop/${crop.map(trim).join(",")}` : maxEdge === 0 ? "/thumbnail" : "";
    const uri = `sightline://asset/${encodeURIComponent(asset)}${part}`;
    let contents: readonly { blob?: unknown; mimeType?: string }[];
    try {
      ({ contents } = await this.app.readServerResource({ uri }));
    } catch (error) {
      throw new ToolError(error instanceof Error ? error.message : String(error));
    }
    const blob = contents[0]?.blob;
    if (typeof blob !== "string") throw new ToolError("The host sent no picture.");
    return toBlob(blob, contents[0]?.mimeType ?? "image/jpeg");
  }

  /** Gives the model what the person marked. It answers at its next turn. */
  async tellModel(text: string): Promise<void> {
    await this.app.updateModelContext({ content: [{ type: "text", text }] });
  }

  private async callRaw(tool: string, args: Record<string, unknown>) {
    try {
      return await this.app.callServerTool({ name: tool, arguments: args });
    } catch (error) {
      throw new ToolError(error instanceof Error ? error.message : String(error));
    }
  }
}

function showTheme(app: App): void {
  const theme = app.getHostContext()?.theme;
  if (theme) document.documentElement.dataset.theme = theme;
}

export function toBlob(base64: string, type: string): Blob {
  const text = atob(base64);
  return new Blob([Uint8Array.from(text, (character) => character.charCodeAt(0))], { type });
}
