"""The points of a training at which it is evaluated: the ends of epochs, and with ``evaluate.every`` others between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.recipe.settings import Settings


@dataclass(frozen=True)
class Points:
    """Points count from 1, as do epochs; without ``every`` (a number of steps), they are the epochs.

    Counting begins again in each epoch, so the last point of an epoch is its end, which may come early in the last one.
    """

    steps_per_epoch: int
    steps: int
    every: int | None = None

    @classmethod
    def of(cls, settings: Settings, steps_per_epoch: int) -> Points:
        """The points of a training. Raises ValueError (one line) if there are to be more, but no epoch has them."""
        every = settings.evaluate.steps
        if every is not None and every >= steps_per_epoch:
            rule = f"must be less than an epoch, which has {steps_per_epoch} steps"
            raise ValueError(
                f"evaluate.every (={settings.evaluate.every}) {rule}. Remove it, or choose a smaller number."
            )
        return cls(steps_per_epoch, round(settings.epochs * steps_per_epoch), every)

    @property
    def per_epoch(self) -> int:
        """The number of points of a whole epoch."""
        return 1 if self.every is None else -(-self.steps_per_epoch // self.every)

    def between(self, step: int) -> bool:
        """Whether a point follows this number of steps that is not the end of an epoch."""
        if self.every is None or step in (0, self.steps):
            return False
        within = step % self.steps_per_epoch
        return within > 0 and within % self.every == 0

    def step(self, point: int) -> int:
        """The number of steps until a point."""
        epochs, within = divmod(point, self.per_epoch)
        return min(epochs * self.steps_per_epoch + within * (self.every or 0), self.steps)

    def place(self, point: int) -> float:
        """The number of epochs until a point: an int at the end of a whole one."""
        step = self.step(point)
        whole, rest = divmod(step, self.steps_per_epoch)
        return round(step / self.steps_per_epoch, 4) if rest else whole

    def at(self, point: int) -> Mapping[str, float] | None:
        """The place of a point in the store: None if points are epochs, and this one is whole."""
        place = self.place(point)
        if self.every is not None:
            return {"epoch": place, "step": self.step(point)}
        return {"epoch": place} if place != point else None
