// Vercel AI SDK: npm install ai @ai-sdk/mcp @ai-sdk/openai
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as StdioTransport } from "@ai-sdk/mcp/mcp-stdio";
import { openai } from "@ai-sdk/openai";
import { generateText, stepCountIs } from "ai";

const url = process.env.MCP_URL; // without it, the program starts the server itself
const stdio = () => new StdioTransport({ command: "sightline", args: ["serve"] });
const client = await createMCPClient({
  transport: url ? { type: "http", url } : stdio(),
  protocolVersionDiscovery: false, // it waits only 1 s for a server that starts
});
const { text } = await generateText({
  model: openai("gpt-4.1"),
  tools: await client.tools(),
  stopWhen: stepCountIs(10),
  prompt: "Which picture shows a bicycle? Look at it.",
});
console.log(text);
await client.close();
