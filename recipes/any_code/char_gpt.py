"""A character-level GPT in the style of nanoGPT, on sums in words. Alone: python char_gpt.py --lr=3e-3 --warmup=40

Parameter groups (matrices decay, other parameters do not), warmup and cosine, gradient clipping.
"""

import argparse
import math
import random

import torch
from torch import nn
from torch.nn import functional as F

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number):
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")


def text_of(lines):
    """Sums such as "twelve plus three is fifteen.", always the same."""
    draw = random.Random(0)
    pairs = [(draw.randrange(50), draw.randrange(50)) for _ in range(lines)]
    return "\n".join(f"{in_words(a)} plus {in_words(b)} is {in_words(a + b)}." for a, b in pairs)


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.join = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.attend(self.norm1(x)).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        x = x + self.join(mixed.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, symbols, context, width, layers, heads, dropout):
        super().__init__()
        self.symbols, self.places = nn.Embedding(symbols, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads, dropout) for _ in range(layers)], nn.LayerNorm(width))
        self.head = nn.Linear(width, symbols, bias=False)
        self.head.weight = self.symbols.weight
        self.apply(self.start)

    def start(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, x, targets):
        hidden = self.blocks(self.symbols(x) + self.places.weight[: x.shape[1]])
        return F.cross_entropy(self.head(hidden).flatten(0, 1), targets.flatten())


def rate(step, args):
    """Warmup, then a cosine to a tenth; without warmup, constant."""
    if not args.warmup:
        return args.lr
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    done = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def train(args, report, save=lambda state: None, resume=lambda: None):
    """Calls ``report`` with the losses at every evaluation, then ``save`` with the state that ``resume`` returns later."""
    torch.manual_seed(args.seed)
    text = text_of(4000)
    known = sorted(set(text))
    data = torch.tensor([known.index(symbol) for symbol in text])
    parts = {"train": data[: len(data) * 9 // 10], "valid": data[len(data) * 9 // 10 :]}

    def batch(part, number):
        draw = torch.Generator().manual_seed(1_000_003 * args.seed + number)
        starts = torch.randint(len(parts[part]) - args.context, (args.batch_size, 1), generator=draw)
        rows = parts[part][starts + torch.arange(args.context + 1)].to(args.device)
        return rows[:, :-1], rows[:, 1:]

    model = GPT(len(known), args.context, args.width, args.layers, args.heads, args.dropout).to(args.device)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": args.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, args.lr, betas=(0.9, 0.99))

    done, total = 0, 0.0
    if state := resume():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
    for step in range(done, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args)
        loss = model(*batch("train", step))
        optimizer.zero_grad()
        loss.backward()
        if args.clip:
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        total += loss.item()
        if (step + 1) % args.every == 0:
            model.eval()
            with torch.no_grad():
                valid = sum(model(*batch("valid", -1 - i)).item() for i in range(5)) / 5
            model.train()
            report(step=step + 1, train_loss=total / args.every, valid_loss=valid)
            total = 0.0
            save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1})


def parser():
    found = argparse.ArgumentParser(allow_abbrev=False)
    found.add_argument("--lr", type=float, default=3e-3)
    found.add_argument("--warmup", type=int, default=0, help="steps of warmup, then a cosine; 0: a constant rate")
    found.add_argument("--clip", type=float, default=0.0, help="largest norm of the gradient; 0: any")
    found.add_argument("--decay", type=float, default=0.0, help="weight decay of the matrices")
    found.add_argument("--steps", type=int, default=400)
    found.add_argument("--every", type=int, default=50, help="steps between evaluations")
    found.add_argument("--width", type=int, default=48)
    found.add_argument("--layers", type=int, default=2)
    found.add_argument("--heads", type=int, default=4)
    found.add_argument("--dropout", type=float, default=0.0)
    found.add_argument("--context", type=int, default=64)
    found.add_argument("--batch_size", type=int, default=16)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--device", default="cpu")
    return found


def main(run, **args):
    """For ablate."""
    words = [f"--{name}={value}" for name, value in args.items()]
    parsed = parser().parse_args([*words, f"--seed={run.seed}", f"--device={run.device}"])
    train(parsed, run.log, run.checkpoint, run.resume)


def show(step, train_loss, valid_loss):
    print(f"step {step}: train loss {train_loss:.4f}, val loss {valid_loss:.4f}", flush=True)


if __name__ == "__main__":
    train(parser().parse_args(), show)
