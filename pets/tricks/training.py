"""Many trainings side by side, as batched products.

A chunk of runs is some seeds of some recipes of one structure. A seed's recipes see the same images in the
same order, with the same dropout masks and mixup partners, so that their first layer is one product and their
differences are paired. A run does not depend on which others are beside it, but for how products are rounded.

L-BFGS chooses its steps by the loss of one run, so that its runs are PyTorch's own, one after the other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from pets.heads import Examples
from pets.tricks.inputs import scaler
from pets.tricks.networks import Networks
from pets.tricks.optimizers import clip, optimizer, schedule
from pets.tricks.recipe import Recipe

RUNS = 40  # in a chunk: enough for large products, few enough for the processor's cache
IMAGES = 512  # evaluated at a time
SOME = 400  # training images whose loss is a point of a curve, at most
TEMPERATURES = [2 ** (power / 2) for power in range(-4, 9)]  # that logits are divided by, 1/4 to 16
LBFGS_STEPS = 3  # where the others make one pass over the images


@dataclass(frozen=True)
class Data:
    """The images of each split, and the number of classes."""

    train: Examples
    validation: Examples
    test: Examples
    classes: int


def some_of(examples: Examples, most: int, seed: int) -> Examples:
    """The examples, or ``most`` of them drawn by the seed."""
    if len(examples) <= most:
        return examples
    drawn = torch.randperm(len(examples), generator=_generator(seed))[:most].sort().values
    chosen = drawn.to(examples.labels.device)
    return Examples(examples.features[chosen], examples.labels[chosen])


@dataclass(frozen=True)
class Plan:
    """What runs have in common: passes over the training images, images a step, hidden units, the seed."""

    epochs: int
    batch_size: int
    hidden: int
    seed: int


@dataclass(frozen=True)
class Variant:
    """A recipe at a learning rate."""

    recipe: Recipe
    rate: float


@dataclass(frozen=True)
class Outcome:
    """The runs of one variant: S seeds, E epochs, n test images.

    ``losses`` [S, E, 2]: cross-entropy after each epoch, in nats, on some training images and on the
    validation images. The other fields are of the weights that were taken, those after ``epoch`` [S]:
    ``accuracy`` [S] and ``score`` [S] on the validation images, the mean log-likelihood with the best
    temperature (minus infinity where a loss was not finite), ``correct`` [S, n] on the test images (n = 0
    where they were not asked for), and whether the loss was ``finite`` [S].
    """

    losses: torch.Tensor
    epoch: torch.Tensor
    accuracy: torch.Tensor
    score: torch.Tensor
    correct: torch.Tensor
    finite: torch.Tensor


def train(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    data: Data,
    plan: Plan,
    test: bool,
    done: Callable[[int], object] = lambda runs: None,
) -> list[Outcome]:
    """The outcome of each variant. ``test``: whether test images are looked at; ``done`` counts the runs."""
    found: list[list[Outcome]] = [[] for _ in variants]
    scaled_as, scaled = "plain", data
    for places, some in chunks(variants, seeds):
        how = variants[places[0]].recipe.inputs
        if how != scaled_as:
            scaled_as, scaled = how, _scaled(data, how)
        chunk = _Chunk([variants[place] for place in places], some, scaled, plan)
        for place, outcome in zip(places, chunk.outcomes(test), strict=True):
            found[place].append(outcome)
        done(len(places) * len(some))
    return [_joined(each) for each in found]


def chunks(variants: Sequence[Variant], seeds: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Places in ``variants`` that share a structure, and seeds: at most `RUNS` runs each."""
    alike: dict[Recipe, list[int]] = {}
    for place, each in enumerate(variants):
        alike.setdefault(each.recipe.structure, []).append(place)
    for structure, places in sorted(alike.items(), key=lambda item: item[0].inputs):
        most = 1 if structure.optimizer == "lbfgs" else RUNS
        for start in range(0, len(places), most):
            some = places[start : start + most]
            count = max(1, most // len(some))
            for first in range(0, len(seeds), count):
                yield some, list(seeds[first : first + count])


class _Chunk:
    """Some seeds of some variants of one structure, from the first weights to the outcomes."""

    def __init__(self, variants: Sequence[Variant], seeds: Sequence[int], data: Data, plan: Plan) -> None:
        self.recipes = [each.recipe for each in variants]
        self.structure = self.recipes[0].structure
        self.data, self.plan, self.seeds = data, plan, seeds
        self.device = data.train.features.device
        # Streams of its own for each purpose, so that no trick changes what another one draws.
        first, self.order, self.dropped = (
            [_generator(plan.seed, purpose, seed) for seed in seeds] for purpose in range(3)
        )
        self.shares = [np.random.default_rng([plan.seed, 3, seed]) for seed in seeds]
        hidden = [plan.hidden] if self.structure.network == "mlp" else []
        units = [data.train.features.shape[1], *hidden, data.classes]
        self.networks = Networks(self.recipes, units, first, self.device)
        self.batch = max(1, min(round(plan.batch_size * self.structure.batch_factor), len(data.train)))
        self.steps = len(data.train) // self.batch  # in an epoch; images beyond these wait for the next
        factors = [schedule(each.schedule, self.steps * plan.epochs) for each in self.recipes]
        rates = torch.tensor([each.rate for each in variants], device=self.device)
        self.rates = rates * torch.tensor(factors, device=self.device).T  # [steps, recipes]
        self.limits = self._setting(lambda recipe: recipe.clip)
        self.smoothing = self._setting(lambda recipe: recipe.label_smoothing).view(1, -1, 1, 1)
        self.early = self._setting(lambda recipe: recipe.early_stopping)
        self.averaging = self._setting(lambda recipe: recipe.averaging)
        count = min(SOME, len(data.validation))
        some = torch.randperm(len(data.train), generator=_generator(plan.seed))[:count].to(self.device)
        self.some = Examples(data.train.features[some], data.train.labels[some])
        self.means: list[torch.Tensor] = []  # of weight averaging
        self.one_hot = functional.one_hot(data.train.labels, data.classes).float()
        # Without a hidden layer, batch normalization's statistics in use are those of all training images.
        fixed = self.structure.batch_norm and self.structure.network == "linear"
        self.normalized = scaler("standardized" if fixed else "plain", data.train.features)

    def outcomes(self, test: bool) -> list[Outcome]:
        """Train, and take each run's weights: the last ones, or by early stopping the best."""
        shape = len(self.seeds), len(self.recipes)
        best = torch.full(shape, torch.inf, device=self.device)
        at = torch.zeros(shape, dtype=torch.int64, device=self.device)
        accuracy, finite = torch.zeros_like(best), torch.zeros_like(at, dtype=torch.bool)
        taken = [each.detach() for each in self.networks.state]
        losses = []
        train_epoch = self._lbfgs() if self.structure.optimizer == "lbfgs" else self._minibatches()
        for epoch in range(1, self.plan.epochs + 1):
            train_epoch()
            state = self._averaged(epoch)
            on_some, (loss, smoothed, correct) = (
                self._evaluate(each, state) for each in (self.some, self.data.validation)
            )
            losses.append(torch.stack([on_some[0], loss], 2))
            better = ~self.early | (smoothed < best)
            best = torch.where(better, smoothed, best)
            at = torch.where(better, epoch, at)
            accuracy = torch.where(better, correct.float().mean(2), accuracy)
            finite = torch.where(better, losses[-1].isfinite().all(2), finite)
            taken = _where(better, state, taken) if self.early.any() else state
        right = self._evaluate(self.data.test, taken)[2] if test else torch.zeros(*shape, 0, dtype=torch.bool)
        score = self._score(taken).where(finite, -torch.inf)
        columns = torch.stack(losses, 2), at, accuracy, score, right, finite
        return [Outcome(*(each[:, recipe].cpu() for each in columns)) for recipe in range(len(self.recipes))]

    def _minibatches(self) -> Callable[[], None]:
        """What trains for an epoch, step by step."""
        networks, taken = self.networks, iter(self.rates)
        update = optimizer(networks.parameters, self.recipes)

        def epoch() -> None:
            features = self.data.train.features
            orders = torch.stack([torch.randperm(len(features), generator=each) for each in self.order])
            self._draw_masks()
            for step in range(self.steps):
                rows = orders[:, step * self.batch : (step + 1) * self.batch].to(self.device)
                x, target = self._blended(_rows(features, rows), _rows(self.one_hot, rows))
                logits = networks.training_logits(x, self._mask(x))
                with torch.no_grad():
                    residual = self._residual(logits, target)
                gradients = torch.autograd.grad(logits, networks.parameters, residual)
                with torch.no_grad():
                    clip(gradients, self.limits)
                    update.step(gradients, next(taken))

        return epoch

    def _lbfgs(self) -> Callable[[], None]:
        """What makes as many steps of L-BFGS as take the place of an epoch."""
        parameters = self.networks.parameters
        solver = torch.optim.LBFGS(parameters, max_iter=LBFGS_STEPS, line_search_fn="strong_wolfe")
        target = self.one_hot.expand(1, -1, -1)

        def closure() -> torch.Tensor:
            solver.zero_grad()
            logits = self.networks.training_logits(self.data.train.features[None], None)
            loss = -(self._smoothed(target) * logits.log_softmax(2)).sum() / len(self.data.train)
            penalty = sum(each.square().sum() for each in parameters) * self.recipes[0].weight_decay / 2
            (total := loss + penalty).backward()
            return total

        def epoch() -> None:
            solver.step(closure)

        return epoch

    def _residual(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The gradient of the mean cross-entropy by ``logits``, for ``target`` [seeds, images, classes].

        Probabilities below 1e-18 become 0: their products with features would be denormal numbers, which
        take a processor a hundred times as long.
        """
        probabilities = functional.threshold(logits.softmax(2), 1e-18, 0.0, inplace=True)
        return probabilities.sub_(self._smoothed(target)).div_(logits.shape[3])

    def _smoothed(self, target: torch.Tensor) -> torch.Tensor:
        """Label smoothing: [seeds, recipes, classes, images] of [seeds, images, classes]."""
        return target.mT.unsqueeze(1) * (1 - self.smoothing) + self.smoothing / self.data.classes

    def _blended(self, x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixup: each image of a step with the one before it, whose order is random."""
        if not self.structure.mixup:
            return x, target
        alpha = self.structure.mixup
        drawn = [each.beta(alpha, alpha) for each in self.shares]
        share = torch.tensor(drawn, dtype=x.dtype, device=self.device).view(-1, 1, 1)
        return x.lerp(x.roll(1, 1), share), target.lerp(target.roll(1, 1), share)

    def _draw_masks(self) -> None:
        """An epoch's masks for dropout, 0 or 1 / (1 - dropout): each step takes a part that begins at random.

        A draw for each step would take longer than everything else.
        """
        dropout = self.structure.dropout
        units = self.plan.hidden if self.structure.network == "mlp" else self.data.train.features.shape[1]
        if dropout:
            drawn = [torch.rand(2 * self.batch * units, generator=each) for each in self.dropped]
            self.masks = [((each >= dropout) / (1 - dropout)).to(self.device) for each in drawn]

    def _mask(self, x: torch.Tensor) -> torch.Tensor | None:
        if not self.structure.dropout:
            return None
        shape = (1, self.plan.hidden, x.shape[1]) if self.structure.network == "mlp" else x.shape[1:]
        parts = []
        for mask, draws in zip(self.masks, self.dropped, strict=True):
            start = int(torch.randint(len(mask) // 2 + 1, (), generator=draws))
            parts.append(mask[start : start + len(mask) // 2].view(shape))
        return torch.stack(parts)

    def _averaged(self, epoch: int) -> list[torch.Tensor]:
        """The networks' state, for weight averaging the mean over the epochs of the second half."""
        count = epoch - self.plan.epochs // 2
        state = [each.detach() for each in self.networks.state]
        if not self.averaging.any() or count < 1:
            return [each.clone() for each in state] if self.early.any() else state
        before = self.means if count > 1 else state
        self.means = [mean + (each - mean) / count for mean, each in zip(before, state, strict=True)]
        return _where(self.averaging, self.means, state)

    def _evaluate(
        self, examples: Examples, state: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean cross-entropy [seeds, recipes], that with the smoothed labels that a recipe is trained on, and
        whether each image is right [seeds, recipes, images].
        """
        losses, smoothed, right = [], [], []
        for logits, labels in self._logits(examples, state):
            found = logits.log_softmax(2)
            of_labels = _of_labels(found, labels)
            losses.append(of_labels)
            smoothing = self.smoothing.view(1, -1, 1)
            smoothed.append(of_labels * (1 - smoothing) + found.mean(2) * smoothing)
            right.append(found.argmax(2) == labels)
        return -torch.cat(losses, 2).mean(2), -torch.cat(smoothed, 2).mean(2), torch.cat(right, 2)

    def _score(self, state: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean log-likelihood on validation with the best of `TEMPERATURES` [seeds, recipes]."""
        sums = torch.zeros(len(TEMPERATURES), len(self.seeds), len(self.recipes), device=self.device)
        for logits, labels in self._logits(self.data.validation, state):
            for place, temperature in enumerate(TEMPERATURES):
                sums[place] += _of_labels((logits / temperature).log_softmax(2), labels).sum(2)
        return sums.amax(0) / len(self.data.validation)

    def _logits(
        self, examples: Examples, state: Sequence[torch.Tensor]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """[seeds, recipes, classes, images] and labels, some images at a time."""
        features = self.normalized(examples.features)
        with torch.no_grad():
            for x, labels in zip(features.split(IMAGES), examples.labels.split(IMAGES), strict=True):
                yield self.networks.logits(x, state), labels

    def _setting(self, of: Callable[[Recipe], float | bool]) -> torch.Tensor:
        return torch.tensor([of(each) for each in self.recipes], device=self.device)


def _of_labels(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Those of the labels [seeds, recipes, images] of ``values`` [seeds, recipes, classes, images]."""
    return values.gather(2, labels.expand(*values.shape[:2], 1, -1)).squeeze(2)


def _rows(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """``table[rows]`` [seeds, images, ...], in a quarter of the time."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, -1)


def _scaled(data: Data, how: str) -> Data:
    scale = scaler(how, data.train.features)
    train, validation, test = (
        Examples(scale(each.features), each.labels) for each in (data.train, data.validation, data.test)
    )
    return Data(train, validation, test, data.classes)


def _where(
    condition: torch.Tensor, one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Tensors [seeds, recipes, ...] where ``condition`` [seeds, recipes] or [recipes] holds, else others."""
    return [
        torch.where(condition.view(*condition.shape, *[1] * (a.dim() - 2)), a, b)
        for a, b in zip(one, other, strict=True)
    ]


def _joined(parts: Sequence[Outcome]) -> Outcome:
    names = ("losses", "epoch", "accuracy", "score", "correct", "finite")
    return Outcome(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _generator(*numbers: int) -> torch.Generator:
    """A generator whose seed is made of all these numbers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(seed)
