"""Trains the demo model on the CPU: processes of one thread each share the parameters and take turns to update them.

A worker never waits for the other's batch, so a busy machine costs no more than its share.
"""
import argparse
import json
import math
import os
import time

os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import kernels
import model as M
from bpe import Tokenizer
from data import Stream

WORKERS, TOKENS, MUON_LR, ADAM_LR, ROUTER_SHARE, DECAY = 2, 2048, 0.015, 1.5e-3, 0.12, 0.05
PRACTICE, PRACTICE_COPYING, LONG_FROM, LONG_STEPS, MTP_EVERY, MTP_WEIGHT = 0.17, 0.4, 0.35, 0.07, 4, 0.5


def loss_of(c, p, grads, bias, batch, tables, with_mtp, loads):
    """Cross entropy on answer tokens, plus the MTP module's; returns (total, mean of the main part)."""
    ids, pos, said, sizes = batch
    ids, pos, said = (torch.from_numpy(x) for x in (ids, pos, said))
    cos, sin, causal = tables
    cs = cos[pos], sin[pos]
    one = torch.zeros_like(said)  # the next token is said (a document's first token never is)
    one[:-1] = said[1:]
    two = torch.zeros_like(said)  # the next and the second-next token are said
    two[:-2] = said[2:] & said[1:-1]

    def attend(n, x):
        return M.attention(c, p, n, x, cs, sizes, causal)

    at = one.nonzero().squeeze(1)
    hidden = M.trunk(c, p, grads, bias, ids, attend, loads, None if with_mtp else at)
    each = F.cross_entropy(F.linear(hidden[at] if with_mtp else hidden, p["embed"]), ids[at + 1], reduction="sum")
    main, mean = each / max(len(at), 300), each.item() / max(len(at), 1)
    if not with_mtp:
        return main, mean
    at = two.nonzero().squeeze(1)
    ahead = M.mtp(c, p, grads, bias, hidden, torch.cat((ids[1:], ids[:1])), attend, loads, at)
    extra = F.cross_entropy(F.linear(ahead, p["embed"]), ids[at + 2], reduction="sum") / max(len(at), 300)
    return main + MTP_WEIGHT * extra, mean


def orthogonal(g):
    """Five Newton-Schulz steps (Muon)."""
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    for _ in range(5):
        a = x @ x.t()
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.t() if tall else x


class Optimizer:
    """Muon for matrices, AdamW for the rest; its state is shared by the workers."""

    def __init__(self, c, flat):
        self.flat, self.muon, self.adam, at = flat, [], [], 0
        self.steps = torch.zeros(2, dtype=torch.int64).share_memory_()  # main model, MTP module
        self.first, self.second = (torch.zeros_like(flat).share_memory_() for _ in range(2))
        for name, shape, kind in M.parameter_list(c):
            size = math.prod(shape)
            group = int(name.startswith(f"{c.num_hidden_layers}."))
            if kind == "muon":
                self.muon.append((at, size, shape, group))
            else:
                share = ROUTER_SHARE if name.endswith("router") else 1.0
                self.adam += [(a, min(1 << 15, at + size - a), group, share, 0.0 if len(shape) == 1 else DECAY)
                              for a in range(at, at + size, 1 << 15)]
            at += size

    def step(self, gradient, factor, with_mtp):
        """One update; `factor` scales both learning rates."""
        self.steps[0] += 1
        self.steps[1] += int(with_mtp)
        for a, n, shape, group in self.muon:
            if group <= with_mtp:
                g, momentum, p = (x[a:a + n].view(shape) for x in (gradient, self.first, self.flat))
                momentum.mul_(0.95).add_(g)
                lr = MUON_LR * factor
                p.mul_(1 - lr * DECAY).add_(orthogonal(g + 0.95 * momentum), alpha=-lr * max(1.0, shape[0] / shape[1]) ** 0.5)
        for a, n, group, share, decay in self.adam:
            if group <= with_mtp:
                t, lr = int(self.steps[group]), ADAM_LR * factor * share
                g, m, v, p = (x[a:a + n] for x in (gradient, self.first, self.second, self.flat))
                rate = lr * (1 - 0.98 ** t) ** 0.5 / (1 - 0.9 ** t)
                if "adam" in M.FAST:
                    M.FAST["adam"](p, g, m, v, 1 - lr * decay, rate)
                    continue
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.98).addcmul_(g, g, value=0.02)
                p.mul_(1 - lr * decay).addcdiv_(m, v.sqrt().add_(1e-9), value=-rate)


def balance(bias, smooth, seen, progress):
    """Auxiliary-loss-free rule: raise the bias of experts with little load, on smoothed loads."""
    u = 0.001 + 0.015 * max(0.0, 1 - progress / 0.8) ** 2
    for n in range(len(bias)):
        if seen[n].sum() > 0:
            smooth[n].mul_(0.93).add_(seen[n] / seen[n].mean(), alpha=0.07)
            bias[n] += u * (1 - smooth[n]).clamp(-2, 1)
            bias[n] -= bias[n].mean()


def schedule(step, progress):
    """Warm-up over 100 steps, then a cosine over the time budget down to 3%."""
    return min(1.0, (step + 1) / 100) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def report(c, clock, losses, smooth, seconds):
    """One line of the log."""
    top = smooth[c.first_k_dense_replace:].amax(1).tolist()
    print(f"step {int(clock[3])} loss {sum(losses[-50:]) / len(losses[-50:]):.4f} tokens {int(clock[1])} minutes {seconds / 60:.1f} "
          f"progress {float(clock[0]):.3f} load max/mean {' '.join(f'{x:.2f}' for x in top)}", flush=True)


def worker(rank, args, c, shared, optimizer, lock):
    """One training process; worker 0 also writes the log and the checkpoints."""
    torch.set_num_threads(1)
    flat, bias, smooth, clock = shared
    gradient, loads = torch.zeros_like(flat), torch.zeros_like(bias)
    p, grads = M.views(flat, c), M.views(gradient, c)
    dense = [name for name in p if name.split(".")[-1] not in ("w13", "w2")]
    for name in dense:
        p[name].requires_grad_()
        p[name].grad = grads[name]
    stream = Stream(Tokenizer(args.tokenizer), args.seed * 1000 + rank + int(clock[2]) * 7919)
    tables = (*M.rope_table(c, 2048), M.causal_mask(2048))
    start, saved, losses, step = time.time(), time.time(), [], 0
    while clock[0] < 1:
        with_mtp, progress = step % MTP_EVERY == 1, float(clock[0])
        long = (step * 0.61803) % 1 < LONG_STEPS and progress > LONG_FROM
        batch = stream.batch(TOKENS, long, PRACTICE_COPYING if progress < PRACTICE else 0.0)
        for name in dense:
            grads[name].zero_()
        loads.zero_()
        total, main = loss_of(c, p, grads, bias, batch, tables, with_mtp, loads)
        total.backward()
        losses.append(main)
        with lock, torch.no_grad():
            optimizer.step(gradient, schedule(int(clock[3]), progress), with_mtp)
            balance(bias, smooth, loads, progress)
            clock[1] += TOKENS
            clock[3] += 1
        step, now = step + 1, time.time()
        if rank == 0:
            clock[0] = args.start_at + (1 - args.start_at) * (now - start) / (args.minutes * 60)
            if step % 50 == 0:
                report(c, clock, losses, smooth, now - start)
            if now - saved > args.save_every or clock[0] >= 1:
                save(args.out, c, flat, bias, clock)
                saved = now


def save(path, c, flat, bias, clock):
    """Write a checkpoint, never leaving half a file."""
    torch.save({"config": c.__dict__, "flat": flat.detach(), "bias": bias, "clock": clock}, path + ".part")
    os.replace(path + ".part", path)


def main():
    """Parse arguments, share the memory, fork the workers."""
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--minutes", type=float, default=95, help="time budget; the schedule ends with it")
    a.add_argument("--tokenizer", default="../../models/demo/tokenizer.json")
    a.add_argument("--out", default="checkpoint.pt")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--save-every", type=float, default=180, help="seconds between checkpoints")
    a.add_argument("--resume", help="checkpoint to continue from (optimizer state starts anew)")
    a.add_argument("--start-at", type=float, default=0.0, help="progress at the start, for a resumed run")
    args = a.parse_args()
    c = M.Config(vocab_size=Tokenizer(args.tokenizer).size)
    print("compiled kernels" if kernels.install(c) else "no C compiler: plain torch")
    size = M.flat_size(c)
    flat = torch.zeros(size).share_memory_()
    bias = torch.zeros(c.layers, c.n_routed_experts).share_memory_()
    smooth = torch.ones(c.layers, c.n_routed_experts).share_memory_()
    clock = torch.zeros(4, dtype=torch.float64).share_memory_()  # progress, tokens, resumptions, steps
    if args.resume:
        old = torch.load(args.resume)
        flat.copy_(old["flat"])
        bias.copy_(old["bias"])
        clock[1], clock[2] = old["clock"][1], old["clock"][2] + 1
    else:
        M.initialize(M.views(flat, c), args.seed)
    clock[0] = args.start_at
    print(json.dumps(c.__dict__), f"{size / 1e6:.1f} M parameters", flush=True)
    fork = mp.get_context("fork")
    lock, optimizer = fork.Lock(), Optimizer(c, flat)
    workers = [fork.Process(target=worker, args=(r, args, c, (flat, bias, smooth, clock), optimizer, lock)) for r in range(WORKERS)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()


if __name__ == "__main__":
    main()
