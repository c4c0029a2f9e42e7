"""Screening designs: balanced, orthogonal, and aliased as their resolution says."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.recipe.screening import FEWEST, MOST, aliases, foldover, foldover_runs, screen, screen_runs

SIZES = range(FEWEST, MOST + 1)


def signs(matrix):
    return np.where(matrix, 1, -1)


def named(matrix):
    tricks = [f"t{i}" for i in range(len(matrix[0]))]
    return tricks, [[trick for trick, has in zip(tricks, row, strict=True) if has] for row in matrix]


@pytest.mark.parametrize("tricks", SIZES)
@pytest.mark.parametrize("rule", [screen, foldover])
def test_effects_are_independent(rule, tricks):
    matrix = rule(tricks)
    runs = {screen: screen_runs, foldover: foldover_runs}[rule](tricks)
    x = signs(matrix)
    assert x.shape == (runs, tricks)
    assert (x.sum(axis=0) == 0).all()
    assert (x.T @ x == runs * np.eye(tricks)).all()
    assert not any(matrix[0])
    assert len({tuple(row) for row in matrix}) == runs


@pytest.mark.parametrize("tricks", [*SIZES, MOST + 1])
def test_a_foldover_has_no_aliased_main_effects(tricks):
    matrix = foldover(tricks)
    names, runs = named(matrix)
    assert all(aliases(name, names, runs) == () for name in names[:4])
    assert all(matrix[-len(matrix) // 2])


def test_sizes():
    assert [screen_runs(k) for k in (4, 7, 8, 11, 12, 15, 16, 19, 20, 23)] == [8, 8, 12, 12, 16, 16, 20, 20, 24, 24]
    assert [foldover_runs(k) for k in (4, 5, 8, 9, 12, 16, 24)] == [8, 16, 16, 24, 24, 32, 48]


def test_aliases_of_a_fraction_are_whole_and_of_plackett_and_burman_thirds():
    names, runs = named(screen(7))
    for name in names:
        found = aliases(name, names, runs)
        assert len(found) == 3  # 21 interactions, each aliased with one main effect
        assert {abs(one.share) for one in found} == {1.0}
        assert {trick for one in found for trick in one.tricks} == {*names} - {name}
    names, runs = named(screen(11))
    found = aliases("t3", names, runs)
    assert len(found) == 45
    assert {round(abs(one.share), 9) for one in found} == {round(1 / 3, 9)}
    names, runs = named(screen(4))
    assert all(aliases(name, names, runs) == () for name in names)
