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
ROWS = 4096  # images of which logits are turned into a gradient at a time
TOLERANCE = 1e-6  # of the loss, by the quadratic model of L-BFGS
LOGITS = 1 << 28  # at a time, of all penalties that are solved together: 1 GiB, held twice


class Settings(Section):
    """The section ``train.linear`` of params.yaml."""

    penalties: list[PositiveFloat] = Field(min_length=1)


def trials(
    train: Examples, validation: Examples, classes: int, settings: Settings, seed: int
) -> Iterator[Trial]:
    """One trial for each penalty."""
    weights, biases = solve(scaled(train.features), train.labels, classes, settings.penalties)
    for penalty, weight, bias in zip(settings.penalties, weights, biases, strict=True):
        yield Trial({"penalty": penalty}, {"weight": weight, "bias": bias})


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
    centre = sum(rows.double().sum(0) for rows in features.split(ROWS)) / len(features)
    rotated, axes = _rotate(features, centre)
    truth = features.new_zeros(len(features), classes).scatter_(1, labels.unsqueeze(1), 1.0)
    together = max(1, LOGITS // truth.numel())
    parts = [penalties[start : start + together] for start in range(0, len(penalties), together)]
    solutions = torch.cat([_Problem(rotated, truth, part).minimize() for part in parts])
    solution = solutions.double().view(len(penalties), -1, classes)
    weights = axes @ solution[:, :-1]
    return weights.float(), (solution[:, -1] - centre @ weights).float()


class _Problem:
    """The losses of some penalties, which share ``x`` [n, r + 1], its last column ones for the bias.

    Weights, gradients and curvatures are [penalties, (r + 1) * classes]; logits are [n, penalties, classes],
    so that one matrix product serves all penalties. What is made of the logits is made of some rows at a
    time, which stay in the processor's cache.
    """

    def __init__(self, x: torch.Tensor, truth: torch.Tensor, penalties: list[float]) -> None:
        """``x`` [n, r + 1], and the one-hot ``truth`` [n, classes]."""
        self.x = x
        self.truth = truth.unsqueeze(1)
        self.rows = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
        penalty = x.new_tensor(penalties).view(-1, 1, 1).repeat(1, self.x.shape[1], truth.shape[1])
        penalty[:, -1] = 0  # the bias is free
        self.penalty = penalty.flatten(1)

    def times(self, weights: torch.Tensor) -> torch.Tensor:
        """Logits, linear in ``weights``."""
        count, classes = len(weights), self.truth.shape[2]
        columns = weights.view(count, -1, classes).transpose(0, 1).reshape(-1, count * classes)
        return (self.x @ columns).view(-1, count, classes)

    def evaluate(
        self, weights: torch.Tensor, logits: torch.Tensor, change: torch.Tensor, length: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each penalty's loss [penalties, 1] and gradient; the logits are ``logits + length * change``."""
        fit, gradient = torch.zeros_like(weights[:, 0]), self._zeros(weights)
        for rows in self.rows:
            log_probabilities = (logits[rows] + length * change[rows]).log_softmax(2)
            fit += (log_probabilities * self.truth[rows]).sum((0, 2)) / len(self.x)
            residual = (log_probabilities.exp_() - self.truth[rows]) / len(self.x)
            gradient.addmm_(self.x[rows].T, residual.flatten(1))
        loss = _dot(self.penalty * weights, weights) / 2 - fit.view(-1, 1)
        return loss, self._by_penalty(gradient, len(weights)) + self.penalty * weights

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """The Hessian's diagonal."""
        diagonal = self._zeros(self.penalty)
        for rows in self.rows:
            probabilities = logits[rows].log_softmax(2).exp_()
            variance = probabilities * (1 - probabilities)
            diagonal.addmm_((self.x[rows].square() / len(self.x)).T, variance.flatten(1))
        diagonal = self._by_penalty(diagonal, len(self.penalty)) + self.penalty
        return diagonal + 1e-6 * (self.penalty == 0)  # of a bias: a class may be certain everywhere

    def bound(self) -> torch.Tensor:
        """Böhning's bound of the Hessian's diagonal."""
        squares = torch.stack([self.x[rows].square().sum(0) for rows in self.rows]).sum(0) / len(self.x)
        return squares.repeat_interleave(self.truth.shape[2]) / 2 + self.penalty

    def _zeros(self, weights: torch.Tensor) -> torch.Tensor:
        return weights.new_zeros(self.x.shape[1], len(weights) * self.truth.shape[2])

    def _by_penalty(self, sums: torch.Tensor, count: int) -> torch.Tensor:
        """Sums [r + 1, penalties * classes] in the order of the weights."""
        return sums.view(len(sums), count, -1).transpose(0, 1).reshape(count, -1)

    def minimize(self) -> torch.Tensor:
        """The weights, by L-BFGS from zero."""
        found = torch.zeros_like(self.penalty)
        left = torch.arange(len(found), device=found.device)  # penalties that have not converged
        weights = found.clone()
        logits = self.times(weights)
        loss, gradient = self.evaluate(weights, logits, logits, torch.zeros_like(weights[:, :1]))
        memory = _Memory(self.bound())
        for step in range(1, STEPS + 1):
            direction = memory.direction(gradient)
            slope = _dot(direction, gradient)
            change = self.times(direction)
            length = torch.ones_like(loss)
            for _ in range(30):
                moved = weights + length * direction
                new_loss, new_gradient = self.evaluate(moved, logits, change, length)
                # Armijo's condition; the last term is what rounding does to a float32.
                fails = new_loss > loss + 1e-4 * length * slope + 1e-6 * loss.abs()
                if not fails.any():
                    break
                length = torch.where(fails, length / 2, length)
            memory.add(length * direction, new_gradient - gradient)
            logits.addcmul_(length, change)
            weights, loss, gradient = moved, new_loss, new_gradient
            if step % LOOK:
                continue
            going = (-slope > 2 * TOLERANCE).view(-1)
            found[left] = weights
            if not going.any():
                return found
            if not going.all():
                left, self.penalty, logits = left[going], self.penalty[going], logits[:, going]
                weights, gradient, loss = weights[going], gradient[going], loss[going]
            memory.keep(going, self.curvature(logits))
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


def _rotate(features: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The centred features on their principal axes and a column of ones, float32 [n, r + 1], and these axes.

    The axes are float64 [dimensions, r], by the smaller of the two Gram matrices.
    """
    images, dimensions = features.shape
    if dimensions <= images:
        centred = (rows.double() - centre for rows in features.split(ROWS))
        values, axes = torch.linalg.eigh(sum(rows.T @ rows for rows in centred))
        axes = axes[:, values > values[-1] * 1e-12]
        centred = (rows.double() - centre for rows in features.split(ROWS))
        return torch.cat([_with_ones((rows @ axes).float()) for rows in centred]), axes
    rows = features.double() - centre
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    kept = values > values[-1] * 1e-12
    lengths = values[kept].sqrt()
    return _with_ones((vectors[:, kept] * lengths).float()), rows.T @ (vectors[:, kept] / lengths)


def _with_ones(x: torch.Tensor) -> torch.Tensor:
    return functional.pad(x, (0, 1), value=1.0)
