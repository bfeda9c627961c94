"""Sums of up to three digits with written steps, least significant digit first."""


def add_steps(a, b):
    """Column by column: digit+digit+carry=sum."""
    steps, carry = [], 0
    for i in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        steps.append(f"{x}+{y}+{carry}={x + y + carry}")
        carry = (x + y + carry) // 10
    return ", ".join(steps)


def sub_steps(a, b):
    """Column by column: digit-digit-borrow; a smaller first number swaps the two."""
    if a < b:
        return f"{a}<{b}, so {b}-{a}: {sub_steps(b, a)}, so -{b - a}"
    steps, borrow = [], 0
    for i in range(len(str(a))):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        take = x - y - borrow < 0
        steps.append(f"{x + 10 * take}-{y}-{borrow}={x + 10 * take - y - borrow}")
        borrow = int(take)
    return ", ".join(steps)


def mul_steps(a, b):
    """One row for each digit of b: digit*digit=product+what is there+carry=sum, then the value so far."""
    rows, total = [], 0
    for j, d in enumerate(reversed(str(b))):
        steps, carry, d = [], 0, int(d)
        for i, x in enumerate(reversed(str(a))):
            old = total // 10 ** (i + j) % 10
            value = int(x) * d + old + carry
            steps.append(f"{x}*{d}={int(x) * d:02d}+{old}+{carry}={value:02d}")
            carry = value // 10
        total += a * d * 10 ** j
        rows.append(", ".join(steps) + f" -> {total}")
    return "; ".join(rows)


OPS = {"add": ("+", add_steps, lambda a, b: a + b), "sub": ("-", sub_steps, lambda a, b: a - b),
       "mul": ("*", mul_steps, lambda a, b: a * b)}
WORDS = {
    "add": ["{a} plus {b}", "the sum of {a} and {b}", "{a} added to {b}"],
    "sub": ["{a} minus {b}", "{a} take away {b}", "the difference {a} - {b}"],
    "mul": ["{a} times {b}", "the product of {a} and {b}", "{a} multiplied by {b}", "{a} x {b}"]}
PLAIN = ["{a} {o} {b}", "{a} {o} {b}", "{a}{o}{b}"]
ASK = ["What is {}?", "What is {}?", "What's {}?", "Calculate {}.", "Compute {}", "How much is {}?", "Please calculate {}.",
       "{}", "{} =", "{}=?", "{} = ?", "Can you compute {}?", "Tell me {}.", "Solve {}", "I need to know {}.", "what is {}",
       "Hi, what is {}?", "Evaluate {}.", "Work out {}.", "Could you add up or compute {}?", "What does {} give?"]
STORIES = {
    "add": ["{n} has {a} {t}s and gets {b} more. How many {t}s does {n} have now?", "There are {a} {t}s here and {b} there. How many in total?"],
    "sub": ["{n} has {a} {t}s and gives away {b}. How many are left?", "There were {a} {t}s and {b} were sold. How many remain?"],
    "mul": ["{n} has {a} boxes with {b} {t}s each. How many {t}s are there?", "There are {a} shelves with {b} {t}s on each. How many {t}s in total?"]}


def operands(r, op):
    """Two numbers; sizes vary, products lean to shorter ones."""
    digits = r.choice([(1, 1), (2, 1), (2, 2), (2, 2), (3, 2), (3, 3), (3, 3), (3, 1)])
    if op == "mul":
        digits = r.choice([(1, 1), (2, 1), (2, 1), (2, 2), (2, 2), (3, 1), (3, 2), (3, 3), (3, 3)])
    if r.random() < 0.3:
        digits = digits[::-1]
    a, b = (r.randrange(0 if d == 1 else 10 ** (d - 1), 10 ** d) for d in digits)
    if op == "sub" and a < b and r.random() < 0.6:
        a, b = b, a
    return a, b


def sum_case(r, texts, op=None, held_out=None):
    """A sum: messages, answer with steps. `held_out(key)` tells whether the operands belong to the evaluation."""
    op = op or r.choice(["add", "add", "sub", "sub", "mul", "mul", "mul"])
    sign, steps, result = OPS[op]
    while True:
        a, b = operands(r, op)
        if held_out is None or held_out(f"{a}{sign}{b}"):
            break
    x = r.random()
    if x < 0.12 and a >= b:
        user = r.choice(STORIES[op]).format(a=a, b=b, n=r.choice(texts.NAMES), t=r.choice(texts.THINGS))
    else:
        form = r.choice(WORDS[op]) if x < 0.3 else r.choice(PLAIN)
        user = r.choice(ASK).format(form.format(a=a, b=b, o=sign))
    work, value = f"{a} {sign} {b}: {steps(a, b)}", result(a, b)
    final, thinking = f"{a} {sign} {b} = {value}", r.random() < 0.5
    answer = {"reasoning": work, "content": final} if thinking else {"content": f"{work}\n{final}"}
    return {"skill": op, "messages": [{"role": "user", "content": user}], "answer": answer, "thinking": thinking,
            "max_tokens": 300, "expect": {"ends_with": f" = {value}"}}
