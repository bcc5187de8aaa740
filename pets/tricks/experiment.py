"""The table of tricks: which recipes are trained, at which learning rates, and what comes out.

Validation decides everything, each recipe's learning rate, and which trick of each kind is a part of all
together: by the log-likelihood with the best temperature, since accuracy on so few images is noisy, and the
plain log-likelihood prefers whatever is less confident. The final runs alone look at the test images, once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import get_args

import pandas as pd
import torch

from pets.core.progress import progress_bar
from pets.tricks.catalogue import Trick, combined, contradict
from pets.tricks.effects import Difference, Effect, effects, paired_difference
from pets.tricks.recipe import Network, Recipe
from pets.tricks.training import Data, Outcome, Plan, Variant, train

SEARCH_SEEDS = 3  # on which a rate is chosen, other ones than those of the table
LOWEST, HIGHEST = -10, 6  # the rates that may be chosen: 10 to the power of half of these
FIRST = {"sgd": -1, "adam": -5, "adamw": -5}  # in the middle of the search: 0.32 and 0.0032


@dataclass(frozen=True)
class Trained:
    """A row of the table: ``role`` is plain, alone (the trick ``name`` added to plain), all or without."""

    name: str
    role: str
    recipe: Recipe
    rate: float
    outcome: Outcome


class Experiment:
    """All recipes of one table on one data set's features."""

    def __init__(self, tricks: dict[str, list[Trick]], data: Data, plan: Plan, seeds: int) -> None:
        """``tricks`` by name, as of `pets.tricks.catalogue.listed`; ``seeds``, at least 2, of each recipe."""
        self.tricks, self.data, self.plan, self.seeds = tricks, data, plan, seeds
        self.rates: dict[Recipe, float] = {}  # by `Recipe.scale`
        self.trained: dict[tuple[Network, str, str], Trained] = {}

    def run(self) -> None:
        """Train everything."""
        networks = get_args(Network)
        plain = {network: Recipe(network) for network in networks}
        self._train([("plain", "plain", each) for each in plain.values()])
        self._train([
            (name, "alone", combined(plain[network], parts))
            for network in networks for name, parts in self.tricks.items()
        ])  # fmt: skip
        final = []
        for network in networks:
            together = self._together(network)
            if together[1:]:  # else it would be the same as the one alone
                final.append(("all", "all", combined(plain[network], together)))
            for left_out in together if together[1:] else ():
                others = [each for each in together if each != left_out]
                final.append((left_out.name, "without", combined(plain[network], others)))
        self._train(final)

    def _together(self, network: Network) -> list[Trick]:
        """What did best alone on validation, from the best on all that contradicts none of these."""
        scores = {
            parts[0]: float(self.trained[network, "alone", name].outcome.score.mean())
            for name, parts in self.tricks.items() if len(parts) == 1 and parts[0].joins
        }  # fmt: skip
        chosen: list[Trick] = []
        for trick in sorted(scores, key=lambda trick: -scores[trick]):
            if not any(contradict(trick, other) for other in chosen):
                chosen.append(trick)
        return sorted(chosen, key=list(scores).index)

    def _train(self, rows: Sequence[tuple[str, str, Recipe]]) -> None:
        """Choose the rates that are not known yet, train each recipe with all seeds, and keep its row."""
        recipes = [recipe for _, _, recipe in rows]
        self._search(list(dict.fromkeys(each.scale for each in recipes)))
        variants = [Variant(each, self.rates[each.scale] * each.rate_factor) for each in recipes]
        outcomes = self._outcomes(variants, range(self.seeds), True, "training")
        for (name, role, recipe), variant, outcome in zip(rows, variants, outcomes, strict=True):
            self.trained[recipe.network, role, name] = Trained(name, role, recipe, variant.rate, outcome)

    def _outcomes(
        self, variants: Sequence[Variant], seeds: Sequence[int], test: bool, what: str
    ) -> list[Outcome]:
        with progress_bar(len(variants) * len(seeds), what, "runs") as bar:
            return train(variants, seeds, self.data, self.plan, test, bar.update)

    def _search(self, recipes: Sequence[Recipe]) -> None:
        """The rate of each recipe that is best on validation: a search by decades, then by half decades.

        One for each scale, not for each trick: where the best rate is a flat optimum, each trick's own search
        would add the luck of its choice to the trick's effect.
        """
        self.rates |= {each: 1.0 for each in recipes if each.optimizer == "lbfgs"}  # it finds its own steps
        tried: dict[Recipe, dict[int, float]] = {each: {} for each in recipes if each not in self.rates}
        seeds = range(self.seeds, self.seeds + SEARCH_SEEDS)
        while wanted := [
            (recipe, power)
            for recipe, powers in tried.items()
            for power in _next(powers, FIRST[recipe.optimizer])
        ]:
            variants = [Variant(recipe, _rate(power)) for recipe, power in wanted]
            outcomes = self._outcomes(variants, seeds, False, "learning rates")
            for (recipe, power), outcome in zip(wanted, outcomes, strict=True):
                tried[recipe][power] = float(outcome.score.mean())
        self.rates |= {each: _rate(max(powers, key=powers.__getitem__)) for each, powers in tried.items()}

    def runs(self) -> pd.DataFrame:
        """A row a run; losses in nats are of the weights that were taken, after ``epoch``."""
        tables = []
        for row in self.trained.values():
            outcome, epoch = row.outcome, row.outcome.epoch
            taken = outcome.losses[range(self.seeds), epoch - 1]
            columns = {
                "network": row.recipe.network, "role": row.role, "trick": row.name, "seed": range(self.seeds),
                "rate": row.rate, "epoch": epoch, "train_loss": taken[:, 0], "validation_loss": taken[:, 1],
                "validation": outcome.accuracy, "test": outcome.correct.double().mean(1),
                "finite": outcome.finite,
            }  # fmt: skip
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    def curves(self) -> pd.DataFrame:
        """Losses after each epoch, a row each, means over the seeds whose loss was finite there."""
        tables = []
        for row in self.trained.values():
            losses = row.outcome.losses.double()
            means = losses.where(losses.isfinite(), torch.nan).nanmean(0)
            columns = {
                "network": row.recipe.network, "role": row.role, "trick": row.name,
                "epoch": range(1, self.plan.epochs + 1), "train": means[:, 0], "validation": means[:, 1],
            }  # fmt: skip
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    def effects(self) -> pd.DataFrame:
        """A row for each comparison: what the trick adds to plain, and what it adds to all the others.

        ``accuracy`` and ``validation`` are with it, ``effect`` (test, with its interval and Holm's p) and
        ``validation_effect`` with it minus without. ``failed`` counts seeds at which either loss was not
        finite; these are left out, and with fewer than two seeds left the effect is missing.
        """
        compared = list(self._compared())
        differences = [_difference(one, other) for _, _, one, other in compared]
        found = iter(effects([each for each in differences if each is not None]))
        rows = []
        for (name, how, one, other), difference in zip(compared, differences, strict=True):
            good = one.outcome.finite & other.outcome.finite
            mean = next(found) if difference is not None else Effect(nan, nan, nan, nan)
            validation = one.outcome.accuracy - other.outcome.accuracy
            rows.append({
                "network": one.recipe.network, "trick": name, "added_to": how, "rate": one.rate,
                "validation": float(one.outcome.accuracy[good].mean()),
                "accuracy": float(one.outcome.correct[good].double().mean()),
                "validation_effect": float(validation[good].mean()),
                "effect": mean.mean, "low": mean.low, "high": mean.high, "p": mean.p,
                "seeds": len(good), "failed": int((~good).sum()),
            })  # fmt: skip
        return pd.DataFrame(rows)

    def _compared(self) -> Iterator[tuple[str, str, Trained, Trained]]:
        """Name, what it is added to, the recipe with it, and the one without."""
        for (network, role, name), row in self.trained.items():
            if role == "alone":
                yield name, "plain", row, self.trained[network, "plain", "plain"]
            elif role == "without":
                yield name, "others", self.trained[network, "all", "all"], row
            elif role == "all":
                yield name, "plain", row, self.trained[network, "plain", "plain"]
            elif network == "mlp":
                yield "mlp", "plain", row, self.trained["linear", "plain", "plain"]


def _difference(one: Trained, other: Trained) -> Difference | None:
    good = one.outcome.finite & other.outcome.finite
    if good.sum() < 2:
        return None
    return paired_difference(one.outcome.correct[good].numpy(), other.outcome.correct[good].numpy())


def _rate(power: int) -> float:
    return float(f"{10 ** (power / 2):.2g}")  # 0.1, 0.32, 1, 3.2 ...


def _next(tried: dict[int, float], first: int) -> list[int]:
    """The powers to try next: a sweep by decades, then both neighbours of the best until they are tried."""
    best = max(tried, key=lambda power: tried[power]) if tried else first
    wanted = (best - 1, best + 1) if tried else (first - 4, first - 2, first, first + 2)
    return [each for each in wanted if each not in tried and LOWEST <= each <= HIGHEST]
