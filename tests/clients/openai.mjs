// Talks to a server of the demo model with the official client of npm. Usage: node openai.mjs BASE_URL
import OpenAI from "openai";
import { check, finish, sum, weather, who } from "./scenes.mjs";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const greedy = { temperature: 0, max_tokens: 300 };

const models = (await client.models.list()).data.map((model) => model.id);
check(models.includes("deepseek-chat"), "list of models", models);

const plain = await client.chat.completions.create({ model: "deepseek-chat", messages: user(who.question), ...greedy });
check(plain.choices[0].message.content.includes(who.holds), "chat", plain);
check(plain.choices[0].finish_reason === "stop" && plain.usage.total_tokens === plain.usage.prompt_tokens + plain.usage.completion_tokens, "end and usage", plain);
check(plain.choices[0].message.reasoning_content === undefined, "no reasoning unless asked for", plain);

async function collect(request) {
  const seen = { content: "", reasoning: "", calls: [], finish: null, usage: null, pieces: [] };
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
    seen.usage = chunk.usage ?? seen.usage;
    const choice = chunk.choices[0];
    if (!choice) continue;
    seen.content += choice.delta.content ?? "";
    if (choice.delta.content) seen.pieces.push(choice.delta.content);
    seen.reasoning += choice.delta.reasoning_content ?? "";
    seen.calls.push(...(choice.delta.tool_calls ?? []));
    seen.finish = choice.finish_reason ?? seen.finish;
  }
  return seen;
}

const streamed = await collect({ model: "deepseek-chat", messages: user(who.question), ...greedy, stream_options: { include_usage: true } });
check(streamed.content === plain.choices[0].message.content && streamed.pieces.length > 1, "streamed chat, the beginning before the end", streamed);
check(streamed.usage?.completion_tokens === plain.usage.completion_tokens && streamed.finish === "stop", "usage of a stream", streamed);

const thought = await client.chat.completions.create({ model: "deepseek-reasoner", messages: user(sum.question), ...greedy });
check(thought.choices[0].message.reasoning_content.length > 0 && thought.choices[0].message.content.includes(sum.holds), "thinking", thought);
check(!thought.choices[0].message.content.includes("</think>") && thought.usage.completion_tokens_details.reasoning_tokens > 0, "reasoning apart from the answer", thought);
const thinking = await collect({ model: "deepseek-reasoner", messages: user(sum.question), ...greedy });
check(thinking.reasoning === thought.choices[0].message.reasoning_content && thinking.content === thought.choices[0].message.content, "streamed thinking", thinking);

const tools = [{ type: "function", function: { name: weather.name, description: weather.description, parameters: weather.parameters } }];
const asked = await client.chat.completions.create({ model: "deepseek-chat", messages: user(weather.question), tools, ...greedy });
const call = asked.choices[0].message.tool_calls?.[0];
check(asked.choices[0].finish_reason === "tool_calls" && call?.function.name === weather.name && call.id.startsWith("call_"), "tool call", asked);
check(call && JSON.stringify(JSON.parse(call.function.arguments)) === JSON.stringify(weather.arguments), "arguments of the call", asked);
const streamedCall = await collect({ model: "deepseek-chat", messages: user(weather.question), tools, ...greedy });
check(streamedCall.finish === "tool_calls" && streamedCall.calls.length === 1 && streamedCall.calls[0].function.arguments === call?.function.arguments, "streamed tool call", streamedCall);
const told = [...user(weather.question), asked.choices[0].message, { role: "tool", tool_call_id: call?.id, content: weather.result }];
const answered = await client.chat.completions.create({ model: "deepseek-chat", messages: told, tools, ...greedy });
check(answered.choices[0].message.content.includes(weather.holds) && answered.choices[0].finish_reason === "stop", "answer from the tool's result", answered);

const error = await client.chat.completions.create({ model: "nobody", messages: user("x") }).then(() => null, (e) => e);
check(error instanceof OpenAI.BadRequestError && error.message.includes("Model Not Exist"), "unknown model", error?.message);
const started = await client.chat.completions.create({ model: "deepseek-chat", messages: user("Tell a story about a turtle."), max_tokens: 1000, stream: true });
for await (const chunk of started) if (chunk.choices[0]?.delta.content) break;
check(started.controller.signal.aborted, "a stream that is left early is hung up", null);
finish();
