"""Tool conversations: tools with varying names and schemas, calls, results and answers."""
import json

VERBS = "get fetch lookup check find query read show request".split()
# kind: (nouns, parameters (aliases, type, description), requests, descriptions); {0}, {1}: the argument values
KINDS = {
    "weather": (["weather", "current_weather", "forecast", "weather_report", "temperature"],
                [(["city", "location", "place", "town"], "city", ["City name", "The city", "Name of the city", "City, e.g. Paris"])],
                ["What's the weather in {0}?", "What is the weather like in {0}?", "How is the weather in {0}?", "Weather in {0}?",
                 "Is it raining in {0}?", "Will I need an umbrella in {0}?", "Tell me the weather for {0}.", "How warm is it in {0}?",
                 "What's the weather in {0} today?", "Please check the weather in {0}."],
                ["Get the weather of a city", "Get current weather", "Returns the weather for a place", "Current weather in a given city"]),
    "time": (["time", "local_time", "current_time", "clock"],
             [(["city", "timezone", "location", "place"], "city", ["City name", "Where", "The place"])],
             ["What time is it in {0}?", "What's the time in {0}?", "Tell me the time in {0}.", "Time in {0}?", "How late is it in {0}?"],
             ["Get the local time", "Current time of a city", "Tells the time in a place"]),
    "currency": (["exchange", "currency", "conversion", "rate"],
                 [(["amount", "value", "sum"], "int", ["Amount to convert", "How much"]),
                  (["from", "source", "from_currency"], "cur", ["Source currency", "Currency code"]),
                  (["to", "target", "to_currency"], "cur", ["Target currency", "Currency code"])],
                 ["Convert {0} {1} to {2}.", "How much is {0} {1} in {2}?", "What are {0} {1} in {2}?", "Change {0} {1} into {2} please."],
                 ["Convert money", "Convert an amount between currencies", "Currency conversion"]),
    "search": (["search", "web_search", "documents", "articles", "wiki"],
               [(["query", "q", "text", "search_term"], "topic", ["Search query", "What to search for", "The text to look for"])],
               ["Search for {0}.", "Look up {0}.", "Find something about {0}.", "Search the web for {0}", "Can you search for {0}?"],
               ["Search the web", "Full-text search", "Finds documents"]),
    "order": (["order", "order_status", "shipment", "package", "invoice", "ticket"],
              [(["id", "order_id", "number", "orderId", "key"], "code", ["Order id", "The id", "Identifier"])],
              ["Where is my order {0}?", "What is the status of order {0}?", "Check order {0}.", "Has {0} been shipped?", "Look up order {0} please."],
              ["Look up an order", "Status of an order by id", "Find an order"]),
    "stock": (["stock_price", "quote", "stock", "share_price"],
              [(["symbol", "ticker", "code"], "ticker", ["Ticker symbol", "Stock symbol"])],
              ["What is the price of {0}?", "How is {0} doing?", "Stock price of {0}?", "Get me a quote for {0}."],
              ["Get a stock price", "Price of a share"]),
    "translate": (["translation", "translate", "translate_text"],
                  [(["text", "input", "phrase"], "word", ["Text to translate"]), (["language", "target", "to"], "lang", ["Target language"])],
                  ["Translate '{0}' to {1}.", "How do you say '{0}' in {1}?", "What is '{0}' in {1}?"],
                  ["Translate text", "Translates a text into a language"]),
    "email": (["email", "message", "mail", "notify"],
              [(["to", "recipient", "name"], "person", ["Who gets it", "Recipient"]), (["subject", "text", "body", "message"], "topic", ["The text"])],
              ["Send {0} a message about {1}.", "Write to {0} about {1}.", "Tell {0} about {1}."],
              ["Send a message", "Sends an email"]),
    "timer": (["timer", "alarm", "countdown"],
              [(["minutes", "duration", "time"], "int", ["Minutes", "How long in minutes"])],
              ["Set a timer for {0} minutes.", "Start a {0} minute timer.", "Wake me up in {0} minutes."],
              ["Set a timer", "Starts a countdown"]),
    "user": (["user", "customer", "profile", "contact", "account"],
             [(["name", "user", "username", "who"], "person", ["Name of the user", "The name"])],
             ["Look up the user {0}.", "Who is {0}?", "Find the customer {0}.", "Show me the profile of {0}.", "What do we know about {0}?"],
             ["Find a user", "Look up a customer by name"]),
    "calculator": (["calculator", "calculate", "evaluate", "math"],
                   [(["expression", "formula", "input"], "sum", ["Expression to evaluate", "Arithmetic expression"])],
                   ["What is {0}?", "Calculate {0}.", "Use the calculator for {0}.", "Compute {0}"],
                   ["Evaluate an arithmetic expression", "A calculator"]),
    "music": (["song", "music", "play_song", "playlist"],
              [(["title", "song", "track"], "topic", ["Title of the song"])],
              ["Play {0}.", "I want to hear {0}.", "Put on {0} please."], ["Play a song", "Plays music"]),
}


def value_of(r, texts, kind):
    """A random argument value."""
    return {"city": lambda: texts.city(r), "int": lambda: r.choice([r.randint(1, 99), r.randint(1, 20) * 5, r.randint(100, 9999)]),
            "cur": lambda: r.choice(texts.CURRENCIES), "code": lambda: texts.code(r),
            "topic": lambda: r.choice([r.choice(texts.COLORS) + " " + r.choice(texts.THINGS), r.choice(texts.HOBBIES) + " in " + texts.city(r),
                                       r.choice(texts.ADJECTIVES) + " " + r.choice(texts.ANIMALS) + "s", "the " + texts.made_up(r), texts.made_up(r)]),
            "ticker": lambda: "".join(r.choice(texts.CODES) for _ in range(r.randint(3, 4))),
            "word": lambda: r.choice(["hello", "thank you", "good morning", r.choice(texts.THINGS), "the " + r.choice(texts.ANIMALS), texts.made_up(r)]),
            "lang": lambda: r.choice(texts.LANGUAGES), "person": lambda: texts.person(r),
            "sum": lambda: f"{r.randint(2, 999)} {r.choice('+-*')} {r.randint(2, 999)}"}[kind]()


def style(r, words):
    """snake_case, camelCase or kebab-case."""
    parts = "_".join(words).split("_")
    x = r.random()
    if x < 0.7:
        return "_".join(parts)
    return parts[0] + "".join(w.capitalize() for w in parts[1:]) if x < 0.9 else "-".join(parts)


def make_tool(r, texts, kind):
    """A tool (OpenAI shape) of the kind, with its parameter names in order of the request's slots."""
    if kind == "made_up":
        params = [(texts.made_up(r), r.choice(["topic", "code", "int", "person", "city"])) for _ in range(r.randint(1, 2))]
        if len(params) == 2 and params[0][0] == params[1][0]:
            params.pop()
        name = style(r, [texts.made_up(r)] + ([texts.made_up(r)] if r.random() < 0.5 else []))
        described = [""] * len(params)
        description = r.choice(["A tool", "Does " + texts.made_up(r), "Internal function", ""])
    else:
        nouns, slots, _, descriptions = KINDS[kind]
        params = [(r.choice(aliases), k) for aliases, k, _ in slots]
        described = [r.choice(d) for _, _, d in slots]
        noun = r.choice(nouns)
        verb = {"timer": ["set", "start"], "email": ["send", "write"], "music": ["play", "start"]}.get(kind, VERBS)
        name = style(r, [noun] if r.random() < 0.25 else [r.choice(verb), noun])
        description = r.choice(descriptions) + r.choice(["", "", "."])
    schema = {"type": "object", "properties": {}}
    for (p, k), d in zip(params, described):
        schema["properties"][p] = {"type": "integer" if k == "int" else "string"}
        if d and r.random() < 0.6:
            schema["properties"][p]["description"] = d
    if r.random() < 0.3 and kind == "weather":
        schema["properties"]["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    if r.random() < 0.75:
        schema["required"] = [p for p, _ in params]
    if r.random() < 0.15:
        schema["additionalProperties"] = False
    tool = {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
    return tool, params


def request(r, texts, kind, tool, params):
    """The user's wording and the list of calls it needs."""
    name = tool["function"]["name"]
    values = [value_of(r, texts, k) for _, k in params]
    calls = [{"name": name, "arguments": {p: v for (p, _), v in zip(params, values)}}]
    if kind == "made_up":
        how = r.choice(["Use {f} with {a}.", "Call {f} with {a}.", "Run {f}: {a}", "Please call the tool {f} with {a}."])
        text = how.format(f=name, a=" and ".join(f"{p} " + r.choice(["set to ", "= ", "", ""]) + str(v) for (p, _), v in zip(params, values)))
    elif kind in ("weather", "time") and r.random() < 0.2:
        other = value_of(r, texts, "city")
        calls.append({"name": name, "arguments": {params[0][0]: other}})
        text = r.choice([f"What's the {kind} in {{}} and {{}}?", f"Compare the {kind} in {{}} and {{}}.", f"Tell me the {kind} in {{}} and in {{}}."]).format(values[0], other)
    else:
        text = r.choice(KINDS[kind][2]).format(*values)
        if r.random() < 0.1:
            text += f" Use {name}."
    if r.random() < 0.1:
        text = r.choice(["Hi! ", "Hello, ", "Please help me. ", "One more thing: "]) + text
    return text, calls


def result_of(r, texts, kind, call):
    """A tool's result (text) and the answer with the words it must contain."""
    args = list(call["arguments"].values())
    n, extra = r.randint(-10, 39), {}
    if kind == "weather":
        t = r.choice(["temperature", "temp", "temperature_c", "degrees"])
        c = r.choice(["condition", "conditions", "sky", "weather", "description"])
        data = {t: n, c: r.choice(texts.CONDITIONS)}
        if r.random() < 0.3:
            data = {"city": args[0], **data}
        if r.random() < 0.3:
            extra = {r.choice(["humidity", "wind", "wind_speed"]): r.randint(1, 99)}
        answer = f"The weather in {args[0]}: {n} degrees and {data[c]}" + "".join(f", {k} {v}" for k, v in extra.items()) + "."
        return json.dumps({**data, **extra}), answer, [str(n), data[c]]
    if kind == "time":
        value = f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}"
        data = r.choice([{"time": value}, {"city": args[0], "time": value}, {"local_time": value}, value])
        return json.dumps(data) if isinstance(data, dict) else data, f"It is {value} in {args[0]}.", [value, str(args[0])]
    if kind == "currency":
        value = r.choice([r.randint(1, 9999), round(r.uniform(1, 999), 2)])
        data = r.choice([{"result": value}, {"amount": value}, {"converted": value, "currency": args[2]}])
        return json.dumps(data), f"{args[0]} {args[1]} is {value} {args[2]}.", [str(value), str(args[2])]
    if kind in ("timer", "email", "music"):
        data = r.choice([{"status": "ok"}, {"success": True}, {"ok": True}, {"status": "done"}])
        return json.dumps(data), "Done: " + ", ".join(str(a) for a in args) + ".", ["Done", str(args[0])]
    keys = {"order": ["status", "state", "carrier", "arrives"], "stock": ["price", "currency", "change"],
            "user": ["email", "city", "age", "plan", "job"], "search": ["title", "summary", "url"], "translate": ["translation", "text"],
            "calculator": ["result", "value"], "made_up": ["result", "value", "answer", "status", texts.made_up(r), texts.made_up(r)]}[kind]
    keys = r.sample(keys, r.randint(1, min(3, len(keys))))
    data = {k: field(r, texts, k) for k in dict.fromkeys(keys)}
    if r.random() < 0.15:
        value = str(next(iter(data.values())))
        return value, f"The result for {args[0]}: {value}.", [value]
    answer = f"The result for {args[0]}: " + ", ".join(f"{k} {v}" for k, v in data.items()) + "."
    return json.dumps(data), answer, [str(v) for v in data.values()]


def field(r, texts, key):
    """A plausible value for a key of a result."""
    known = {"status": "shipped open closed delivered pending lost ready paid".split(), "state": "shipped open closed delivered pending".split(),
             "carrier": ["DHL", "UPS", "FedEx"], "arrives": texts.WEEKDAYS, "city": texts.CITIES, "job": texts.JOBS,
             "plan": ["free", "pro", "team"], "currency": texts.CURRENCIES}
    if key in known:
        return r.choice(known[key])
    if key in ("price", "change", "age", "value", "result"):
        return r.choice([r.randint(1, 999), r.randint(1, 99), round(r.uniform(1, 500), 2)])
    if key == "email":
        return texts.made_up(r) + "@" + texts.made_up(r) + ".com"
    return r.choice([texts.made_up(r), texts.code(r), r.choice(texts.COLORS) + " " + r.choice(texts.THINGS)])


def offered(r, texts, kind):
    """The tool of the kind among up to two others: [(kind, tool, params)], in random order."""
    kinds = [kind] + r.sample([k for k in KINDS if k != kind], r.choice([0, 0, 0, 1, 1, 2]))
    out = [(k, *make_tool(r, texts, k)) for k in kinds]
    r.shuffle(out)
    return out


def any_kind(r):
    """A kind of tool; weather and made-up ones more often."""
    return r.choice(["weather", "weather", "made_up", "made_up", "made_up"] + list(KINDS))


def results(r, texts, kind, calls):
    """The tool messages for the calls, the answer in words, and what it must contain."""
    messages, answers, contains = [], [], []
    for call in calls:
        result, answer, words = result_of(r, texts, kind, call)
        messages.append({"role": "tool", "content": result})
        answers.append(answer)
        contains += words
    return messages, " ".join(answers), contains


def tool_case(r, texts, skill):
    """tool_call: the call; tool_answer: the call, its result and the answer in words."""
    kind = any_kind(r)
    tools = offered(r, texts, kind)
    tool, params = next((t, p) for k, t, p in tools if k == kind)
    text, calls = request(r, texts, kind, tool, params)
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    case = {"skill": skill, "messages": [{"role": "user", "content": text}], "tools": [t for _, t, _ in tools],
            "thinking": skill == "tool_call" and r.random() < 0.3, "max_tokens": 160}
    if skill == "tool_call":
        return dict(case, answer=dict(message, reasoning=f"I need {calls[0]['name']} for this."), expect={"tool_calls": calls})
    replies, answer, contains = results(r, texts, kind, calls)
    case["messages"] += [message] + replies
    return dict(case, answer={"content": answer}, expect={"contains": contains})


def tool_session(r, texts, plain, keep):
    """Several requests to the same tools, with other talk in between; keep(text) tells what may be used."""
    tools, messages = offered(r, texts, any_kind(r)), []
    calculates = any(k == "calculator" for k, _, _ in tools)
    for _ in range(r.randint(2, 5)):
        if r.random() < 0.25:
            c = plain("chat" if calculates else r.choice(["chat", "chat", "json", "add", "sub"]))
            messages += c["messages"][-1:] + [{"role": "assistant", "content": c["answer"]["content"]}]
            continue
        kind, tool, params = r.choice(tools)
        text, calls = request(r, texts, kind, tool, params)
        if keep(text):
            replies, answer, _ = results(r, texts, kind, calls)
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "", "tool_calls": calls}, *replies,
                         {"role": "assistant", "content": answer}]
    return {"skill": "tool_session", "messages": messages, "tools": [t for _, t, _ in tools], "thinking": False}
