// What every client asks the demo model, and what a sensible answer holds.
export const who = { question: "Who are you?", holds: "Conclave demo model" };
export const sum = { question: "What is 12 + 30?", holds: "42" };
export const weather = {
  question: "What's the weather in Paris?",
  name: "get_weather",
  description: "Get the weather of a city",
  parameters: { type: "object", properties: { city: { type: "string", description: "City name" } }, required: ["city"] },
  arguments: { city: "Paris" },
  result: '{"temperature": 21, "condition": "sunny"}',
  holds: "21",
};

let failed = 0;

export function check(holds, what, seen) {
  console.log(`${holds ? "ok  " : "FAIL"} ${what}${holds ? "" : `: ${JSON.stringify(seen)}`}`);
  if (!holds) failed++;
}

export function finish() {
  console.log(failed ? `${failed} failed` : "all hold");
  process.exit(failed ? 1 : 0);
}
