"""Makes the evaluation cases (texts never seen in training) and runs an exported model on them, greedily."""
import argparse
import json
import os
import random
import time
from collections import defaultdict

os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F

import kernels
import model as M
from bpe import Tokenizer
from data import CALL, CALL_END, CALLS, CALLS_END, END_THINK, EOS, SEP, make_case, render
from export import load_export

SKILLS = ["chat", "add", "sub", "mul", "tool_call", "tool_answer", "no_tool", "json", "fim", "recall_short", "recall_long", "story"]


def to_openai(case):
    """The line of eval.jsonl: messages as OpenAI clients send them, without the answer."""
    out = {k: case[k] for k in ("skill", "prompt", "suffix", "messages", "tools", "response_format", "thinking", "max_tokens", "expect") if k in case}
    if "messages" in case:
        out["messages"], ids = [], []
        for m in case["messages"]:
            m = dict(m)
            if "tool_calls" in m:
                ids = [f"call_{i}" for i in range(len(m["tool_calls"]))]
                m["tool_calls"] = [{"id": i, "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"], ensure_ascii=False)}}
                                   for i, c in zip(ids, m["tool_calls"])]
            elif m["role"] == "tool":
                m["tool_call_id"] = ids.pop(0)
            out["messages"].append(m)
    else:
        out.pop("thinking", None)
    return out


def from_openai(line):
    """The generators' shape of a line."""
    case = dict(line, thinking=line.get("thinking", False))
    if "messages" in line:
        case["messages"] = [dict(m, tool_calls=[{"name": c["function"]["name"], "arguments": json.loads(c["function"]["arguments"])} for c in m["tool_calls"]])
                            if "tool_calls" in m else m for m in line["messages"]]
    return case


def make_cases(path, count, seed):
    """`count` different cases of every skill."""
    r = random.Random(seed)
    with open(path, "w", encoding="utf-8") as f:
        for skill in SKILLS:
            seen = set()
            while len(seen) < count:
                case = make_case(r, skill, evaluation=True)
                text = "".join(t for t, _ in render(case, False))
                if text not in seen:
                    seen.add(text)
                    f.write(json.dumps(to_openai(case), ensure_ascii=False) + "\n")


class Runner:
    """Greedy decoding of several prompts at once with a key/value cache."""

    def __init__(self, folder):
        self.c, self.p, self.bias = load_export(folder)
        self.tokenizer = Tokenizer(os.path.join(folder, "tokenizer.json"))
        kernels.install(self.c)
        self.tables = M.rope_table(self.c, 2048)
        self.causal = M.causal_mask(2048)

    def prefill(self, prompts, room):
        """Hidden states of the last tokens; fills the caches."""
        c, sizes = self.c, [len(x) for x in prompts]
        pos = torch.cat([torch.arange(s) for s in sizes])
        cs = self.tables[0][pos], self.tables[1][pos]
        longest, heads = max(sizes) + room, c.num_attention_heads
        self.keys = [torch.zeros(len(prompts), longest, heads, c.qk_nope_head_dim + c.qk_rope_head_dim) for _ in range(c.num_hidden_layers)]
        self.values = [torch.zeros(len(prompts), longest, heads, c.v_head_dim) for _ in range(c.num_hidden_layers)]

        def attend(n, x):
            _, k, v = M.project_qkv(c, self.p, n, x, *cs)
            for b, (kd, vd) in enumerate(zip(k.split(sizes), v.split(sizes))):
                self.keys[n][b, :len(kd)] = kd
                self.values[n][b, :len(vd)] = vd
            return M.attention(c, self.p, n, x, cs, sizes, self.causal)

        hidden = M.trunk(c, self.p, None, self.bias, torch.tensor([i for x in prompts for i in x]), attend)
        self.lengths = torch.tensor(sizes)
        return hidden[self.lengths.cumsum(0) - 1]

    def step(self, ids):
        """Hidden states after one more token for every prompt."""
        c, at, rows = self.c, self.lengths, torch.arange(len(ids))
        cs = self.tables[0][at], self.tables[1][at]
        hide = torch.arange(self.keys[0].shape[1]).unsqueeze(0) > at.unsqueeze(1)

        def attend(n, x):
            q, k, v = M.project_qkv(c, self.p, n, x, *cs)
            self.keys[n][rows, at], self.values[n][rows, at] = k, v
            scores = torch.einsum("bhd,bthd->bht", q, self.keys[n]) * q.shape[-1] ** -0.5
            weights = scores.masked_fill(hide.unsqueeze(1), -1e9).softmax(-1)
            return F.linear(torch.einsum("bht,bthd->bhd", weights, self.values[n]).flatten(1), self.p[f"{n}.o"])

        hidden = M.trunk(c, self.p, None, self.bias, ids, attend)
        self.lengths = at + 1
        return hidden

    @torch.no_grad()
    def generate(self, prompts, limits):
        """Generated ids for every prompt, the end token included."""
        room, out = max(limits), [[] for _ in prompts]
        hidden, open_ = self.prefill(prompts, room), set(range(len(prompts)))
        for _ in range(room):
            ids = F.linear(hidden, self.p["embed"]).argmax(-1)
            for b in list(open_):
                out[b].append(int(ids[b]))
                if ids[b] == 1 or len(out[b]) >= limits[b]:
                    open_.discard(b)
            if not open_:
                break
            hidden = self.step(ids)
        return out

    @torch.no_grad()
    def acceptance(self, pairs, loads):
        """How often the MTP module names the second-next generated token: (right, all). Counts expert loads too."""
        right = total = 0
        for prompt, said in pairs:
            ids = torch.tensor(prompt + said)
            cs = self.tables[0][:len(ids)], self.tables[1][:len(ids)]

            def attend(n, x):
                size = len(x)
                return M.attention(self.c, self.p, n, x, (cs[0][:size], cs[1][:size]), [size], self.causal)

            hidden = M.trunk(self.c, self.p, None, self.bias, ids, attend, loads)
            ahead = M.mtp(self.c, self.p, None, self.bias, hidden[:-1], ids[1:], attend, loads)
            first = len(prompt) - 1
            guess = F.linear(ahead[first:len(ids) - 2], self.p["embed"]).argmax(-1)
            right += int((guess == ids[first + 2:]).sum())
            total += len(guess)
        return right, total


def parse(text, thinking):
    """Content and calls of an answer."""
    if thinking:
        text = text.split(END_THINK, 1)[1] if END_THINK in text else ""
    text, calls = text.split(EOS)[0], []
    if CALLS in text:
        text, block = text.split(CALLS, 1)
        for part in block.split(CALLS_END)[0].split(CALL)[1:]:
            name, _, arguments = part.split(CALL_END)[0].partition(SEP)
            try:
                calls.append({"name": name, "arguments": json.loads(arguments)})
            except ValueError:
                return text, []
    return text.strip(), calls


def right(expect, content, calls):
    """Whether an answer is as expected."""
    kind, value = next(iter(expect.items()))
    if kind == "tool_calls":
        return calls == value
    if calls:
        return False
    if kind == "json":
        try:
            return json.loads(content) == value
        except ValueError:
            return False
    if kind == "story":
        return len(content.split()) >= value["min_words"] and all(w.lower() in content.lower() for w in value["contains"])
    return {"equals": lambda: content in [v.strip() for v in value], "ends_with": lambda: content.endswith(value.strip()),
            "contains": lambda: all(w in content for w in value)}[kind]()


def batches(prompts, tokens=4000, most=48):
    """Indices of prompts of similar length, limited in number and total size."""
    out, size = [[]], 0
    for i in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
        if len(out[-1]) == most or size + len(prompts[i]) > tokens:
            out.append([])
            size = 0
        out[-1].append(i)
        size += len(prompts[i])
    return [b for b in out if b]


def run(folder, path, limit, failures):
    """Accuracy of every skill; prints a Markdown table."""
    runner, by_skill = Runner(folder), defaultdict(list)
    for line in open(path, encoding="utf-8"):
        case = from_openai(json.loads(line))
        if len(by_skill[case["skill"]]) < limit:
            by_skill[case["skill"]].append(case)
    loads = torch.zeros(runner.c.layers, runner.c.n_routed_experts)
    drafts, start = [0, 0], time.time()
    print("| skill | right | of | draft accepted |\n|---|---|---|---|", flush=True)
    for skill, cases in by_skill.items():
        prompts = [runner.tokenizer.encode("".join(t for t, _ in render(c, False))) for c in cases]
        good, hit, seen = 0, 0, 0
        for part in batches(prompts):
            outs = runner.generate([prompts[i] for i in part], [cases[i]["max_tokens"] for i in part])
            h, s = runner.acceptance([(prompts[i], o) for i, o in zip(part, outs)], loads)
            hit, seen = hit + h, seen + s
            for i, o in zip(part, outs):
                text = runner.tokenizer.decode(o)
                ok = right(cases[i]["expect"], *parse(text, cases[i]["thinking"]))
                good += ok
                if not ok and failures:
                    failures.write(json.dumps({"case": to_openai(cases[i]), "said": text}, ensure_ascii=False) + "\n")
        drafts = [drafts[0] + hit, drafts[1] + seen]
        print(f"| {skill} | {good} | {len(cases)} | {hit / max(seen, 1):.3f} |", flush=True)
    print(f"\nDraft accepted overall: {drafts[0] / max(drafts[1], 1):.3f}. Expert load max/mean by layer: "
          + ", ".join(f"{float(x.max() / x.mean()):.2f}" for x in loads[runner.c.first_k_dense_replace:])
          + f". {time.time() - start:.0f} s.")


def main():
    """Make the cases, or run them."""
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--model", default="../../models/demo")
    a.add_argument("--cases", help="default: eval.jsonl in the model's folder")
    a.add_argument("--make", type=int, metavar="N", help="write N cases of each skill instead of running")
    a.add_argument("--seed", type=int, default=20260)
    a.add_argument("--limit", type=int, default=1000, help="cases of each skill to run")
    a.add_argument("--failures", help="file for wrong answers")
    a.add_argument("--threads", type=int, default=2)
    args = a.parse_args()
    torch.set_num_threads(args.threads)
    path = args.cases or os.path.join(args.model, "eval.jsonl")
    if args.make:
        make_cases(path, args.make, args.seed)
    else:
        run(args.model, path, args.limit, open(args.failures, "w", encoding="utf-8") if args.failures else None)


if __name__ == "__main__":
    main()
