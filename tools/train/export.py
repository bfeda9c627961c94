"""Writes a checkpoint as a DeepSeek-V3 folder: safetensors (experts in FP8 blocks), configs, chat template; and reads it back."""
import argparse
import json
import os
import shutil
import struct

import numpy as np
import torch

import model as M
from bpe import Tokenizer
from data import BOS, CALL, CALL_END, CALLS, CALLS_END, END_THINK, EOS, OUT, OUT_END, SEP, THINK, USER, BOT

BLOCK = 128
# our name -> official name inside a layer
NAMES = {"ln1": "input_layernorm", "ln2": "post_attention_layernorm", "q_a": "self_attn.q_a_proj", "q_ln": "self_attn.q_a_layernorm",
         "q_b": "self_attn.q_b_proj", "kv_a": "self_attn.kv_a_proj_with_mqa", "kv_ln": "self_attn.kv_a_layernorm",
         "kv_b": "self_attn.kv_b_proj", "o": "self_attn.o_proj", "router": "mlp.gate", "enorm": "enorm", "hnorm": "hnorm",
         "eh_proj": "eh_proj", "head_norm": "shared_head.norm"}
MLP = ("gate", "up", "down")


def e4m3_values():
    """The 127 non-negative values of E4M3FN, by code."""
    code = np.arange(127)
    e, m = code >> 3, code & 7
    return np.where(e == 0, m / 8 * 2.0 ** -6, (1 + m / 8) * 2.0 ** (e - 7.0))


VALUES = e4m3_values()
MIDDLES = (VALUES[:-1] + VALUES[1:]) / 2
TABLE = np.concatenate((VALUES, [np.nan], -VALUES, [np.nan])).astype(np.float32)


def encode_e4m3(x):
    """Codes of the nearest values, ties to even, saturating."""
    a = np.abs(x).astype(np.float64)
    code = np.searchsorted(MIDDLES, a, side="left")
    tie = (code < 126) & (a == MIDDLES[np.minimum(code, 125)])
    code += tie & (code % 2 == 1)
    return (code | (np.signbit(x) << 7)).astype(np.uint8)


def quantize(w):
    """Codes and weight_scale_inv of a matrix, in blocks of 128x128 (edge blocks are cut short)."""
    rows, cols = w.shape
    grid = (-(-rows // BLOCK), -(-cols // BLOCK))
    scale, codes = np.zeros(grid, np.float32), np.zeros(w.shape, np.uint8)
    for i in range(grid[0]):
        for j in range(grid[1]):
            at = np.s_[i * BLOCK:(i + 1) * BLOCK, j * BLOCK:(j + 1) * BLOCK]
            scale[i, j] = max(np.abs(w[at]).max(), 1e-8) / 448
            codes[at] = encode_e4m3(w[at] / scale[i, j])
    return codes, scale


def dequantize(codes, scale):
    """Code times the scale of its block."""
    wide = np.repeat(np.repeat(scale, BLOCK, 0), BLOCK, 1)[:codes.shape[0], :codes.shape[1]]
    return TABLE[codes] * wide


def bf16(x):
    """Round to nearest even BF16, as uint16."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def tensors(c, p, bias):
    """Official name -> (dtype, array) in file order."""
    out = {"model.embed_tokens.weight": ("BF16", bf16(p["embed"]))}
    for n in range(c.layers):
        at = f"model.layers.{n}."
        if n == c.num_hidden_layers:
            out[at + "embed_tokens.weight"] = ("BF16", bf16(p["embed"]))
            out[at + "shared_head.head.weight"] = ("BF16", bf16(p["embed"]))
        for ours, name in NAMES.items():
            if f"{n}.{ours}" in p:
                out[at + name + ".weight"] = ("BF16", bf16(p[f"{n}.{ours}"]))
        dense = n < c.first_k_dense_replace
        for part in MLP:
            out[at + ("mlp." if dense else "mlp.shared_experts.") + part + "_proj.weight"] = ("BF16", bf16(p[f"{n}.{part}"]))
        if dense:
            continue
        out[at + "mlp.gate.e_score_correction_bias"] = ("F32", bias[n].astype(np.float32))
        w13, w2, i = p[f"{n}.w13"], p[f"{n}.w2"], c.moe_intermediate_size
        for e in range(c.n_routed_experts):
            for part, w in zip(MLP, (w13[e, :i], w13[e, i:], w2[e])):
                codes, scale = quantize(w)
                out[f"{at}mlp.experts.{e}.{part}_proj.weight"] = ("F8_E4M3", codes)
                out[f"{at}mlp.experts.{e}.{part}_proj.weight_scale_inv"] = ("F32", scale)
    out["model.norm.weight"] = ("BF16", bf16(p["norm"]))
    out["lm_head.weight"] = ("BF16", bf16(p["embed"]))
    return out


def write_safetensors(path, items):
    """Header, then data; wider types first, so that every tensor is aligned to its size."""
    order = sorted(items, key=lambda n: -items[n][1].itemsize)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in order:
        dtype, a = items[name]
        header[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)  # the data begins with a cache line, as the server's own writer has it
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            f.write(items[name][1].tobytes())


def read_safetensors(path):
    """Name -> float32 tensor, FP8 weights dequantized."""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header, raw = json.loads(data[8:8 + size]), {}
    kinds = {"F32": np.float32, "BF16": np.uint16, "F8_E4M3": np.uint8}
    for name, h in header.items():
        if name != "__metadata__":
            a, b = (8 + size + x for x in h["data_offsets"])
            x = np.frombuffer(data[a:b], kinds[h["dtype"]]).reshape(h["shape"])
            raw[name] = (x.astype(np.uint32) << 16).view(np.float32) if h["dtype"] == "BF16" else x
    return {n: dequantize(x, raw[n + "_scale_inv"]) if x.dtype == np.uint8 else x for n, x in raw.items() if not n.endswith("_scale_inv")}


def load_export(folder):
    """Config, parameters (by our names) and biases of an exported folder."""
    official = json.load(open(os.path.join(folder, "config.json")))
    c = M.Config(**{k: official[k] for k in M.Config.__dataclass_fields__})
    w = read_safetensors(os.path.join(folder, "model.safetensors"))
    p, bias = {"embed": w["model.embed_tokens.weight"], "norm": w["model.norm.weight"]}, np.zeros((c.layers, c.n_routed_experts), np.float32)
    for n in range(c.layers):
        at = f"model.layers.{n}."
        p.update({f"{n}.{ours}": w[at + name + ".weight"] for ours, name in NAMES.items() if at + name + ".weight" in w})
        dense = n < c.first_k_dense_replace
        p.update({f"{n}.{part}": w[at + ("mlp." if dense else "mlp.shared_experts.") + part + "_proj.weight"] for part in MLP})
        if not dense:
            def expert(e, part):
                return w[f"{at}mlp.experts.{e}.{part}_proj.weight"]
            bias[n] = w[at + "mlp.gate.e_score_correction_bias"]
            experts = range(c.n_routed_experts)
            p[f"{n}.w13"] = np.stack([np.concatenate((expert(e, "gate"), expert(e, "up"))) for e in experts])
            p[f"{n}.w2"] = np.stack([expert(e, "down") for e in experts])
    return c, {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in p.items()}, torch.from_numpy(bias)


def config_json(c):
    """The official config shape."""
    return {"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 0,
            "eos_token_id": 1, "ep_size": 1, "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 2048,
            "model_type": "deepseek_v3", "moe_layer_freq": 1, "norm_topk_prob": True, "num_key_value_heads": c.num_attention_heads,
            "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]},
            "rope_scaling": None, "scoring_func": "sigmoid", "tie_word_embeddings": False, "topk_method": "noaux_tc",
            "torch_dtype": "bfloat16", "use_cache": True, **c.__dict__}


TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    "{% set ns = namespace(system='', first=true, last='none') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{%- set ns.system = ns.system + ('' if ns.first else '\n\n') + (message['content'] or '') %}{%- set ns.first = false %}"
    "{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '" + USER + "' + (message['content'] or '') }}{%- set ns.last = 'user' %}"
    "{%- elif message['role'] == 'tool' %}{{ '" + OUT + "' + (message['content'] or '') + '" + OUT_END + "' }}{%- set ns.last = 'tool' %}"
    "{%- elif message['role'] == 'assistant' %}"
    "{%- set calls = message['tool_calls'] if message['tool_calls'] is defined and message['tool_calls'] else [] %}"
    "{%- if ns.last == 'user' or (calls and ns.last == 'none') %}{{ '" + BOT + END_THINK + "' }}{%- endif %}"
    "{%- set content = message['content'] or '' %}"
    "{%- if not calls and ns.last != 'tool' and '" + END_THINK + "' in content %}"
    "{%- set content = content.split('" + END_THINK + "', 1)[1] %}{%- endif %}{{ content }}"
    "{%- if calls %}{{ '" + CALLS + "' }}{%- for call in calls %}"
    "{{ '" + CALL + "' + call['function']['name'] + '" + SEP + "' + call['function']['arguments'] + '" + CALL_END + "' }}"
    "{%- endfor %}{{ '" + CALLS_END + "' }}{%- endif %}{{ eos_token }}{%- set ns.last = 'assistant' %}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt and ns.last != 'tool' %}{{ '" + BOT + "' }}"
    "{%- if thinking %}{{ '" + THINK + "' }}{%- else %}{{ '" + END_THINK + "' }}{%- endif %}{%- endif %}")


def tokenizer_config():
    """tokenizer_config.json with the v3.1 chat template."""
    def token(s):
        return {"__type": "AddedToken", "content": s, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"add_bos_token": True, "add_eos_token": False, "bos_token": token(BOS), "clean_up_tokenization_spaces": False,
            "eos_token": token(EOS), "legacy": True, "model_max_length": 2048, "pad_token": token(EOS), "sp_model_kwargs": {},
            "unk_token": None, "tokenizer_class": "LlamaTokenizerFast", "chat_template": TEMPLATE}


def write_json(path, value):
    """Indented JSON, text as it is."""
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=2)
        f.write("\n")


def main():
    """Export a checkpoint."""
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--checkpoint", default="checkpoint.pt")
    a.add_argument("--tokenizer", default="../../models/demo/tokenizer.json")
    a.add_argument("--out", default="../../models/demo")
    args = a.parse_args()
    saved = torch.load(args.checkpoint)
    c = M.Config(**saved["config"])
    assert c.vocab_size == Tokenizer(args.tokenizer).size
    p = {name: v.numpy() for name, v in M.views(saved["flat"], c).items()}
    os.makedirs(args.out, exist_ok=True)
    write_safetensors(os.path.join(args.out, "model.safetensors"), tensors(c, p, saved["bias"].numpy()))
    write_json(os.path.join(args.out, "config.json"), config_json(c))
    write_json(os.path.join(args.out, "tokenizer_config.json"), tokenizer_config())
    write_json(os.path.join(args.out, "generation_config.json"),
               {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 1, "do_sample": True, "temperature": 0.3, "top_p": 0.95})
    target = os.path.join(args.out, "tokenizer.json")
    if os.path.abspath(target) != os.path.abspath(args.tokenizer):
        shutil.copy(args.tokenizer, target)
    print(f"{sum(os.path.getsize(os.path.join(args.out, f)) for f in os.listdir(args.out)) / 1e6:.2f} MB in {args.out}, "
          f"trained on {int(saved['clock'][1])} tokens")


if __name__ == "__main__":
    main()
