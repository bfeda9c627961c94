"""A byte-level BPE: training, encoding, decoding and the Hugging Face tokenizer.json."""
import argparse
import json
import random
from collections import Counter, defaultdict

import regex

from data import BOS, EOS, MIX, SPECIALS, make_case, render

PAD = "<｜▁pad▁｜>"
DIGIT, CJK = r"\p{N}", "[一-龥぀-ゟ゠-ヿ]+"
WORDS = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
         "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def byte_symbols():
    """The printable character that stands for each byte (as in GPT-2)."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {b: chr(b) for b in keep}, 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + extra)
            extra += 1
    return table


BYTE_SYMBOL = byte_symbols()
SYMBOL_BYTE = {s: b for b, s in BYTE_SYMBOL.items()}


def isolate(pattern, pieces):
    """Split every piece into the matches of the pattern and what lies between them."""
    out = []
    for piece in pieces:
        at = 0
        for m in pattern.finditer(piece):
            if m.start() > at:
                out.append(piece[at:m.start()])
            if m.end() > m.start():
                out.append(m.group())
            at = m.end()
        if at < len(piece):
            out.append(piece[at:])
    return out


PATTERNS = [regex.compile(p) for p in (DIGIT, CJK, WORDS)]


def pre_tokenize(text):
    """The three splits, one after the other."""
    pieces = [text]
    for p in PATTERNS:
        pieces = isolate(p, pieces)
    return pieces


def train(texts, size):
    """Merges, most frequent pair first, until the vocabulary (with specials) is full or pairs are rare."""
    counts = Counter(w for t in texts for part in split_specials(t) if part not in ADDED for w in pre_tokenize(part))
    words = [[BYTE_SYMBOL[b] for b in w.encode()] for w in counts]
    weight = list(counts.values())
    pairs, where = Counter(), defaultdict(set)
    for i, w in enumerate(words):
        for p in zip(w, w[1:]):
            pairs[p] += weight[i]
            where[p].add(i)
    merges = []
    while len(merges) < size - 256 - 3 - len(SPECIALS):
        best = max(pairs, key=lambda p: (pairs[p], p))
        if pairs[best] < 12:
            break
        merges.append(best)
        for i in where.pop(best):
            w = words[i]
            for p in zip(w, w[1:]):
                pairs[p] -= weight[i]
            words[i] = w = merge(w, best)
            for p in zip(w, w[1:]):
                pairs[p] += weight[i]
                where[p].add(i)
        del pairs[best]
    return merges


def merge(word, pair):
    """The word with every occurrence of the pair joined."""
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


ADDED = {BOS, EOS, PAD, *SPECIALS}
SPECIAL_SPLIT = regex.compile("(" + "|".join(regex.escape(s) for s in sorted(ADDED, key=len, reverse=True)) + ")")


def split_specials(text):
    """Added tokens apart from ordinary text."""
    return [p for p in SPECIAL_SPLIT.split(text) if p]


class Tokenizer:
    """Encodes and decodes by a tokenizer.json."""

    def __init__(self, path):
        data = json.load(open(path, encoding="utf-8"))
        self.ids = dict(data["model"]["vocab"])
        self.ids.update({t["content"]: t["id"] for t in data["added_tokens"]})
        self.symbols = {i: s for s, i in self.ids.items()}
        self.rank = {tuple(m.split(" ")): n for n, m in enumerate(data["model"]["merges"])}
        self.size, self.cache = max(self.symbols) + 1, {}

    def word(self, text):
        """Ids of one pre-token."""
        if text not in self.cache:
            w = [BYTE_SYMBOL[b] for b in text.encode()]
            while len(w) > 1:
                best = min(zip(w, w[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if best not in self.rank:
                    break
                w = merge(w, best)
            self.cache[text] = [self.ids[s] for s in w]
            if len(self.cache) > 200000:
                self.cache.clear()
                return self.word(text)
        return self.cache[text]

    def encode(self, text):
        """Ids of a text; added tokens are matched first, nothing is put in front."""
        out = []
        for part in split_specials(text):
            if part in ADDED:
                out.append(self.ids[part])
            else:
                for w in pre_tokenize(part):
                    out += self.word(w)
        return out

    def decode(self, ids):
        """Text of ids, added tokens included."""
        out = b""
        for i in ids:
            s = self.symbols[int(i)]
            out += s.encode() if s in ADDED else bytes(SYMBOL_BYTE[c] for c in s)
        return out.decode(errors="replace")

    def plain_words(self):
        """Tokens of two or more letters or digits, for copying practice."""
        texts = [self.decode([i]) for s, i in self.ids.items() if s not in ADDED]
        return [t for t in texts if t.strip().isalnum() and t.isascii()]


def save(merges, path):
    """Write tokenizer.json: 0-2 BOS, EOS, pad; bytes; merges; then the other added tokens."""
    symbols = [BOS, EOS, PAD] + [BYTE_SYMBOL[b] for b in range(256)] + [a + b for a, b in merges]
    vocab = {s: i for i, s in enumerate(symbols)}
    added = [(i, s, True, False) for i, s in enumerate((BOS, EOS, PAD))]
    added += [(len(symbols) + i, s, s == "<|EOT|>", True) for i, s in enumerate(SPECIALS)]
    split = [{"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False} for p in (DIGIT, CJK, WORDS)]
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    data = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": n, "special": sp}
                         for i, s, sp, n in added],
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": split + [
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": dict(level, trim_offsets=False), "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": [f"{a} {b}" for a, b in merges]}}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=1)


def corpus(seed, documents):
    """Texts of the skills, rendered as in training."""
    r, texts = random.Random(seed), []
    for i in range(documents):
        skill = r.choices(list(MIX), MIX.values())[0]
        if skill in ("copy", "talk", "tool_session"):
            skill = "recall_long" if i % 9 == 0 else "tool_call"
        texts += [text for text, _ in render(make_case(r, skill), True)]
    return texts


def main():
    """Train the vocabulary and write tokenizer.json."""
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--size", type=int, default=2560)
    a.add_argument("--seed", type=int, default=7)
    a.add_argument("--documents", type=int, default=14000)
    a.add_argument("--out", default="../../models/demo/tokenizer.json")
    args = a.parse_args()
    save(train(corpus(args.seed, args.documents), args.size), args.out)


if __name__ == "__main__":
    main()
