// Plain MCP in TypeScript: npm install @modelcontextprotocol/client openai
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import OpenAI from "openai";

const url = process.env.SIGHTLINE_URL; // without it, the program starts the server itself
const client = new Client({ name: "example", version: "1" });
await client.connect(url ? new StreamableHTTPClientTransport(new URL(url)) : new StdioClientTransport({ command: "sightline", args: ["serve"] }));
const functions = (await client.listTools()).tools.map((t) => ({ name: t.name, description: t.description, parameters: t.inputSchema }));
const tools: any[] = functions.map((f) => ({ type: "function", function: f }));
const messages: any[] = [{ role: "user", content: "Which picture shows a bicycle? Look at it." }];
while (true) {
  const { message } = (await new OpenAI().chat.completions.create({ model: "gpt-4.1", messages, tools })).choices[0];
  messages.push(message);
  if (!message.tool_calls) { console.log(message.content); break; }
  for (const call of message.tool_calls as any[]) {
    const { content } = await client.callTool({ name: call.function.name, arguments: JSON.parse(call.function.arguments) }, { timeout: 60_000 });
    messages.push({ role: "tool", tool_call_id: call.id, content: (content[0] as any).text });
    const images = content.filter((b) => b.type === "image").map((b: any) => ({ type: "image_url", image_url: { url: `data:${b.mimeType};base64,${b.data}` } }));
    if (images.length) messages.push({ role: "user", content: images });
  }
}
await client.close();
