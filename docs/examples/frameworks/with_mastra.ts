// Mastra: npm install @mastra/core @mastra/mcp @ai-sdk/openai
import { openai } from "@ai-sdk/openai";
import { Agent } from "@mastra/core/agent";
import { MCPClient } from "@mastra/mcp";

const url = process.env.MCP_URL; // without it, the program starts the server itself
const server = url ? { url: new URL(url) } : { command: "sightline", args: ["serve"] };
const client = new MCPClient({ servers: { sightline: server }, timeout: 60_000 });
const tools = await client.listTools();
const part = (b: any) => b.type === "image" ? { type: "media", data: b.data, mediaType: b.mimeType } : { type: "text", text: b.text };
for (const tool of Object.values(tools)) // without this, Mastra sends images as text
  tool.toModelOutput = (result: any) => result.content ? { type: "content", value: result.content.map(part) } : { type: "json", value: result };
const agent = new Agent({
  id: "librarian",
  name: "Librarian",
  instructions: "Find pictures.",
  model: openai("gpt-4.1"),
  tools,
});
const answer = await agent.generate("Which picture shows a bicycle? Look at it.", { maxSteps: 10 });
console.log(answer.text);
await client.disconnect();
