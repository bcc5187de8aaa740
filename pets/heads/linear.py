"""Linear probe: multinomial logistic regression, every penalty of the path in one solve.

Minimizes, for each penalty, the mean negative log-likelihood plus penalty / 2 times the squared weights, with
the bias free; scikit-learn's C is 1 / (penalty * images). Three things make it quick without changing the
optimum. The features are rotated onto their principal axes (an L2 penalty does not see a rotation, and fewer
images than dimensions leave fewer axes), where the curvature is nearly diagonal: L-BFGS (Liu and Nocedal,
1989) starts from that diagonal, at first Böhning's bound (Multinomial logistic regression algorithm, 1992),
then the Hessian's own. All penalties share the matrix products, each has its own history and step, and one
that has converged is dropped. The logits are linear in the weights, so that a shorter step costs no matrix
product.
"""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, PositiveFloat
from torch.nn import functional

from pets.core.params import Section
from pets.heads import Examples, Trial, unit

STEPS = 1000
LOOK = 5  # steps between two looks at the curvature and at which penalties have converged
HISTORY = 10  # steps that L-BFGS remembers
TOLERANCE = 1e-6  # of the loss, by the quadratic model of L-BFGS


class Settings(Section):
    """The section ``train.linear`` of params.yaml."""

    penalties: list[PositiveFloat] = Field(min_length=1)


def trials(
    train: Examples, validation: Examples, classes: int, settings: Settings, seed: int
) -> Iterator[Trial]:
    """One trial for each penalty."""
    weights, biases = solve(scaled(train.features), train.labels, classes, settings.penalties)
    for penalty, weight, bias in zip(settings.penalties, weights, biases, strict=True):
        tensors = {"weight": weight, "bias": bias}
        yield Trial({"penalty": penalty}, logits(tensors, validation.features))


def fit(examples: Examples, classes: int, setting: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Tensors ``weight`` [dimensions, classes] and ``bias`` [classes]."""
    features = scaled(examples.features)
    weights, biases = solve(features, examples.labels, classes, [setting["penalty"]])
    return {"weight": weights[0], "bias": biases[0]}


def logits(tensors: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """See `Head.logits`."""
    return scaled(features) @ tensors["weight"] + tensors["bias"]


def scaled(features: torch.Tensor) -> torch.Tensor:
    """The root of each feature, sign kept, and each vector scaled to a mean square of one.

    The root tames the few large activations that pooled features have (Perronnin, Sánchez, Mensink: Improving
    the Fisher kernel for large-scale image classification, ECCV 2010); in cross-validation on the Pets'
    training images it gave better heads. The scale lets a penalty mean the same for every backbone.
    """
    clamped = features.abs().clamp_min(1e-12)  # at zero the root's slope is infinite
    rooted = features.sign() * clamped.sqrt()
    return unit(rooted) * features.shape[1] ** 0.5


def solve(
    features: torch.Tensor, labels: torch.Tensor, classes: int, penalties: list[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [penalties, dimensions, classes] and biases [penalties, classes], float32, at the optimum.

    ``features`` [n, dimensions], ``labels`` int64 [n]. The loss is within about 1e-5 of its minimum; where
    1000 steps are too few for that, a printed line says so.
    """
    centre = features.double().mean(0)
    rotated, axes = _rotate(features.double() - centre)
    problem = _Problem(rotated.float(), functional.one_hot(labels, classes).float(), penalties)
    solution = problem.minimize().double().view(len(penalties), -1, classes)
    weights = axes @ solution[:, :-1]
    return weights.float(), (solution[:, -1] - centre @ weights).float()


class _Problem:
    """The losses of some penalties, which share ``x`` [n, r + 1], its last column ones for the bias.

    Weights, gradients and curvatures are [penalties, (r + 1) * classes]; logits and their like are
    [n, penalties, classes], so that one matrix product serves all penalties.
    """

    def __init__(self, x: torch.Tensor, truth: torch.Tensor, penalties: list[float]) -> None:
        """``x`` [n, r], and the one-hot ``truth`` [n, classes]."""
        self.x = functional.pad(x, (0, 1), value=1.0)
        self.squares = self.x.square() / len(x)
        self.truth = truth.unsqueeze(1)
        penalty = x.new_tensor(penalties).view(-1, 1, 1).repeat(1, self.x.shape[1], truth.shape[1])
        penalty[:, -1] = 0  # the bias is free
        self.penalty = penalty.flatten(1)

    def times(self, weights: torch.Tensor) -> torch.Tensor:
        """Logits, linear in ``weights``."""
        count, classes = len(weights), self.truth.shape[2]
        columns = weights.view(count, -1, classes).transpose(0, 1).reshape(-1, count * classes)
        return (self.x @ columns).view(-1, count, classes)

    def gathered(self, factors: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """``factors`` [n, r + 1] transposed, times ``values`` [n, penalties, classes]."""
        _, count, classes = values.shape
        return (factors.T @ values.flatten(1)).view(-1, count, classes).transpose(0, 1).reshape(count, -1)

    def loss(self, weights: torch.Tensor, log_probabilities: torch.Tensor) -> torch.Tensor:
        """Of each penalty [penalties, 1]."""
        fit = (log_probabilities * self.truth).sum((0, 2)) / len(self.x)
        return _dot(self.penalty * weights, weights) / 2 - fit.view(-1, 1)

    def gradient(self, weights: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        residual = (probabilities - self.truth) / len(self.x)
        return self.gathered(self.x, residual) + self.penalty * weights

    def curvature(self, probabilities: torch.Tensor) -> torch.Tensor:
        """The Hessian's diagonal."""
        diagonal = self.gathered(self.squares, probabilities * (1 - probabilities)) + self.penalty
        return diagonal + 1e-6 * (self.penalty == 0)  # of a bias: a class may be certain everywhere

    def minimize(self) -> torch.Tensor:
        """The weights, by L-BFGS from zero."""
        found = torch.zeros_like(self.penalty)
        left = torch.arange(len(found), device=found.device)  # penalties that have not converged
        weights = found.clone()
        logits = self.times(weights)
        log_probabilities = logits.log_softmax(2)
        loss = self.loss(weights, log_probabilities)
        gradient = self.gradient(weights, log_probabilities.exp())
        bound = self.squares.sum(0).repeat_interleave(self.truth.shape[2]) / 2  # Böhning's
        memory = _Memory(bound + self.penalty)
        for step in range(1, STEPS + 1):
            direction = memory.direction(gradient)
            slope = _dot(direction, gradient)
            change = self.times(direction)
            length = torch.ones_like(loss)
            for _ in range(30):
                log_probabilities = (logits + length * change).log_softmax(2)
                new_loss = self.loss(weights + length * direction, log_probabilities)
                # Armijo's condition; the last term is what rounding does to a float32.
                fails = new_loss > loss + 1e-4 * length * slope + 1e-6 * loss.abs()
                if not fails.any():
                    break
                length = torch.where(fails, length / 2, length)
            probabilities = log_probabilities.exp()
            logits, loss, weights = logits + length * change, new_loss, weights + length * direction
            before, gradient = gradient, self.gradient(weights, probabilities)
            memory.add(length * direction, gradient - before)
            if step % LOOK:
                continue
            going = (-slope > 2 * TOLERANCE).view(-1)
            found[left] = weights
            if not going.any():
                return found
            left, self.penalty = left[going], self.penalty[going]
            weights, gradient, loss = weights[going], gradient[going], loss[going]
            logits = logits[:, going]
            memory.keep(going, self.curvature(probabilities[:, going]))
        print("linear: not converged for the smallest penalties; larger ones converge sooner")
        return found


class _Memory:
    """The last steps of L-BFGS and how the gradient changed, with each penalty's own scalars."""

    def __init__(self, curvature: torch.Tensor) -> None:
        self.curvature = curvature
        self.pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """Minus the approximate inverse Hessian times ``gradient``, by the two-loop recursion."""
        result = -gradient
        shares = []
        for step, change, product in reversed(self.pairs):
            shares.append(share := _dot(step, result) / product)
            result.addcmul_(change, share, value=-1)
        result /= self.curvature
        if self.pairs:
            _, change, product = self.pairs[-1]
            result *= product / _dot(change, change / self.curvature)
        for (step, change, product), share in zip(self.pairs, reversed(shares), strict=True):
            result.addcmul_(step, share - _dot(change, result) / product)
        return result

    def add(self, step: torch.Tensor, change: torch.Tensor) -> None:
        """Remember a step, unless rounding hides the curvature of one penalty along it."""
        product = _dot(step, change)
        if (product > 0).all():
            self.pairs = [*self.pairs, (step, change, product)][-HISTORY:]

    def keep(self, going: torch.Tensor, curvature: torch.Tensor) -> None:
        """Drop the other penalties; start from another diagonal."""
        self.curvature = curvature
        self.pairs = [(step[going], change[going], product[going]) for step, change, product in self.pairs]


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The inner product of each row [rows, 1]."""
    return torch.bmm(one.unsqueeze(1), other.unsqueeze(2)).view(-1, 1)


def _rotate(centred: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal axes [dimensions, r] and the data on them [n, r], by the smaller of the two Gram matrices."""
    images, dimensions = centred.shape
    if dimensions <= images:
        values, axes = torch.linalg.eigh(centred.T @ centred)
        axes = axes[:, values > values[-1] * 1e-12]
        return centred @ axes, axes
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    kept = values > values[-1] * 1e-12
    lengths = values[kept].sqrt()
    rotated = vectors[:, kept] * lengths
    return rotated, centred.T @ (vectors[:, kept] / lengths)
