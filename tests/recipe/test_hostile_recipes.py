"""Damaged and hostile recipes: `plan --quick` ends with a plan or with lines that say what is wrong, soon and in little memory."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ablate.cli.app import run_command
from ablate.recipe import Recipe, RecipeError

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))

VALUES = [
    None, True, 0, -1, 1, 2**63, 10**40, 1e308, -1e-320, "", " ", "\x00", "\u200b", "a: b", "$x", "{x}", "{", "../../etc/passwd", "/dev/zero", "x" * 5000,
    [], {}, [[]], [{}], {"": 1}, {"name": []}, {"target": "os:system"}, {"target": "a:b", "x": {}}, {"linear": [0, "x"]}, ["a", "a"], "5%", "1e999", "-rf",
    {"name": "cosine", "per": "step"}, {"for": {"p": []}}, "net1", "store", "CON",
]  # fmt: skip

TOKENS = [
    b"{",
    b"[",
    b"&a ",
    b"*a ",
    b": ",
    b"\n- ",
    b"!x ",
    b"\x00",
    b"\xff",
    b"\t",
    b"\r\n",
    b"'",
    b'"',
    b"%",
    b"-1",
    b"1e400",
]

HOSTILE = {
    "bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "bomb of mappings": "a: &a {x: y}\n" + "".join(f"{b}: &{b} {{p: *{a}, q: *{a}, r: *{a}, s: *{a}}}\n" for a, b in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)),
    "itself": "a: &a [*a]\n",
    "deep list": "baseline: " + "[" * 3000 + "]" * 3000,
    "deep mapping": "baseline: " + "{a: " * 3000 + "}" * 3000,
    "deep indentation": "".join(f"{' ' * i}a:\n" for i in range(900)),
    "deep dashes": "- " * 5000 + "x",
    "open brackets": "[" * 10_000,
    "duplicate keys": "baseline: {name: a, name: b, name: c}\nbaseline: {}\n",
    "merge": "x: &x {a: 1}\nbaseline: {<<: *x}\n",
    "tags": "baseline: !!python/object/apply:os.system ['touch hacked']\n",
    "own tag": "baseline: !x {a: !!binary aGVsbG8=}\n",
    "huge integer": f"seeds: {'9' * 100_000}\nbaseline: {{}}\n",
    "huge exponent": "seeds: 1e999999999\nbaseline: {epochs: 0x" + "f" * 5000 + "}\n",
    "sexagesimal": "seeds: 1:30:00\nbaseline: {epochs: 0o777}\n",
    "many seeds": "seeds: 1000000000\nbaseline: {name: a}\n",
    "long line": "description: " + "x" * 300_000 + "\n",
    "longer line": "description: " + "x" * 10_000_000 + "\n",
    "long key": "x" * 200_000 + ": 1\n",
    "many keys": "".join(f"k{i}: 1\n" for i in range(3000)),
    "many variants": "baseline: {name: a}\nvariants:\n" + "- {}\n" * 5000,
    "product": "baseline: {name: a}\nvariants:\n- {name: 'v{a}{b}{c}', for: {a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0], b: &b [1, 2, 3, 4, 5, 6, 7, 8, 9, 0], c: *b, d: *b, e: *b, f: *b}}\n",
    "bundles of bundles": "baseline: {name: a}\ntricks:\n" + "".join(f"  t{i}: {{add: [t{i + 1}, t{i + 1}, t{i + 1}]}}\n" for i in range(30)) + "  t30: {set: {epochs: 3}}\nvariants: [{name: b, add: [t0]}]\n",
    "mark": "\ufeffbaseline: {name: a}\r\nvariants: []\r\n",
    "two marks": "\ufeff\ufeffbaseline: {name: a}\n",
    "carriage returns": "baseline: {name: a}\rvariants: []\r",
    "separators": "baseline:\u2028  name: a\u0085\x0c",
    "documents": "---\nbaseline: {}\n---\nbaseline: {}\n",
    "directive": "%YAML 9.9\n%TAG ! tag:x,2000:\n---\nbaseline: {}\n",
    "quotes": "baseline: '" + "''" * 50_000,
    "block": "description: |\n" + " x\n" * 20_000,
    "escapes": 'study: "\\ud800\\x00\\e[2J"\nbaseline: {}\n',
    "utf-16": "baseline: {name: a}\n".encode("utf-16"),
    "binary": bytes(range(256)) * 40,
    "program": b"\x7fELF" + b"\x00" * 5000,
    "empty": "",
    "spaces": " " * 100_000,
    "tabs": "\tbaseline:\n\t\tname: a\n",
    "comment": "#" * 500_000,
    "colons": ":" * 20_000,
    "question marks": "? " * 3000 + "a",
    "long words in schedules": "baseline: {name: a, optimizer: {name: sgd, lr: &r {for: {%s: 1}}}}\nvariants:\n" % ("x" * 5000)
    + "".join(f"- {{name: v{i}, set: {{optimizer.lr: {rule % (5000 * 'x')}}}}}\n" for i, rule in enumerate(("{linear: [%s]}", "{%s: 1}", "{linear: {%s: 1}}", "{step: %s}", "{warmup: %s, then: 1}", "{points: {%s: 1}}", "{formula: %s}", "{cosine: [1, 2], per: %s}", "%s"))),
    "anchors": "".join(f"- &a{i} x\n" for i in range(4000)),
}  # fmt: skip


def damaged(text: str, chance: random.Random) -> bytes:
    """A recipe with bytes, lines or blocks removed, repeated or exchanged."""
    data = text.encode()
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 3, 20, 200))
        match chance.randrange(5):
            case 0:
                data = data[:at] + data[at + size :]
            case 1:
                data = data[:at] + chance.choice(TOKENS) + data[at:]
            case 2:
                data = data[:at] + data[at : at + size] * 3 + data[at + size :]
            case 3:
                lines = data.splitlines(keepends=True)
                chance.shuffle(lines) if chance.random() < 0.2 else lines.append(chance.choice(lines or [b""]))
                data = b"".join(lines)
            case 4:
                data = data.replace(b"\n", b"\r\n") if chance.random() < 0.3 else data[:at]
    return data


def replaced(tree, chance: random.Random):
    """A tree with one value replaced, a key renamed, or one part nested in another place."""
    places = []

    def collect(node):
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            collect(node[key])

    collect(tree)
    for _ in range(chance.choice((1, 1, 2, 5))):
        node, key = chance.choice(places)
        if isinstance(node, list) and key >= len(node):
            continue
        if isinstance(node, dict) and key in node and chance.random() < 0.2:
            node[str(chance.choice(VALUES))] = node.pop(key)
        else:
            node[key] = chance.choice(VALUES)
    return tree


def mutant(number: int) -> bytes:
    chance = random.Random(number)
    text = chance.choice(SHIPPED).read_text(encoding="utf-8")
    if number % 2:
        return damaged(text, chance)
    return json.dumps(replaced(YAML(typ="safe", pure=True).load(text), chance), allow_nan=True).encode()


def check(path: Path, capsys, *, plan: bool) -> str:
    """What is wrong with a recipe, line by line; anything but lines fails the test."""
    said = ""
    try:
        Recipe.load(path)
    except RecipeError as error:
        said = str(error)
    assert all(line.isprintable() and len(line) < 2000 for line in said.split("\n")), said[:3000]
    if plan:
        code = run_command(["plan", str(path), "--quick"])
        captured = capsys.readouterr()
        assert "bug in ablate" not in captured.err
        assert (code == 2) == bool(said), captured.err
    return said


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_recipes(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.yaml"
    content = HOSTILE[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    assert run_command(["plan", "r.yaml", "--quick"]) == 2
    said = capsys.readouterr().err
    assert "bug in ablate" not in said
    assert all(line.isprintable() and len(line) < 2000 for line in said.splitlines())
    assert [file.name for file in tmp_path.iterdir()] == ["r.yaml"]


def test_damaged_recipes(tmp_path, capsys):
    path = tmp_path / "r.yaml"
    for number in range(40):
        path.write_bytes(mutant(number))
        check(path, capsys, plan=number % 5 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_damaged_recipes(part, tmp_path, capsys):
    path = tmp_path / "r.yaml"
    for number in range(1000 + 100 * part, 1100 + 100 * part):
        path.write_bytes(mutant(number))
        check(path, capsys, plan=number % 3 == 0)
