// Plain MCP in TypeScript: npm install @modelcontextprotocol/client openai
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import OpenAI from "openai";

const url = process.env.MCP_URL; // without it, the program starts the server itself
const stdio = () => new StdioClientTransport({ command: "sightline", args: ["serve"] });
const client = new Client({ name: "example", version: "1" });
await client.connect(url ? new StreamableHTTPClientTransport(new URL(url)) : stdio());
const declare = (t: any) => ({ type: "function", name: t.name, description: t.description, parameters: t.inputSchema, strict: false });
const image = (b: any) => ({ type: "input_image", image_url: `data:${b.mimeType};base64,${b.data}` });
const part = (b: any) => (b.type === "image" ? image(b) : { type: "input_text", text: b.text });
const tools: any[] = (await client.listTools()).tools.map(declare);
const input: any[] = [{ role: "user", content: "Which picture shows a bicycle? Look at it." }];
while (input.at(-1).role !== "assistant") {
  const { output } = await new OpenAI().responses.create({ model: "gpt-4.1", input, tools });
  input.push(...output);
  for (const call of output.filter((item) => item.type === "function_call")) {
    const request = { name: call.name, arguments: JSON.parse(call.arguments) };
    const { content } = await client.callTool(request, { timeout: 60_000 });
    input.push({ type: "function_call_output", call_id: call.call_id, output: content.map(part) });
  }
}
console.log(input.at(-1).content[0].text);
await client.close();
