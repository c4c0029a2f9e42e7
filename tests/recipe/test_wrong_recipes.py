"""Wrong recipes: each gives exactly these lines, with line and column, and nothing else."""

from __future__ import annotations

import pytest

from ablate.recipe import RecipeError

ROWS = {
    "a setting below the range": (
        ["{name: a, set: {optimizer.lr: -0.1}}"],
        ["10:35: optimizer.lr (=-0.1) must be greater than 0."],
    ),
    "a misspelt setting": (
        ["{name: a, set: {model.hiden: [3]}}"],
        ["10:21: model.hiden is not a setting of mlp. Did you mean 'hidden'?"],
    ),
    "a misspelt top-level setting": (
        ["{name: a, set: {batch_sise: 3}}"],
        ["10:21: batch_sise is not a setting. Did you mean 'batch_size'?"],
    ),
    "a misspelt trick": (
        ["{name: a, add: [dropuot]}"],
        ["10:21: trick (=dropuot) … 'dropout'? …"],
    ),
    "an unknown trick": (
        ["{name: a, add: [xyzzy]}"],
        ["10:21: trick (=xyzzy) … 'ablate … trick' …"],
    ),
    "a misspelt setting of a trick": (
        ["{name: a, add: [{dropout: {hiden: 0.5}}]}"],
        ["10:32: tricks.dropout.hiden is not a setting of dropout. Did you mean 'hidden'?"],
    ),
    "a trick's setting out of range": (
        ["{name: a, add: [{dropout: 1.0}]}"],
        ["10:31: tricks.dropout.hidden (=1.0) must be less than 1."],
    ),
    "one of a trick's values out of range": (
        ["{name: a, add: [{dropout: {conv: [0.1, 1.2]}}]}"],
        ["10:44: tricks.dropout.conv[1] (=1.2) must be less than 1."],
    ),
    "a misspelt loss": (
        ["{name: a, set: {loss: mes}}"],
        ["10:27: loss (=mes) is not a known loss. Did you mean 'mse'?"],
    ),
    "a misspelt choice": (
        ["{name: a, set: {select: lats}}"],
        ["10:29: select (=lats) must be 'last' or 'best'. Did you mean 'last'?"],
    ),
    "text for a number": (
        ["{name: a, set: {epochs: many}}"],
        ["10:29: epochs (=many) must be a number, not a string."],
    ),
    "a quoted number": (
        ["{name: a, set: {optimizer.lr: '0.1'}}"],
        ["10:35: optimizer.lr (='0.1') must be a number, or a schedule such as {linear: [0.1, 0.001]}."],
    ),
    "a bool for a whole number": (
        ["{name: a, set: {epochs: true}}"],
        ["10:29: epochs (=true) must be a number."],
    ),
    "a fraction for a whole number": (
        ["{name: a, set: {batch_size: 2.5}}"],
        ["10:33: batch_size (=2.5) must be an integer, not a float."],
    ),
    "a number for a bool": (
        ["{name: a, set: {shuffle: 0}}"],
        ["10:30: shuffle (=0) must be true or false."],
    ),
    "a number for a list": (
        ["{name: a, set: {model.hidden: 5}}"],
        ["10:35: model.hidden (=5) must be a list, such as [5]."],
    ),
    "a number below the bound for a list": (
        ["{name: a, set: {model.hidden: -5}}"],
        ["10:35: model.hidden (=-5) must be a list, such as [100]."],
    ),
    "text for a list of numbers": (
        ["{name: a, set: {model.hidden: abc}}"],
        ["10:35: model.hidden (=abc) must be a list, such as [100]."],
    ),
    "a mapping for a duration": (
        ["{name: a, set: {optimizer.lr: {warmup: {epochs: 9}, then: 0.1}}}"],
        ["10:35: optimizer.lr (={warmup: {epochs: 9}, then: 0.1}): warmup must be a number of epochs …"],
    ),
    "warmup without what follows": (
        ["{name: a, set: {optimizer.lr: {warmup: 9}}}"],
        ["10:35: optimizer.lr (={warmup: 9}) requires 'then' …"],
    ),
    "a parent that is defined later has no say": (
        ["{name: net6, from: net77, add: [flip]}", "{name: net7, add: [shift]}"],
        ["10:24: variants[0].from (=net77) … net1."],
    ),
    "classes whose scale is changed": (
        ["{name: a, add: [normalise_targets]}"],
        ["10:21: tricks.normalise_targets: trick (=normalise_targets) … continuous …"],
    ),
    "nothing for a number": (
        ["{name: a, set: {epochs: }}"],
        ["10:28: epochs (=null) must be a number."],
    ),
    "a schedule with two rules": (
        ["{name: a, set: {optimizer.lr: {linear: [1, 0], cosine: [1, 0]}}}"],
        ["10:35: optimizer.lr (={linear: [1, 0], cosine: [1, 0]}) must have one rule … linear and cosine."],
    ),
    "a misspelt schedule": (
        ["{name: a, set: {optimizer.lr: {linaer: [1, 0]}}}"],
        ["10:35: optimizer.lr (={linaer: [1, 0]}) has 'linaer', which is not a known schedule. Did you mean 'linear'?"],
    ),
    "a parent that is the row itself": (
        ["{name: a, from: a, add: [flip]}"],
        ["10:21: variants[0].from (=a) …"],
    ),
    "a parent that comes later": (
        ["{name: a, from: b, add: [flip]}", "{name: b, from: net1, add: [shift]}"],
        ["10:21: variants[0].from (=b) …"],
    ),
    "an unknown parent": (
        ["{name: a, from: nte1, add: [flip]}"],
        ["10:21: variants[0].from (=nte1) … net1."],
    ),
    "a name twice": (
        ["{name: a, add: [flip]}", "{name: a, add: [shift]}"],
        ["11:12: variants[1].name (=a) … 10 …"],
    ),
    "a name twice but for its case": (
        ["{name: Net1, add: [flip]}"],
        [
            "10:12: variants[0].name (=Net1) … net1 … 4 …"
        ],
    ),
    "a name that leaves the folder": (
        ["{name: ../net, add: [flip]}"],
        ["10:12: variants[0].name (=../net) … '/' …"],
    ),
    "a name with dots": (
        ["{name: a..b, add: [flip]}"],
        ["10:12: variants[0].name (=a..b) must not contain '..'."],
    ),
    "a hidden name": (
        ["{name: .a, add: [flip]}"],
        ["10:12: variants[0].name (=.a) must not begin with a dot."],
    ),
    "a name with a line break": (
        ['{name: "a\\nb", add: [flip]}'],
        ['10:12: variants[0].name (="a\\nb") must not contain control characters or line breaks.'],
    ),
    "a long name": (
        [f"{{name: {'a' * 101}, add: [flip]}}"],
        [f"10:12: variants[0].name (={'a' * 59}…) … 100 … 101."],
    ),
    "a name that is a number": (
        ["{name: 3, add: [flip]}"],
        ["10:12: variants[0].name (=3) …"],
    ),
    "no name": (["{add: [flip]}"], ["10:5: variants[0].name is required."]),
    "a row that is a name": (
        ["net2"],
        ["10:5: variants[0] (=net2) must be a mapping with a name, such as {name: net2, add: [flip]}."],
    ),
    "an unknown key": (
        ["{name: a, ad: [flip], set: {epochs: 5}}"],
        ["10:15: variants[0].ad is not a key of a variant. Did you mean 'add'?"],
    ),
    "a setting beside set": (
        ["{name: a, epochs: 5, add: [flip]}"],
        ["10:15: variants[0].epochs … 'set' …"],
    ),
    "a key twice": (
        ["{name: a, add: [flip], add: [shift]}"],
        ["10:28: variants[0].add … 10) …"],
    ),
    "no change": (
        ["{name: a}"],
        ["10:12: variants[0] (=a) … 'add', 'remove' … 'set' …"],
    ),
    "a change that changes nothing": (
        ["{name: a, set: {epochs: 4}}"],
        ["10:12: variants[0] (=a) … net1 …"],
    ),
    "a change of default into default": (
        ["{name: a, set: {shuffle: true, init: default}}"],
        ["10:12: variants[0] (=a) … net1 …"],
    ),
    "a change of what is not computed": (
        ["{name: a, set: {workers: 2}}"],
        [
            "10:12: variants[0] (=a) … workers …"
        ],
    ),
    "removing what is not there": (
        ["{name: a, add: [flip]}", "{name: b, remove: [flop]}"],
        ["11:24: variants[1].remove[0] (=flop) … flip … 'flip'? …"],
    ),
    "a path into nothing": (
        ["{name: a, set: {optimizer.rate.linear: [1, 0]}}"],
        ["10:21: optimizer.rate.linear: optimizer.rate …"],
    ),
    "a path into a misspelt value": (
        ["{name: a, set: {optimizer.momentum: {linear: [0.1, 0]}}}", "{name: b, set: {optimizer.momentun.linear: [0.2, 0]}}"],
        ["11:21: optimizer.momentun.linear: optimizer.momentun … 'momentum'? …"],
    ),
    "a path into a number": (
        ["{name: a, set: {optimizer.lr.linear: [1, 0]}}"],
        ["10:21: optimizer.lr.linear: optimizer.lr (=0.1) … optimizer.lr …"],
    ),
    "a path into a trick that is off": (
        ["{name: a, add: [flip], set: {tricks.dropout.hidden: 0.1}}"],
        ["10:34: tricks.dropout.hidden: … (=dropout) … flip …"],
    ),
    "tricks set": (
        ["{name: a, set: {tricks: [flip]}}"],
        ["10:21: tricks … 'add' … 'remove' …"],
    ),
    "two names for one thing": (
        ["{name: a, set: {model: {name: mlp, target: 'm:Net'}}}"],
        ["10:40: model … 'name' … 'target' …"],
    ),
    "no name in a section": (
        ["{name: a, set: {optimizer: {lr: 0.2}}}"],
        ["10:32: optimizer (={lr: 0.2}) … 'name' … 'target' … optimizer.lr …"],
    ),
    "a name as a key in a section": (
        ["{name: a, set: {model: {convnet: {}}}}"],
        ["10:28: model (={convnet: {}}) … 'name' … 'target' … {name: convnet, …} …"],
    ),
    "a missing setting": (
        ["{name: a, set: {optimizer: {name: sgd, groups: [{lr: 0.1}]}}}"],
        ["10:53: optimizer.groups[0].match is required."],
    ),
    "a module that is not there": (
        ["{name: a, set: {model: {target: 'modle:Net'}}}"],
        [
            "10:37: model.target (=modle:Net) … 'modle' … modle.py …"
        ],
    ),
    "a target without an attribute": (
        ["{name: a, set: {model: {target: modle}}}"],
        ["10:37: model.target (=modle) must be module:attribute, such as my_networks:Net."],
    ),
    "a metric that the trick of choosing epochs does not know": (
        ["{name: a, set: {monitor.metric: acuracy}}"],
        [
            "10:37: monitor.metric (=acuracy) … train_loss, train_loss_clean, valid_loss, accuracy … 'metrics' …"
        ],
    ),
    "a metric that a trick does not know": (
        ["{name: a, add: [{early_stop: {monitor: {metric: acuracy}}}]}"],
        [
            "10:53: tricks.early_stop.monitor.metric (=acuracy) … train_loss, train_loss_clean, valid_loss, accuracy … 'metrics' …"
        ],
    ),
    "a monitored loss that is measured at the end only": (
        ["{name: a, set: {monitor.metric: train_loss_clean}}"],
        [
            "10:37: monitor.metric (=train_loss_clean) … clean_train_loss: … train_loss …"
        ],
    ),
    "a published number of nothing": (
        ["{name: a, add: [flip], published: {valid_los: 0.1}}"],
        ["10:40: variants[0].published.valid_los … 'valid_loss'? …"],
    ),
    "a published text": (
        ["{name: a, add: [flip], published: {valid_loss: low}}"],
        ["10:52: variants[0].published.valid_loss (=low) must be a number."],
    ),
    "a trick without its list": (
        ["{name: a, add: flip}"],
        ["10:20: variants[0].add (=flip) must be a list, such as [flip]."],
    ),
    "two tricks in one item": (
        ["{name: a, add: [{flip: {}, shift: {}}]}"],
        ["10:32: variants[0].add[0] … 'flip' … 'shift' …"],
    ),
    "a file that is not there": (
        ["{name: a, set: {data: {name: npz, path: data/faces.npz}}}"],
        ["10:45: data.path (=data/faces.npz) does not exist. Paths are relative to the recipe's folder."],
    ),
    "a folder for a file": (
        ["{name: a, set: {data: {name: csv, path: ., target: y}}}"],
        ["10:45: data.path (=.) …"],
    ),
    "parts that leave nothing to train": (
        ["{name: a, set: {data: {name: digits, test: 0.5, valid: 0.5}}}"],
        ["10:60: data.valid (=0.5) + data.test (=0.5) must be less than 1."],
    ),
    "NaN": (["{name: a, set: {epochs: .nan}}"], ["10:29: variants[0].set.epochs (=.nan) must be a finite number."]),
    "infinity": (["{name: a, set: {epochs: -.inf}}"], ["10:29: variants[0].set.epochs (=-.inf) must be a finite number."]),
    "infinity by size": (["{name: a, set: {epochs: 1e999}}"], ["10:29: variants[0].set.epochs (=1e999) must be a finite number."]),
    "a huge number": (["{name: a, set: {epochs: 99999999999999999999}}"], ["10:29: variants[0].set.epochs (=99999999999999999999) must fit into 64 bits."]),
    "a tag": (["!row {name: a, add: [flip]}"], ["10:5: variants[0] … !row …"]),
    "a merge key": (
        ["{name: a, <<: {add: [flip]}}"],
        ["10:15: '<<' … variants[0] … 1.2 … 'tricks' …"],
    ),
    "a key that is a number": (["{name: a, 1: 2}"], ["10:15: key (=1) … variants[0] … '1' …"]),
    "broken YAML": (
        ["{name: a, set: {epochs: 3}"],
        ["11:1: Invalid YAML: while parsing a flow mapping, expected ',' or '}', but got '<stream end>'."],
    ),
    "an unquoted brace": (
        ["{name: a-{p}, add: [flip]}"],
        ["10:14: Invalid YAML: while parsing a flow mapping, expected ',' or '}', but got '{'. Quote text that contains { or }."],
    ),
    "an unknown anchor": (["{name: a, add: *b}"], ["10:20: variants[0].add (=*b) … &b …"]),
    "an anchor that contains itself": (["{name: a, add: &b [*b]}"], ["10:24: variants[0].add[0] (=*b) …"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_wrong_rows(wrong_rows, tmp_path, case):
    rows, lines = ROWS[case]
    assert wrong_rows(*rows) == [f"r.yaml:{line}".replace("FOLDER", str(tmp_path)) for line in lines]


GOOD = "baseline: {model: mlp, loss: mse, optimizer: sgd, data: digits}\n"
WHOLE = {
    "nothing": ("", ["recipe (=r.yaml) … 'ablate … NAME' …"]),
    "a comment": ("# soon\n", ["recipe (=r.yaml) … 'ablate … NAME' …"]),
    "a list": (
        "- a\n",
        ["r.yaml:1:1: recipe (=[a]) … 'baseline' … 'ablate … NAME' …"],
    ),
    "a word": (
        "recipe\n",
        ["r.yaml:1:1: recipe (=recipe) … 'baseline' … 'ablate … NAME' …"],
    ),
    "no baseline": (
        "study: a\n",
        ["r.yaml:1:1: baseline … variants …"],
    ),
    "an empty baseline": (
        "baseline: {}\n",
        [
            "r.yaml:1:11: data … 'baseline', …",
            "r.yaml:1:11: model … 'baseline', … mlp …",
            "r.yaml:1:11: loss … 'baseline', …",
            "r.yaml:1:11: optimizer … 'baseline', … {name: sgd, … 0.01} …",
        ],
    ),
    "an unknown key": (GOOD + "varients: []\n", ["r.yaml:2:1: varients is not a key of a recipe. Did you mean 'variants'?"]),
    "a setting at the top": (GOOD + "epochs: 3\n", ["r.yaml:2:1: epochs … 'baseline' …"]),
    "data twice": (GOOD + "data: digits\n", ["r.yaml:1:51: baseline.data … 2) …"]),
    "a set in the baseline": (
        GOOD.replace("{model", "{set: {}, model"),
        ["r.yaml:1:12: baseline.set … 'baseline' …"],
    ),
    "a study's name that is too long for a folder": (
        GOOD + f"study: {'漢' * 86}\n",
        [f"r.yaml:2:8: study (={'漢' * 59}…) … 255 … 258."],
    ),
    "a study's name": (GOOD + "study: store\n", ["r.yaml:2:8: study (=store) …"]),
    "seeds below 0": (GOOD + "seeds: [0, -1]\n", ["r.yaml:2:8: seeds (=[0, -1]) … negative …"]),
    "seeds twice": (GOOD + "seeds: [1, 1]\n", ["r.yaml:2:8: seeds (=[1, 1]) …"]),
    "no seeds": (GOOD + "seeds: 0\n", ["r.yaml:2:8: seeds (=0) … 1 … 1000 …"]),
    "half a seed": (GOOD + "seeds: 1.5\n", ["r.yaml:2:8: seeds (=1.5) … (5) … ([0, 3, 7]) …"]),
    "a metric that is not measured": (
        GOOD + "compare: {metric: accuracy}\n",
        [
            "r.yaml:2:19: compare.metric (=accuracy) … baseline … 'metrics'."
        ],
    ),
    "a metric that does not exist": (
        GOOD + "compare: {metric: foo}\n",
        ["r.yaml:2:19: compare.metric (=foo) … baseline … ablate catalog metric"],
    ),
    "a direction": (GOOD + "compare: {better: up}\n", ["r.yaml:2:19: compare.better (=up) must be one of lower, higher."]),
    "a smallest effect": (
        GOOD + "compare: {smallest_effect: 0}\n",
        ["r.yaml:2:28: compare.smallest_effect (=0) must be a number greater than 0, in the unit of compare.metric."],
    ),
    "losses of two kinds": (
        GOOD.replace("digits}", "digits, name: a}") + "variants:\n  - {name: b, set: {loss: cross_entropy}}\n",
        [
            "r.yaml:3:12: b: loss (=cross_entropy) … (=mse), … valid_loss … {metric: accuracy} …"
        ],
    ),
    "a metric twice": (
        GOOD + "metrics: [accuracy, accuracy]\n",
        ["r.yaml:2:21: metrics[1] (=accuracy) …"],
    ),
    "metrics without a list": (GOOD + "metrics: accuracy\n", ["r.yaml:2:10: metrics (=accuracy) must be a list, such as [accuracy]."]),
    "a bundle with the name of a trick": (
        GOOD + "tricks: {flip: {set: {epochs: 3}}}\n",
        ["r.yaml:2:10: tricks.flip …"],
    ),
    "an empty bundle": (GOOD + "tricks: {mine: {}}\n", ["r.yaml:2:10: tricks.mine … 'add' … 'set' …"]),
    "a bundle in itself": (
        GOOD + "tricks: {mine: {add: [mine]}}\nvariants: [{name: a, add: [mine]}]\n",
        ["r.yaml:2:23: tricks.mine …"],
    ),
    "a bundle with settings": (
        GOOD + "tricks: {mine: {add: [flip]}}\nvariants: [{name: a, add: [{mine: {p: 1}}]}]\n",
        ["r.yaml:3:35: mine (={p: 1}) …"],
    ),
    "two documents": (GOOD + "---\na: 1\n", ["r.yaml:2:1: … '---' …"]),
    "a tab": (
        "baseline:\n\tmodel: mlp\n",
        ["r.yaml:2:1: Invalid YAML: while scanning for the next token, found character '\\t' that cannot start any token. "
         "Indent with spaces, not tabs."],
    ),
    "not UTF-8": (b"study: a\n# \xfcber\n", ["r.yaml:2:3: byte (=0xfc) … UTF-8 … UTF-8 …"]),
    "a null character": (b"study: a\x00", ["r.yaml:1:9: … U+0000 …"]),
    "too deep": (GOOD + "study: " + "[" * 60, ["r.yaml:2:58: study" + "[0]" * 18 + "… is nested more than 50 levels deep."]),
    "an alias bomb": (
        "a: &a [" + "1, " * 20 + "]\n" + "".join(f"{n}: &{n} [{f'*{p}, ' * 20}]\n" for p, n in zip("abcdef", "bcdefg", strict=True)),
        ["r.yaml:4:4: d … 20000 …"],
    ),
    "a data file": (b"1,2,3\n" * 200_000, ["recipe (=r.yaml) … 1 …"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_wrong_recipes(problems, case):
    text, lines = WHOLE[case]
    assert problems(text) == lines


def test_all_that_is_wrong_is_reported_together(wrong_rows):
    assert wrong_rows(
        "{name: a, add: [dropuot], set: {optimizer.lr: -0.1}}",
        "{name: b, from: nowhere, add: [flip]}",
        "{name: c, from: net1, set: {epochs: 0, model.hidden: [0]}}",
        more="seeds: -3\n",
    ) == [
        "r.yaml:10:21: trick (=dropuot) … 'dropout'? …",
        "r.yaml:10:51: optimizer.lr (=-0.1) must be greater than 0.",
        "r.yaml:11:21: variants[1].from (=nowhere) … net1, a.",
        "r.yaml:12:41: epochs (=0) must be greater than 0.",
        "r.yaml:12:59: model.hidden[0] (=0) must be at least 1.",
        "r.yaml:13:8: seeds (=-3) … 1 … 1000 …",
    ]


def test_bundles_that_double_and_double_again(wrong_rows):
    bundles = "".join(f"  {x}{i}: {{add: [b{i - 1}, c{i - 1}]}}\n" for i in range(1, 40) for x in "bc")
    start = "tricks:\n  b0: {set: {epochs: 7}}\n  c0: {set: {epochs: 8}}\n"
    lines = wrong_rows("{name: a, add: [b39]}", more=start + bundles)
    assert lines == ["r.yaml:10:21: variants[0] … 10000 …"]


def test_a_mistake_is_reported_once_however_many_rows_inherit_it(wrong_rows):
    lines = wrong_rows("{name: a, set: {optimizer.lr: -1}}", "{name: b, add: [flip]}", "{name: c, add: [shift]}")
    assert lines == ["r.yaml:10:35: optimizer.lr (=-1) must be greater than 0."]


def test_the_place_is_that_of_the_line_that_set_the_value(wrong_rows):
    lines = wrong_rows(
        "{name: a, set: {model: {name: convnet, channels: [8]}}}",
        "{name: b, from: net1, add: [wide]}",
        more="tricks: {wide: {set: {model.channels: [4]}}}\n",
    )
    assert lines == ["r.yaml:12:23: model.channels … mlp …"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("net", "recipe (=net) does not exist. Run 'ablate new NAME' to create a recipe."),
        ("r.yml", "recipe (=r.yml) does not exist. Did you mean 'r.yaml'?"),
        ("q.yaml", "recipe (=q.yaml) does not exist. Run 'ablate new NAME' to create a recipe."),
        (".", "recipe (=.) is a folder. Give the path of the recipe's file."),
        ("r.yaml/x", "recipe (=r.yaml/x) cannot be read: Not a directory."),
        ("a\0b", "recipe (=a\0b) cannot be read: embedded null byte."),
    ],
)
def test_files_that_cannot_be_read(load, path, line):
    load(GOOD)
    from ablate.recipe import Recipe

    with pytest.raises(RecipeError) as caught:
        Recipe.load(path)
    assert str(caught.value) == line


def test_a_missing_file_says_where_to_get_it(problems):
    text = GOOD.replace("data: digits", "data: {name: facial_keypoints, path: data/training.csv}")
    [line] = problems(text)
    assert line.startswith("r.yaml:1:88: data.path (=data/training.csv) does not exist. ")
    assert "remove 'path'" in line


def test_equal_rows_are_named_both(wrong_rows):
    assert wrong_rows(
        "{name: a, add: [flip, dropout]}",
        "{name: b, set: {epochs: 9}}",
        "{name: c, from: net1, add: [dropout, flip], set: {workers: 2}}",
    ) == ["r.yaml:12:12: Variants c and … 10) …"]


def test_rows_that_a_flag_makes_equal_are_no_mistake(wrong_rows):
    rows = ("{name: a, set: {epochs: 8}}", "{name: b, from: net1, set: {epochs: 9}}")
    assert wrong_rows(*rows, sets=["epochs=2"]) == []


@pytest.mark.parametrize("second", ["dropout", "{dropout: 0.1}", "{name: dropout, hidden: 0.1}"])
def test_a_trick_twice_in_one_row(wrong_rows, second):
    [line] = wrong_rows(f"{{name: a, add: [dropout, {second}]}}")
    assert line == "r.yaml:10: … variants[0].add … dropout twice …"
    [line] = wrong_rows("{name: a, add: [both]}", more=f"tricks: {{both: {{add: [dropout, {second}]}}}}\n")
    assert line == "r.yaml:11: … tricks.both.add … dropout twice …"


def test_what_the_baseline_lacks_is_said_once(problems):
    text = "baseline: {model: mlp, loss: mse, optimizer: sgd}\nvariants: [{name: a, add: [flip]}, {name: b, add: [dropout]}]\n"
    assert problems(text) == ["r.yaml:1:11: data … 'baseline', …"]


@pytest.mark.parametrize(
    ("change", "end"),
    [
        ("model.hidden: '16'", "model.hidden (='16') must be a list, such as [16]."),
        (
            "checkpoint.every: 10",
            "checkpoint.every (=10) must be a string. It is described as: a time (30s, 5min, 1h) or a number of epochs (1 epoch, 10 epochs).",
        ),
    ],
)
def test_advice_that_is_right(wrong_rows, change, end):
    [line] = wrong_rows(f"{{name: a, set: {{{change}}}}}")
    assert line.endswith(end)


@pytest.mark.parametrize(
    ("bundles", "lines"),
    [
        ("{b: {add: [c]}, c: {add: [b]}}", ["tricks.b must not contain itself.", "tricks.c must not contain itself."]),
        ("{b: {set: {epocs: 3}}}", ["epocs: 'epocs' is not a setting. Did you mean 'epochs'?"]),
        ("{b: {add: [flop]}}", ["trick (=flop) is not a known trick. Did you mean 'flip'?"]),
        ("{b: {add: [flip, c]}, c: {set: {epochs: 3, tricks.flip.share: 1}}}", []),
    ],
)
def test_bundles_that_no_row_uses(wrong_rows, bundles, lines):
    found = wrong_rows("{name: a, set: {epochs: 9}}", more=f"tricks: {bundles}\n")
    assert [line.split(": ", 1)[1] for line in found] == lines
