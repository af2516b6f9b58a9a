/** A chat for tests: the reference host bridge of MCP Apps, with a real client of the server. */

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

interface Host {
  /** What the app gave the model. */
  told: string[];
  theme: "dark" | "light";
  show(tool: string, args: Record<string, unknown>): Promise<void>;
}

const APP = "ui://sightline/app.html";

const host: Host = {
  told: [],
  theme: "dark",
  async show(tool, args) {
    const client = new Client({ name: "test-host", version: "1.0.0" });
    await client.connect(new StreamableHTTPClientTransport(new URL("mcp", location.origin)));
    const { contents } = await client.readResource({ uri: APP });
    const [page] = contents as { text?: string; mimeType?: string }[];
    if (page?.mimeType !== "text/html;profile=mcp-app") throw new Error("not an app");
    const result = await client.callTool({ name: tool, arguments: args });
    const { tools } = await client.listTools();
    const info = tools.find((each) => each.name === tool);
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.style.cssText = "width: 1000px; height: 800px";
    document.body.append(frame);
    const bridge = new AppBridge(
      client,
      { name: "test-host", version: "1.0.0" },
      { serverTools: {}, serverResources: {}, updateModelContext: { text: {} } },
      { hostContext: { theme: host.theme, toolInfo: { id: 1, tool: info as never } } },
    );
    bridge.onupdatemodelcontext = async ({ content }) => {
      host.told.push(JSON.stringify(content));
      return {};
    };
    bridge.oninitialized = () => {
      void bridge.sendToolInput({ arguments: args });
      void bridge.sendToolResult(result as never);
    };
    const target = frame.contentWindow;
    if (target === null) throw new Error("no frame");
    await bridge.connect(new PostMessageTransport(target, target));
    frame.srcdoc = page.text ?? "";
  },
};

Object.assign(window, { host });
