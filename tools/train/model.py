"""The DeepSeek-V3 architecture at demo size: MLA, sigmoid noaux_tc routing, one MTP module.

Tokens of a batch lie flat in one dimension, document after document; attention runs within each.
All parameters are views of one flat float32 buffer, so that two processes can share it.
"""
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

QUERIES = 160  # queries of a document that attend together
FAST = {}  # compiled stand-ins, see kernels.py


@dataclass
class Config:
    """Sizes of the model; the names are those of the official config.json."""
    vocab_size: int = 2560
    hidden_size: int = 192
    intermediate_size: int = 384
    moe_intermediate_size: int = 24
    num_hidden_layers: int = 4
    first_k_dense_replace: int = 1
    num_attention_heads: int = 4
    q_lora_rank: int = 64
    kv_lora_rank: int = 64
    qk_nope_head_dim: int = 32
    qk_rope_head_dim: int = 16
    v_head_dim: int = 32
    n_routed_experts: int = 256
    n_shared_experts: int = 1
    num_experts_per_tok: int = 8
    n_group: int = 8
    topk_group: int = 4
    routed_scaling_factor: float = 1.5
    rope_theta: float = 1000.0
    rms_norm_eps: float = 1e-6
    num_nextn_predict_layers: int = 1

    @property
    def layers(self):
        """Decoder layers, the MTP layer included."""
        return self.num_hidden_layers + self.num_nextn_predict_layers


def parameter_list(c):
    """(name, shape, kind) of every trained tensor; kind is muon, adam or expert."""
    h, i, heads = c.hidden_size, c.moe_intermediate_size, c.num_attention_heads
    out = [("embed", (c.vocab_size, h), "adam"), ("norm", (h,), "adam")]
    for n in range(c.layers):
        p = f"{n}."
        if n >= c.num_hidden_layers:
            out += [(p + "enorm", (h,), "adam"), (p + "hnorm", (h,), "adam"),
                    (p + "eh_proj", (h, 2 * h), "muon"), (p + "head_norm", (h,), "adam")]
        out += [(p + "ln1", (h,), "adam"), (p + "ln2", (h,), "adam"),
                (p + "q_a", (c.q_lora_rank, h), "muon"), (p + "q_ln", (c.q_lora_rank,), "adam"),
                (p + "q_b", (heads * (c.qk_nope_head_dim + c.qk_rope_head_dim), c.q_lora_rank), "muon"),
                (p + "kv_a", (c.kv_lora_rank + c.qk_rope_head_dim, h), "muon"),
                (p + "kv_ln", (c.kv_lora_rank,), "adam"),
                (p + "kv_b", (heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank), "muon"),
                (p + "o", (h, heads * c.v_head_dim), "muon")]
        width = c.intermediate_size if n < c.first_k_dense_replace else i * c.n_shared_experts
        out += [(p + "gate", (width, h), "muon"), (p + "up", (width, h), "muon"), (p + "down", (h, width), "muon")]
        if n >= c.first_k_dense_replace:
            out += [(p + "router", (c.n_routed_experts, h), "adam"),
                    (p + "w13", (c.n_routed_experts, 2 * i, h), "expert"),
                    (p + "w2", (c.n_routed_experts, h, i), "expert")]
    return out


def views(flat, c):
    """Name -> view of the flat buffer."""
    out, at = {}, 0
    for name, shape, _ in parameter_list(c):
        size = math.prod(shape)
        out[name] = flat[at:at + size].view(shape)
        at += size
    return out


def flat_size(c):
    """Floats in the flat buffer."""
    return sum(math.prod(shape) for _, shape, _ in parameter_list(c))


def initialize(params, seed):
    """Random start: norms one, embedding 0.3, matrices by fan-in, outputs of blocks smaller."""
    g = torch.Generator().manual_seed(seed)
    for name, p in params.items():
        last = name.split(".")[-1]
        if p.dim() == 1:
            p.fill_(1.0)
        elif last == "embed":
            p.normal_(0, 0.3, generator=g)
        else:
            scale = 0.4 if last in ("o", "down", "w2", "router") else 1.0
            p.normal_(0, scale / math.sqrt(p.shape[-1]), generator=g)


def rms(x, w, eps=1e-6):
    """RMSNorm."""
    if "rms" in FAST:
        return FAST["rms"](x, w)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w


def rope_table(c, length):
    """cos and sin, length x rope/2."""
    d = c.qk_rope_head_dim
    inv = c.rope_theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), inv)
    return angle.cos().float(), angle.sin().float()


def rotate(x, cos, sin):
    """Interleaved rotation of pairs (2i, 2i+1) of x [..., heads, d]; cos, sin [..., 1, d/2]."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def project_qkv(c, p, n, x, cos, sin):
    """q, k [N, heads, nope+rope] and v [N, heads, v] of layer n; naive (not absorbed) MLA."""
    heads, nope = c.num_attention_heads, c.qk_nope_head_dim
    q = F.linear(rms(F.linear(x, p[f"{n}.q_a"]), p[f"{n}.q_ln"]), p[f"{n}.q_b"]).unflatten(-1, (heads, -1))
    kv = F.linear(x, p[f"{n}.kv_a"])
    latent, k_pe = kv[..., :c.kv_lora_rank], kv[..., c.kv_lora_rank:]
    kv = F.linear(rms(latent, p[f"{n}.kv_ln"]), p[f"{n}.kv_b"]).unflatten(-1, (heads, -1))
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    q = torch.cat((q[..., :nope], rotate(q[..., nope:], cos, sin)), -1)
    k_pe = rotate(k_pe.unsqueeze(-2), cos, sin).expand(*k_pe.shape[:-1], heads, -1)
    return q, torch.cat((kv[..., :nope], k_pe), -1), kv[..., nope:]


def attention(c, p, n, x, rope, sizes, causal, scale=None):
    """MLA within each document; sizes are the documents' lengths, causal the additive mask."""
    q, k, v = project_qkv(c, p, n, x, *rope)
    q = q * (scale or (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5)
    if "attention" in FAST:
        return F.linear(FAST["attention"](q, k, v, sizes).flatten(1), p[f"{n}.o"])
    parts = []
    q, k, v = (t.transpose(0, 1).contiguous().split(sizes, 1) for t in (q, k, v))
    for size, qd, kd, vd in zip(sizes, q, k, v):
        kd = kd.transpose(1, 2)
        for a in range(0, size, QUERIES):  # later keys are never computed
            b = min(a + QUERIES, size)
            scores = torch.bmm(qd[:, a:b], kd[:, :, :b]).add_(causal[a:b, :b])
            parts.append(torch.bmm(scores.softmax(-1), vd[:, :b]).transpose(0, 1).flatten(1))
    return F.linear(torch.cat(parts), p[f"{n}.o"])


def causal_mask(length):
    """Zero on and below the diagonal, very negative above."""
    return torch.full((length, length), -1e9).triu_(1)


def choose(c, scores, bias):
    """Ids of the chosen experts: groups by the sum of their two best biased scores, then the best of what is left."""
    s = (scores + bias).view(len(scores), c.n_group, -1)
    best, where = s.max(-1, keepdim=True)
    group = best.squeeze(-1) + s.scatter(-1, where, -1e9).amax(-1)
    rank = (group.unsqueeze(1) > group.unsqueeze(2)).sum(-1)
    s = s.masked_fill((rank >= c.topk_group).unsqueeze(-1), -1e9).view(len(scores), -1)
    k = c.num_experts_per_tok
    return torch.from_numpy(np.argpartition(s.numpy(), s.shape[1] - k, axis=1)[:, -k:].copy())


def route(c, router, bias, x):
    """noaux_tc: ids [N, k] chosen with the bias, weights from the unbiased sigmoid scores."""
    scores = F.linear(x, router).sigmoid()
    with torch.no_grad():
        ids = FAST.get("choose", choose)(c, scores, bias)
    w = scores.gather(1, ids)
    return ids, w / w.sum(1, keepdim=True) * c.routed_scaling_factor


class Experts(torch.autograd.Function):
    """Routed experts: rows sorted by expert, one product per expert; weight gradients go
    straight into the buffers g13, g2 (overwritten, so each layer may run once a step)."""

    @staticmethod
    def forward(ctx, x, weights, ids, w13, w2, g13, g2):
        n, k = ids.shape
        flat = ids.numpy().reshape(-1)
        order = np.argsort(flat.astype(np.uint8), kind="stable")
        counts = np.bincount(flat, minlength=len(w13)).tolist()
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        order, inverse = torch.from_numpy(order), torch.from_numpy(inverse)
        token = order.div(k, rounding_mode="floor")
        rows, h, act = x[token], x.new_empty(n * k, w13.shape[1]), None
        used = [e for e, m in enumerate(counts) if m]
        sizes = [counts[e] for e in used]
        for e, a, b in zip(used, rows.split(sizes), h.split(sizes)):
            torch.mm(a, w13[e].t(), out=b)
        gate, up = h.chunk(2, 1)
        sig = gate.sigmoid()
        w = weights.reshape(-1)[order].unsqueeze(1)
        act = gate * sig * up
        scaled, y = act * w, torch.empty_like(rows)
        for e, a, b in zip(used, scaled.split(sizes), y.split(sizes)):
            torch.mm(a, w2[e].t(), out=b)
        ctx.save_for_backward(rows, h, sig, act, scaled, w, token, inverse, order)
        ctx.rest = (used, sizes, w13, w2, g13, g2, n, k)
        return y[inverse].view(n, k, -1).sum(1)

    @staticmethod
    def backward(ctx, grad):
        rows, h, sig, act, scaled, w, token, inverse, order = ctx.saved_tensors
        used, sizes, w13, w2, g13, g2, n, k = ctx.rest
        for e in set(range(len(w13))) - set(used):
            g13[e].zero_()
            g2[e].zero_()
        dy, da = grad[token], torch.empty_like(act)
        for e, d, a, b in zip(used, dy.split(sizes), da.split(sizes), scaled.split(sizes)):
            torch.mm(d, w2[e], out=a)
            torch.mm(d.t(), b, out=g2[e])
        dw = torch.empty(n * k)
        dw[order] = (da * act).sum(1)
        da = da * w
        gate, up = h.chunk(2, 1)
        dh = torch.cat((da * up * sig * (1 + gate * (1 - sig)), da * gate * sig), 1)
        dx = torch.empty_like(rows)
        for e, d, a, b in zip(used, dh.split(sizes), dx.split(sizes), rows.split(sizes)):
            torch.mm(d, w13[e], out=a)
            torch.mm(d.t(), b, out=g13[e])
        return dx[inverse].view(n, k, -1).sum(1), dw.view(n, k), None, None, None, None, None


def mlp(p, n, x):
    """The dense MLP of layer n, or its shared expert."""
    return F.linear(F.silu(F.linear(x, p[f"{n}.gate"])) * F.linear(x, p[f"{n}.up"]), p[f"{n}.down"])


def feed_forward(c, p, grads, bias, n, x, loads):
    """Dense MLP or routed experts plus the shared one; adds to loads[n] what each expert got."""
    if n < c.first_k_dense_replace:
        return mlp(p, n, x)
    ids, weights = route(c, p[f"{n}.router"], bias[n], x)
    if loads is not None:
        loads[n] += torch.bincount(ids.reshape(-1), minlength=c.n_routed_experts)
    g13, g2 = (grads[f"{n}.w13"], grads[f"{n}.w2"]) if grads else (None, None)
    return FAST.get("experts", Experts.apply)(x, weights, ids, p[f"{n}.w13"], p[f"{n}.w2"], g13, g2) + mlp(p, n, x)


def layer(c, p, grads, bias, n, x, attend, loads, keep=None):
    """One decoder layer; attend(n, normed x) is the attention, keep the positions wanted of the result."""
    y = attend(n, rms(x, p[f"{n}.ln1"]))
    x = x + y if keep is None else x[keep] + y[keep]
    return x + feed_forward(c, p, grads, bias, n, rms(x, p[f"{n}.ln2"]), loads)


def trunk(c, p, grads, bias, ids, attend, loads=None, keep=None):
    """Hidden states after the final norm, at the positions `keep` (default: all)."""
    x = F.embedding(ids, p["embed"])
    for n in range(c.num_hidden_layers):
        last = keep is not None and n == c.num_hidden_layers - 1
        x = layer(c, p, grads, bias, n, x, attend, None if last else loads, keep if last else None)
    return rms(x, p["norm"])


def mtp(c, p, grads, bias, hidden, next_ids, attend, loads=None, keep=None):
    """Hidden states of the MTP module (after its head norm): position i predicts token i+2."""
    n = c.num_hidden_layers
    e = rms(F.embedding(next_ids, p["embed"]), p[f"{n}.enorm"])
    x = F.linear(torch.cat((e, rms(hidden, p[f"{n}.hnorm"])), -1), p[f"{n}.eh_proj"])
    return rms(layer(c, p, grads, bias, n, x, attend, loads, keep), p[f"{n}.head_norm"])
