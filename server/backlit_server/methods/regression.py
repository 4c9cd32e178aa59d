"""Weighted least squares, gathered a batch of rows at a time."""

from dataclasses import dataclass

import numpy as np

from backlit_server.methods.parameters import Array


@dataclass(frozen=True)
class Equations:
    """What rows x (n, unknowns), values y (n, targets) and weights w (n) leave behind: they themselves are not kept.

    `gram` is X'WX, `spread` X'W^2X, `moments` X'WY, `power` Y'WY (targets), `count` how many rows, `weight` sum(w).
    """

    gram: Array
    spread: Array
    moments: Array
    power: Array
    count: int = 0
    weight: float = 0

    def with_rows(self, x: Array, y: Array, w: Array) -> "Equations":
        weighted = x * w[:, None]
        return Equations(
            self.gram + weighted.T @ x,
            self.spread + weighted.T @ weighted,
            self.moments + weighted.T @ y,
            self.power + w @ y**2,
            self.count + len(x),
            self.weight + float(w.sum()),
        )

    def solved(self, penalty: Array) -> tuple[Array, Array]:
        """The unknowns (unknowns, targets), their squares weighing `penalty` each, and their covariance.

        The latter is (unknowns, unknowns) for residuals of variance 1.
        """
        inverse = np.linalg.pinv(self.gram + np.diag(penalty), hermitian=True)
        return inverse @ self.moments, inverse @ self.spread @ inverse

    def residuals(self, solution: Array) -> Array:
        """Their variance (targets); infinity where there are no more rows than unknowns."""
        if self.count <= len(self.gram):
            return np.full(len(self.power), np.inf)
        return self._left(solution) / self.weight * self.count / (self.count - len(self.gram))

    def explained(self, solution: Array) -> Array:
        """The share of the values' variance (targets) that the solution explains, where the last unknown is free."""
        variance = self.power - self.moments[-1] ** 2 / self.weight
        return 1 - np.divide(self._left(solution), variance, out=np.zeros_like(variance), where=variance > 0)

    def _left(self, solution: Array) -> Array:
        """The weighted sum of squared residuals."""
        return np.maximum(self.power - ((2 * self.moments - self.gram @ solution) * solution).sum(0), 0)


def no_equations(unknowns: int, targets: int) -> Equations:
    """Before the first row."""
    square = np.zeros((unknowns, unknowns))
    return Equations(square, square, np.zeros((unknowns, targets)), np.zeros(targets))
