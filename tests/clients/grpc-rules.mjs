// Checks a server of any model by the rules of gRPC. Usage: node grpc-rules.mjs HOST:PORT TLS_HOST:PORT CERTIFICATE PROTO_ROOT COMPAT_PROTO_ROOT
import fs from "node:fs";
import grpc from "@grpc/grpc-js";
import { check, finish } from "./scenes.mjs";
import { drain, inference, load, unary } from "./grpc.mjs";

const [target, tlsTarget, certificate, root, compatRoot] = process.argv.slice(2);
const plain = grpc.credentials.createInsecure();
const client = inference(target, root, plain);
const { status } = grpc;
const user = [{ role: "user", content: "hi" }];
const refused = async (request, code, words) => {
  const { error } = await drain(client.Chat(request));
  check(error?.code === code && error.details.includes(words), `refused: ${words}`, error);
};

const models = (await unary(client, "ListModels", {})).answer?.models;
check(models?.some((model) => model.id === "deepseek-chat" && model.context_length > 0), "ListModels", models);
const tokens = (await unary(client, "Tokenize", { text: "hi" })).answer?.ids;
check(tokens?.length === 2, "Tokenize", tokens);
const raw = await drain(client.Generate({ tokens: { ids: tokens }, sampling: { max_tokens: 7, seed: 1 }, ignore_eos: true }));
check(!raw.error && raw.got.flatMap((chunk) => chunk.ids).length === 7 && raw.got.at(-1).finish_reason === "FINISH_REASON_LENGTH", "Generate from tokens", raw);
const text = await drain(client.Generate({ text: "hi", sampling: { max_tokens: 7, temperature: 0 }, ignore_eos: true }));
check(!text.error && text.got.at(-1).usage.completion_tokens === 7 && text.got.at(-1).usage.prompt_tokens === 3, "Generate from text, with BOS", text);

await refused({ messages: [] }, status.INVALID_ARGUMENT, "messages");
await refused({ messages: [{ role: "king", content: "x" }] }, status.INVALID_ARGUMENT, "messages[0].role");
await refused({ messages: [{ role: "assistant", content: "x" }] }, status.INVALID_ARGUMENT, "last message");
await refused({ messages: [...user, { role: "tool", content: "x" }] }, status.INVALID_ARGUMENT, "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'");
await refused({ messages: user, sampling: { temperature: NaN } }, status.INVALID_ARGUMENT, "temperature");
await refused({ messages: user, sampling: { temperature: 3 } }, status.INVALID_ARGUMENT, "temperature");
await refused({ messages: user, sampling: { top_p: 0 } }, status.INVALID_ARGUMENT, "top_p");
await refused({ messages: user, sampling: { max_tokens: 0 } }, status.INVALID_ARGUMENT, "max_tokens");
await refused({ messages: user, sampling: { max_tokens: -5 } }, status.INVALID_ARGUMENT, "max_tokens");
await refused({ messages: user, sampling: { stop: Array(17).fill("a") } }, status.INVALID_ARGUMENT, "stop");
await refused({ messages: user, tools: [{ name: "f", parameters: "{" }] }, status.INVALID_ARGUMENT, "tools[0].parameters");
await refused({ messages: user, tools: [{ name: "a b" }] }, status.INVALID_ARGUMENT, "tools[0].function.name");
await refused({ messages: [{ role: "user", content: "x".repeat(20000) }] }, status.INVALID_ARGUMENT, "maximum context length");
await refused({ messages: user, model: "nobody" }, status.NOT_FOUND, "nobody");
await refused({ messages: [{ role: "user", content: "x".repeat(5 << 20) }] }, status.RESOURCE_EXHAUSTED, "message");
let seen = await drain(client.Generate({ sampling: { max_tokens: 1 } }));
check(seen.error?.code === status.INVALID_ARGUMENT && seen.error.details.includes("prompt"), "Generate without a prompt", seen);
seen = await drain(client.Generate({ tokens: { ids: [1, 99999] }, sampling: { max_tokens: 1 } }));
check(seen.error?.code === status.INVALID_ARGUMENT, "a token outside the vocabulary", seen);
seen = await unary(client, "Tokenize", { text: "x", model: "nobody" });
check(seen.error?.code === status.NOT_FOUND, "unknown model of a unary call", seen);

const long = { text: "long", sampling: { max_tokens: 14000, temperature: 0 }, ignore_eos: true };
seen = await drain(client.Generate(long, new grpc.Metadata(), { deadline: Date.now() + 300 }));
check(seen.error?.code === status.DEADLINE_EXCEEDED, "deadline", seen.error);
const call = client.Generate(long);
call.once("data", () => call.cancel());
seen = await drain(call);
check(seen.error?.code === status.CANCELLED, "cancellation", seen.error);

const packed = inference(target, root, plain, { "grpc.default_compression_algorithm": 2 });
seen = await unary(packed, "Tokenize", { text: "pack ".repeat(1000) });
check(seen.answer?.ids.length === 5000, "gzip in both directions", seen.error);

const secure = inference(tlsTarget, root, grpc.credentials.createSsl(fs.readFileSync(certificate)), { "grpc.ssl_target_name_override": "localhost" });
seen = await unary(secure, "ListModels", {});
check(seen.answer?.models.length > 0, "TLS", seen.error);

const health = new (load(compatRoot, "grpc/health/v1/health.proto").grpc.health.v1.Health)(target, plain);
const until = Date.now() + 240_000;
do seen = await unary(health, "Check", { service: "" });
while (seen.answer?.status !== "SERVING" && Date.now() < until && (await new Promise((resolve) => setTimeout(resolve, 200)), true));
check(seen.answer?.status === "SERVING", "health", seen);

const reflection = new (load(compatRoot, "grpc/reflection/v1/reflection.proto").grpc.reflection.v1.ServerReflection)(target, plain);
const talk = reflection.ServerReflectionInfo();
const answers = drain(talk);
talk.write({ list_services: "" });
talk.write({ file_containing_symbol: "conclave.v1.Inference" });
talk.end();
const [list, file] = (await answers).got;
const services = list?.list_services_response?.service.map((service) => service.name);
check(["conclave.v1.Inference", "grpc.health.v1.Health"].every((name) => services?.includes(name)), "reflection lists the services", services);
check(file?.file_descriptor_response?.file_descriptor_proto.some((proto) => proto.includes("conclave.v1")), "reflection gives the file", file);
finish();
