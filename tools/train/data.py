"""Mixes the skills, renders the v3.1 chat format and packs rows of tokens for training.

What belongs to the evaluation is decided by a hash of the last user message (or of the operands of a
sum), so no training text can ever be an evaluation text.
"""
import json
import random
import zlib

import numpy as np

import skills as S
import texts as T
from chat import CORE
from sums import sum_case
from tools import offered, tool_case, tool_session

BOS, EOS, USER, BOT = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
THINK, END_THINK = "<think>", "</think>"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
CALLS, CALLS_END, CALL, CALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
OUT, OUT_END, SEP = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", "<｜tool▁sep｜>"
SPECIALS = [FIM_HOLE, FIM_BEGIN, FIM_END, USER, BOT, "<|EOT|>", CALLS, CALLS_END, CALL, CALL_END,
            "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", OUT, OUT_END, SEP, THINK, END_THINK]
TOOLS_END = f"""IMPORTANT: ALWAYS adhere to this exact format for tool use:
{CALLS}{CALL}tool_call_name{SEP}tool_call_arguments{CALL_END}{{{{additional_tool_calls}}}}{CALLS_END}

Where:
- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces
"""
# share of each skill among the documents of the second phase
MIX = {"chat": 12, "add": 8, "sub": 8, "mul": 14, "tool_session": 12, "tool_call": 5, "tool_answer": 1, "no_tool": 1, "json": 11,
       "fim": 14, "recall_short": 9, "story": 4, "talk": 5, "copy": 3}


def held_out(text):
    """Whether a text belongs to the evaluation: one in twelve, except the best-known greetings."""
    return zlib.crc32(text.strip().lower().encode()) % 12 == 0 and text.strip().lower() not in CORE


def key_of(case):
    """The text that decides on which side a case is."""
    return case["prompt"] + "|" + case["suffix"] if "prompt" in case else case["messages"][-1]["content"] \
        if case["messages"][-1]["role"] == "user" else case["messages"][0]["content"] + case["messages"][-1]["content"]


def plain_case(r, skill, evaluation):
    """A case of a skill, whichever side its key falls on."""
    if skill in ("add", "sub", "mul"):
        return sum_case(r, T, skill, lambda key: (held_out(key) and len(key) > 3) == evaluation)
    if skill in ("tool_call", "tool_answer"):
        return tool_case(r, T, skill)
    if skill == "no_tool":
        c = r.choice([S.chat_case, S.chat_case, S.json_case])(r)
        c["tools"] = [t for _, t, _ in offered(r, T, r.choice(["weather", "time", "order", "made_up", "stock", "music", "search"]))]
        return dict(c, skill="no_tool", thinking=False, answer={"content": c["answer"]["content"]})
    if skill.startswith("recall"):
        return S.recall_case(r, r.randint(5, 90) if skill == "recall_short" else r.randint(220, 1250))
    return {"chat": S.chat_case, "json": S.json_case, "fim": S.fim_case, "story": S.story_case}[skill](r)


def make_case(r, skill, evaluation=False):
    """A case on the right side of the split; sometimes with a system message."""
    while True:
        c = plain_case(r, skill, evaluation)
        if skill not in ("add", "sub", "mul") and held_out(key_of(c)) != evaluation:
            continue
        if "messages" in c and c["messages"][0]["role"] != "system" and r.random() < 0.25:
            c["messages"].insert(0, {"role": "system", "content": r.choice(T.SYSTEMS)})
        return c


def talk_case(r, turns):
    """A conversation of several turns of different skills; every answer is trained on."""
    messages, answer = [], None
    for _ in range(turns):
        c = make_case(r, r.choice(["chat", "chat", "add", "sub", "mul", "json", "story", "recall_short"]))
        if answer:
            messages.append({"role": "assistant", "content": answer["content"]})
        messages += [m for m in c["messages"] if m["role"] != "system" or not messages]
        answer = c["answer"]
        thinking = c["thinking"]
    return {"skill": "talk", "messages": messages, "answer": answer, "thinking": thinking}


def tools_text(tools):
    """The tool section of the system text."""
    parts = ["## Tools\nYou have access to the following tools:\n"]
    for tool in tools:
        f = tool["function"]
        parameters = json.dumps(f.get("parameters") or {"type": "object", "properties": {}}, ensure_ascii=False)
        parts.append(f"\n### {f['name']}\nDescription: {f.get('description') or ''}\n\nParameters: {parameters}\n")
    return "".join(parts) + "\n" + TOOLS_END.rstrip("\n")


def spoken(message):
    """Content and calls of an assistant message."""
    text = message.get("content") or ""
    if message.get("tool_calls"):
        text += CALLS + "".join(CALL + c["name"] + SEP + json.dumps(c["arguments"], ensure_ascii=False) + CALL_END
                                for c in message["tool_calls"]) + CALLS_END
    return text


def render(case, with_answer):
    """The case as pieces (text, whether the model says it)."""
    if "prompt" in case:
        pieces = [(BOS + FIM_BEGIN + case["prompt"] + FIM_HOLE + case["suffix"] + FIM_END, False)]
        return pieces + [(case["answer"]["content"] + EOS, True)] if with_answer else pieces
    system = "\n\n".join(m["content"] for m in case["messages"] if m["role"] == "system")
    if case.get("tools"):
        system += "\n\n" + tools_text(case["tools"])
    pieces, last = [(BOS + system, False)], None
    for m in case["messages"]:
        if m["role"] == "user":
            pieces.append((USER + m["content"], False))
        elif m["role"] == "tool":
            pieces.append((OUT + m["content"] + OUT_END, False))
        elif m["role"] == "assistant":
            if last == "user":
                pieces.append((BOT + END_THINK, False))
            pieces.append((spoken(m) + EOS, True))
        last = m["role"]
    if last == "user":
        pieces.append((BOT + (THINK if case["thinking"] else END_THINK), False))
    if with_answer and "answer" in case:
        answer = case["answer"]
        thought = answer["reasoning"] + END_THINK if case["thinking"] and last == "user" else ""
        pieces.append((thought + spoken(answer) + EOS, True))
    return pieces


def encode_pieces(tokenizer, pieces):
    """Token ids and a mask of the tokens the model says."""
    ids, mask = [], []
    for text, said in pieces:
        part = tokenizer.encode(text)
        ids += part
        mask += [said] * len(part)
    return ids, mask


class Stream:
    """Endless packed batches of one seed."""

    def __init__(self, tokenizer, seed):
        self.tokenizer, self.r, self.waiting = tokenizer, random.Random(seed), []
        self.vocabulary = tokenizer.plain_words()

    def case(self, copying):
        """One case of the mix; a share of them copying practice."""
        r = self.r
        skill = "copy" if r.random() < copying else r.choices(list(MIX), MIX.values())[0]
        if skill == "talk":
            return talk_case(r, r.randint(2, 4))
        if skill == "copy":
            return S.copy_case(r, self.vocabulary)
        if skill == "tool_session":
            return tool_session(r, T, lambda s: make_case(r, s), lambda text: not held_out(text))
        case = make_case(r, skill)
        return S.ask_all(r, case) if skill == "recall_short" and r.random() < 0.7 else case

    def document(self, copying, longest=700):
        """One encoded document."""
        while True:
            doc = encode_pieces(self.tokenizer, render(self.case(copying), True))
            if len(doc[0]) <= longest:
                return doc

    def long_document(self):
        """A long recall, or a long conversation."""
        while True:
            case = S.ask_all(self.r, make_case(self.r, "recall_long")) if self.r.random() < 0.85 else talk_case(self.r, self.r.randint(5, 10))
            doc = encode_pieces(self.tokenizer, render(case, True))
            if len(doc[0]) <= 1600:
                return doc

    def batch(self, tokens, long, copying):
        """ids, positions, mask of what the model says, and the documents' lengths (padding last)."""
        docs = [self.long_document()] if long else []
        room = tokens - sum(len(d[0]) for d in docs)
        while True:
            while len(self.waiting) < 24:
                self.waiting.append(self.document(copying))
            fitting = [i for i, d in enumerate(self.waiting) if len(d[0]) <= room]
            if not fitting:
                break
            best = fitting[0] if room > 700 else max(fitting, key=lambda i: len(self.waiting[i][0]))
            docs.append(self.waiting.pop(best))
            room -= len(docs[-1][0])
        docs += [([2] * room, [False] * room)] * (room > 0)
        return (np.array([i for d in docs for i in d[0]]), np.array([n for d in docs for n in range(len(d[0]))]),
                np.array([m for d in docs for m in d[1]]), [len(d[0]) for d in docs])
