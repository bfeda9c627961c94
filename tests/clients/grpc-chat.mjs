// Talks to a server of the demo model through gRPC with the client of npm. Usage: node grpc-chat.mjs HOST:PORT PROTO_ROOT
import grpc from "@grpc/grpc-js";
import { check, finish, sum, weather, who } from "./scenes.mjs";
import { inference, drain } from "./grpc.mjs";

const client = inference(process.argv[2], process.argv[3], grpc.credentials.createInsecure());
const user = (content) => ({ role: "user", content });
const sampling = { temperature: 0, max_tokens: 300 };

async function chat(request) {
  const { got, error } = await drain(client.Chat({ sampling, ...request }));
  const join = (name) => got.map((chunk) => chunk[name]).join("");
  return { error, first: got[0]?.content, content: join("content"), reasoning: join("reasoning_content"), calls: got.flatMap((chunk) => chunk.tool_calls), last: got.at(-1) };
}

const plain = await chat({ messages: [user(who.question)] });
check(!plain.error && plain.content.includes(who.holds) && plain.first.length < plain.content.length, "streamed chat, the beginning before the end", plain);
check(plain.last?.finish_reason === "FINISH_REASON_STOP" && plain.last.usage.completion_tokens > 0 && plain.reasoning === "", "end and usage", plain);

const thought = await chat({ messages: [user(sum.question)], thinking: true });
check(thought.reasoning.length > 0 && thought.content.includes(sum.holds) && !thought.content.includes("</think>"), "thinking", thought);
check(thought.last?.usage.reasoning_tokens > 0, "reasoning is counted", thought);

const tools = [{ name: weather.name, description: weather.description, parameters: JSON.stringify(weather.parameters) }];
const asked = await chat({ messages: [user(weather.question)], tools });
const call = asked.calls[0];
check(asked.last?.finish_reason === "FINISH_REASON_TOOL_CALLS" && call?.name === weather.name, "tool call", asked);
check(call && JSON.stringify(JSON.parse(call.arguments)) === JSON.stringify(weather.arguments), "arguments of the call", asked);
const messages = [user(weather.question), { role: "assistant", tool_calls: asked.calls }, { role: "tool", tool_call_id: call?.id, content: weather.result }];
const answered = await chat({ messages, tools });
check(answered.content.includes(weather.holds) && answered.last?.finish_reason === "FINISH_REASON_STOP", "answer from the tool's result", answered);
finish();
