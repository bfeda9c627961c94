"""Compiles kernels.c with the C compiler at hand and wraps it for autograd; without one the torch code of model.py is used."""
import ctypes
import os
import subprocess
import tempfile

import numpy as np
import torch

import model as M


MAXROWS = 4096


def build(c):
    """The compiled library for a config, or None."""
    folder = tempfile.mkdtemp(prefix="kernels")
    path = os.path.join(folder, "kernels.so")
    sizes = {"H": c.hidden_size, "I": c.moe_intermediate_size, "Q": c.qk_nope_head_dim + c.qk_rope_head_dim, "V": c.v_head_dim, "MAXROWS": MAXROWS}
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernels.c")
    try:
        subprocess.run(["cc", "-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-fno-math-errno", "-shared", "-fPIC",
                        *(f"-D{k}={v}" for k, v in sizes.items()), source, "-o", path, "-lm"], check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ctypes.CDLL(path)


def at(tensor):
    """Address of a contiguous tensor or array."""
    if isinstance(tensor, np.ndarray):
        return ctypes.c_void_p(tensor.ctypes.data)
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


def install(c):
    """Make model.py use the compiled kernels; says whether there are any."""
    library = build(c)
    if library:
        Experts.library = Attention.library = M.FAST["library"] = library
        M.FAST.update(experts=Experts.apply, attention=Attention.apply, choose=choose, rms=RmsNorm.apply, adam=adam)
    return library is not None


def choose(c, scores, bias):
    """As model.choose, in C."""
    ids = torch.empty(len(scores), c.num_experts_per_tok, dtype=torch.int64)
    M.FAST["library"].choose(at(scores.contiguous()), at(bias.contiguous()), len(scores), c.n_routed_experts, c.n_group, c.topk_group,
                             c.num_experts_per_tok, at(ids))
    return ids


def adam(p, g, m, v, keep, rate):
    """One AdamW step in place."""
    M.FAST["library"].adam(at(p), at(g), at(m), at(v), ctypes.c_long(p.numel()), ctypes.c_float(keep), ctypes.c_float(rate))


class RmsNorm(torch.autograd.Function):
    """As model.rms, in C."""

    @staticmethod
    def forward(ctx, x, w):
        x, w = x.detach().contiguous(), w.detach()
        out, scale, rows = torch.empty_like(x), x.new_empty(x.shape[:-1]), x.numel() // x.shape[-1]
        M.FAST["library"].rms_forward(at(x), at(w), ctypes.c_long(rows), x.shape[-1], at(out), at(scale))
        ctx.rest = (x, w, scale, rows)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, w, scale, rows = ctx.rest
        grad, dx, dw = grad.contiguous(), torch.empty_like(x), torch.zeros_like(w)
        M.FAST["library"].rms_backward(at(grad), at(x), at(w), at(scale), ctypes.c_long(rows), x.shape[-1], at(dx), at(dw))
        return dx, dw


class Experts(torch.autograd.Function):
    """As model.Experts, in C; at most MAXROWS tokens at a time."""
    library = None

    @staticmethod
    def forward(ctx, x, weights, ids, w13, w2, g13, g2):
        n, k = ids.shape
        assert n <= MAXROWS, "kernels.c keeps rows of one expert in buffers of MAXROWS"
        flat = ids.numpy().reshape(-1)
        order = np.argsort(flat.astype(np.uint8), kind="stable")
        start = np.zeros(len(w13) + 1, np.int32)
        np.cumsum(np.bincount(flat, minlength=len(w13)), out=start[1:])
        token = (order // k).astype(np.int32)
        x, order = x.detach().contiguous(), torch.from_numpy(order)
        w = weights.detach().reshape(-1)[order]
        out, h = torch.zeros_like(x), x.new_empty(n * k, w13.shape[1])
        Experts.library.experts_forward(at(x), at(w), at(token), at(start), len(w13), at(w13), at(w2), at(out), at(h))
        ctx.rest = (x, w, token, start, order, h, w13, w2, g13, g2, n, k)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, w, token, start, order, h, w13, w2, g13, g2, n, k = ctx.rest
        grad, dx, dw = grad.contiguous(), torch.zeros_like(x), torch.empty(n * k)
        Experts.library.experts_backward(at(grad), at(x), at(w), at(token), at(start), len(w13), at(w13), at(w2), at(h), at(dx), at(dw),
                                         at(g13), at(g2))
        dweights = torch.empty(n * k)
        dweights[order] = dw
        return dx, dweights.view(n, k), None, None, None, None, None


class Attention(torch.autograd.Function):
    """Causal attention within each document of the flat batch; q [N, heads, d] is already scaled."""
    library = None

    @staticmethod
    def forward(ctx, q, k, v, sizes):
        q, k, v = (t.detach().contiguous() for t in (q, k, v))
        out, lse, first, heads = torch.empty_like(v), v.new_empty(v.shape[0], v.shape[1]), 0, q.shape[1]
        for size in sizes:
            parts = [at(t[first:first + size]) for t in (q, k, v)]
            Attention.library.attention_forward(*parts, size, heads, at(out[first:]), at(lse[first:]))
            first += size
        ctx.save_for_backward(q, k, v, out, lse)  # an output kept in an attribute would keep itself alive
        ctx.sizes = sizes
        return out

    @staticmethod
    def backward(ctx, grad):
        (q, k, v, out, lse), sizes = ctx.saved_tensors, ctx.sizes
        grad, first = grad.contiguous(), 0
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for size in sizes:
            parts = [at(t[first:]) for t in (grad, q, k, v, out, lse)]
            Attention.library.attention_backward(*parts, size, q.shape[1], at(dq[first:]), at(dk[first:]), at(dv[first:]))
            first += size
        return dq, dk, dv, None
