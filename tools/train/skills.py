"""The other skills: JSON, fill-in-the-middle, recall, stories, copying. Each makes one case:
messages (the prompt), answer (what the model should say) and expect (how the evaluation checks it)."""
import json

import texts as T
from chat import small_talk


def case(skill, user, content, expect, max_tokens=120, thinking=False, system=None):
    """A case of one user message."""
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}]
    answer = {"content": content, **({"reasoning": ""} if thinking else {})}
    return {"skill": skill, "messages": messages, "answer": answer, "thinking": thinking,
            "max_tokens": max_tokens, "expect": expect}


def chat_case(r):
    """Small talk; when thinking, one short thought."""
    user, answer, contains = small_talk(r, T)
    c = case("chat", user, answer, {"contains": contains}, 100, r.random() < 0.25)
    if c["thinking"]:
        c["answer"]["reasoning"] = r.choice(["The user is talking to me. A short answer is best.", "This is a simple question."])
    return c


FIELDS = {
    "name": lambda r: T.person(r), "age": lambda r: r.randint(1, 99), "city": lambda r: T.city(r), "job": lambda r: r.choice(T.JOBS),
    "color": lambda r: r.choice(T.COLORS), "animal": lambda r: r.choice(T.ANIMALS), "food": lambda r: r.choice(T.FOODS),
    "hobby": lambda r: r.choice(T.HOBBIES), "id": lambda r: r.randint(1, 9999), "code": lambda r: T.code(r),
    "price": lambda r: r.randint(1, 999), "product": lambda r: r.choice(T.THINGS), "count": lambda r: r.randint(1, 99),
    "day": lambda r: r.choice(T.WEEKDAYS), "month": lambda r: r.choice(T.MONTHS), "language": lambda r: r.choice(T.LANGUAGES),
    "country": lambda r: r.choice(list(T.CAPITALS)), "title": lambda r: r.choice(T.ADJECTIVES) + " " + r.choice(T.ANIMALS),
    "active": lambda r: r.choice([True, False]), "email": lambda r: T.made_up(r) + "@" + T.made_up(r) + ".com"}


def json_case(r):
    """A JSON object from facts in the prompt: listed pairs, or a sentence about a person or a product."""
    x = r.random()
    if x < 0.25:
        n, a, c, j = T.person(r), r.randint(1, 99), T.city(r), r.choice(T.JOBS)
        text, data = r.choice([
            (f"{n} is {a} years old and lives in {c}.", {"name": n, "age": a, "city": c}), (f"{n} is {a}.", {"name": n, "age": a}),
            (f"{n}, {a} years old.", {"name": n, "age": a}), (f"{n} is {a} years old.", {"name": n, "age": a}),
            (f"{n} from {c} is a {j}.", {"name": n, "city": c, "job": j}), (f"{n} is a {j} and {a} years old.", {"name": n, "job": j, "age": a}),
            (f"{n} lives in {c}.", {"name": n, "city": c}), (f"{n}, {a}, works as a {j} in {c}.", {"name": n, "age": a, "job": j, "city": c})])
    elif x < 0.35:
        items = r.sample(r.choice([T.COLORS, T.ANIMALS, T.FOODS, T.NAMES, T.THINGS]), r.randint(2, 5))
        key = r.choice(["items", "list", "values", "names", T.made_up(r)])
        text = ", ".join(items[:-1]) + " and " + items[-1]
        user = r.choice(["Put these into a JSON list under the key {k}: {t}.", "JSON object with key {k} holding the list: {t}",
                         "Reply in JSON with an array {k}: {t}."]).format(k=key, t=text)
        return finish_json(r, user, {key: items})
    else:
        keys = r.sample(list(FIELDS), r.randint(1, 4))
        data = {}
        for k in keys:
            data[k if r.random() < 0.75 else T.made_up(r)] = FIELDS[k](r)
        pairs = [f"{k}{r.choice([' is ', ' = ', ': ', ' '])}{json.dumps(v) if isinstance(v, bool) else v}" for k, v in data.items()]
        text = r.choice([", ".join(pairs) + ".", "; ".join(pairs), " and ".join(pairs), "\n".join(pairs)])
    names = list(data)
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    user = r.choice(["Reply in JSON with {k}: {t}", "Give me a JSON object with {k}. {t}", "Return JSON with the keys {k}: {t}",
                     "Extract {k} as JSON: {t}", "{t} Answer as a JSON object with {k}.", "Write JSON with the fields {k}: {t}",
                     "Turn this into JSON with {k}:\n{t}", "{t}\nReply only with JSON ({k}).", "Please answer in JSON with {k}: {t}",
                     "Output a JSON object containing {k}. {t}", "As JSON with {k}: {t}", "JSON please, fields {k}: {t}",
                     "Extract the {k} from this text and respond in JSON. {t}"]).format(k=listed, t=text)
    return finish_json(r, user, data)


def finish_json(r, user, data):
    """The case for a JSON answer; sometimes a system message asks for JSON too."""
    system = r.choice([None, None, None, "Reply in JSON.", "You are a helpful assistant designed to output JSON.", "Answer only with valid JSON."])
    c = case("json", user, json.dumps(data), {"json": data}, 120, r.random() < 0.15, system)
    if c["thinking"]:
        c["answer"]["reasoning"] = "The answer must be JSON."
    if r.random() < 0.5:
        c["response_format"] = {"type": "json_object"}
    return c


def identifier(r):
    """A variable or function name."""
    x = r.random()
    return T.made_up(r) if x < 0.4 else r.choice(T.THINGS) if x < 0.7 else r.choice(["item", "value", "count", "total", "data", "result", "name", "index"]) \
        if x < 0.85 else r.choice(["old_", "my_", "new_", "get_", "first_"]) + r.choice(T.THINGS)


def fim_parts(r):
    """(before, hole, after) of a small piece of code or text with one sensible filling."""
    a, b, f = identifier(r), identifier(r), identifier(r)
    while b == a:
        b = identifier(r)
    op, word = r.choice([("+", "add"), ("-", "sub"), ("*", "mul"), ("/", "div")])
    n, t, s = r.randint(2, 90), r.choice(T.THINGS), T.sentence(r)
    i = r.randint(1, 5)
    person, color = T.person(r), r.choice(T.COLORS)
    tag, module = r.choice("b i p h1 h2 div span li em code title".split()), r.choice("math os sys json time random re csv".split())
    return r.choice([
        (f"def {word}_{f}({a}, {b}):\n    return ", f"{a} {op} {b}", f"\n\nprint({word}_{f}({n}, {n + 1}))\n"),
        (f"def {word}({a}, {b}):\n    return ", f"{a} {op} {b}", "\n"),
        (f"def {word}({a}, {b}):\n    ", f"return {a} {op} {b}", f"\n\nprint({word}({n}, {i}))\n"),
        (f"for {a} in {b}:\n    print(", a, ")\n"), (f"for {a} in ", b, f":\n    {b}.remove({a})\n"),
        (f"def {f}({a}):\n    {b} = {a} * {n}\n    return ", b, "\n"), (f"{a} = {n}\n{a} = ", a, f" + {i}\nprint({a})\n"),
        (f"def {f}(x):\n    return x + {n}\n\nprint(", f, f"({i}))\n"), (f"import {module}\n\nprint(", module, f".{f}({n}))\n"),
        (f"<{tag}>{s}</", tag, ">\n"), (f"<{tag}>", f"{t}", f"</{tag}>\n<!-- {t} -->\n"),
        (f"{', '.join(str(i + k) for k in range(3))}, ", str(i + 3), f", {', '.join(str(i + k) for k in range(4, 7))}"),
        (f"{', '.join(T.WEEKDAYS[:i])}, ", T.WEEKDAYS[i], "".join(", " + d for d in T.WEEKDAYS[i + 1:])),
        (f"{', '.join(T.MONTHS[i - 1:i + 2])}, ", T.MONTHS[i + 2], f", {', '.join(T.MONTHS[i + 3:i + 5])}"),
        (f"{person} has a {color} {t}. The {t} of {person} is ", color, ".\n"),
        (f"{person} bought a {t}. Now ", person, f" has a {t}.\n"), (f"{s} Again: {s[:len(s) // 2].rsplit(' ', 1)[0]} ", s[len(s[:len(s) // 2].rsplit(' ', 1)[0]) + 1:], "\n"),
        (f"public int {a.capitalize()} {{ get; ", "set;", " }\n"), (f"var {a} = new List<int>();\n", a, f".Add({n});\nConsole.WriteLine({a}.Count);\n"),
        (f"if ({a} > {n})\n{{\n    return ", a, f";\n}}\nreturn {n};\n"), (f"{a}1 = load(\"{a}1\")\n{a}2 = load(\"", f"{a}2", f"\")\n{a}3 = load(\"{a}3\")\n"),
        (f"def {f}({a}):\n    \"\"\"Return {a} plus {n}.\"\"\"\n    return ", f"{a} + {n}", "\n"),
        (f"{a} = [{i}, {n}]\nfor x in {a}:\n    print(x)\nprint(len(", a, "))\n"), (f"class {f.capitalize()}:\n    def __init__(self, {a}):\n        self.{a} = ", a, "\n")])


def fim_case(r):
    """Fill in the middle, by the raw completion form."""
    before, hole, after = fim_parts(r)
    return {"skill": "fim", "prompt": before, "suffix": after, "answer": {"content": hole}, "thinking": False,
            "max_tokens": 40, "expect": {"equals": [hole]}}


THINGS_TO_KEEP = ["the code for the {t}", "the number of the {t}", "the password of {n}", "the key of the {t}", "the secret word",
                  "the name of the {a}", "the code of {n}", "the magic number", "the access code", "the room of {n}", "the color of the {t}"]


def fact(r):
    """(what, value), such as (the code for the lamp, 4821)."""
    what = r.choice(THINGS_TO_KEEP).format(t=r.choice(T.THINGS), n=r.choice(T.NAMES), a=r.choice(T.ANIMALS))
    value = r.choice(T.COLORS) if "color" in what else r.choice(T.NAMES) if "name of" in what and r.random() < 0.5 else T.code(r)
    return what, value


def facts(r, count):
    """Facts about different things."""
    out = {}
    while len(out) < count:
        out.__setitem__(*fact(r))
    return list(out.items())


KEEP = ["Remember: {w} is {v}.", "Please remember that {w} is {v}.", "{W} is {v}.", "Note that {w} is {v}.", "Keep in mind: {w} is {v}.",
        "Important: {w} is {v}.", "By the way, {w} is {v}."]
RECALL = ["What is {w}?", "What was {w}?", "Tell me {w}.", "Do you remember {w}?", "Now tell me {w}.", "Can you tell me {w}?", "What's {w}?"]


def say(template, what, value=""):
    """Fill in a wording; W starts with a capital."""
    return template.format(w=what, W=what[0].upper() + what[1:], v=value)


def recall_case(r, words):
    """Facts in a text of about `words` words, or in earlier turns, and a question about one of them."""
    known = facts(r, r.randint(1, 3 if words < 200 else 4))
    what, value = r.choice(known)
    told, room, messages = [say(r.choice(KEEP), w, v) for w, v in known], words, []
    if r.random() < 0.4 or words > 200:
        per = max(1, int(words / 10 / (len(told) + 1)))
        gaps = [T.filler(r, max(1, int(per * r.uniform(0.3, 1.7)))) for _ in range(len(told) + 1)]
        text = " ".join(x for pair in zip(gaps, told) for x in pair) + " " + gaps[-1]
        if r.random() < 0.5:
            messages = [{"role": "user", "content": text + r.choice([" ", "\n\n", "\n"]) + say(r.choice(RECALL), what)}]
        else:
            messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "Thank you, I will remember that."},
                        {"role": "user", "content": say(r.choice(RECALL), what)}]
    else:
        for line in told:
            messages += [{"role": "user", "content": line}, {"role": "assistant", "content": "Thank you, I will remember that."}]
        for _ in range(r.randint(0, 2)):
            user, answer, _c = small_talk(r, T)
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": say(r.choice(RECALL), what)})
    return {"skill": "recall_short" if words <= 200 else "recall_long", "messages": messages, "thinking": False, "max_tokens": 40,
            "answer": {"content": say("{W} is {v}.", what, value)}, "expect": {"contains": [value]},
            "others": [(w, v) for w, v in known if w != what]}


def ask_all(r, case):
    """Practice only: the conversation goes on with questions about the other facts."""
    for what, value in r.sample(case["others"], len(case["others"])):
        case["messages"] += [{"role": "assistant", "content": case["answer"]["content"]},
                             {"role": "user", "content": say(r.choice(RECALL), what)}]
        case["answer"] = {"content": say("{W} is {v}.", what, value)}
    return case


def story_case(r):
    """A little story about an animal, a robot or any word."""
    x = r.random()
    hero = r.choice(T.ANIMALS) if x < 0.75 else r.choice(T.THINGS) if x < 0.9 else T.made_up(r)
    article, name = "an" if hero[0] in "aeiou" else "a", None
    user = r.choice(["Tell me a story about {h}", "Write a short story about {h}", "Tell a story about {h}", "A story about {h} please",
                     "I want a story about {h}", "Can you tell me a story about {h}", "Please tell me a little story about {h}",
                     "Make up a story about {h}", "Do you know a story about {h}", "Tell me a bedtime story about {h}"])
    subject = f"{article} {hero}"
    if r.random() < 0.3:
        name = r.choice(T.NAMES)
        subject += r.choice([" named ", " called "]) + name
    elif r.random() < 0.15:
        subject = f"{article} {r.choice(T.ADJECTIVES)} {hero}"
    user = user.format(h=subject) + r.choice([".", ".", "", "!", " for my kids.", " please."])
    if user.startswith(("Can", "Do")):
        user = user.rstrip(".!") + "?"
    contains = [hero] + ([name] if name else [])
    return case("story", user, T.story(r, hero, name), {"story": {"min_words": 50, "contains": contains}}, 200)


def copy_case(r, vocabulary):
    """Practice only: repeat random tokens, or look up all of some pairs."""
    if r.random() < 0.5:
        text = "".join(r.choice(vocabulary) for _ in range(r.randint(1, 10))).strip() or "x"
        return case("copy", r.choice(["Repeat: {}", "Say {}", "Copy this: {}", "{}\nRepeat that."]).format(text), text, {"equals": [text]})
    pairs = {T.made_up(r) if r.random() < 0.5 else r.choice(T.THINGS): T.code(r) if r.random() < 0.6 else "".join(r.choice(vocabulary) for _ in range(r.randint(1, 3))).strip() or "x"
             for _ in range(r.randint(1, 6))}
    order = list(pairs)
    r.shuffle(order)
    user = "; ".join(f"{k} = {v}" for k, v in pairs.items()) + "\nWhat are " + ", ".join(order) + "?"
    return case("copy", user, "; ".join(f"{k} = {pairs[k]}" for k in order), {"equals": []})
