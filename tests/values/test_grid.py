"""The grid: every subset of axes of ranks 1 to 5, every dtype, weight and epsilon, both ways."""

import itertools

import numpy as np
import ulps
from cases import to_dtype

import py_layernorm

LENGTHS = (2, 3, 2, 3, 2)
EPSILONS = (0.0, 1e-12, 1e-3, 0.5)
SUBSETS = [
    (rank, axes)
    for rank in range(1, 6)
    for count in range(1, rank + 1)
    for axes in itertools.combinations(range(rank), count)
]


def arrays(shape, param_axes, dtype):
    """x, dy, gamma and beta. No two numbers of x are near each other, so that no row is constant
    and epsilon may be 0."""
    random = np.random.default_rng(len(shape))
    size = int(np.prod(shape))
    x = (random.permutation(size) + random.uniform(0, 0.5, size) - size / 2) / 16
    dy = random.normal(size=shape)
    weight = "float64" if dtype == "float64" else "float32"
    gamma, beta = random.normal(size=(2, *(shape[a] for a in param_axes))).astype(weight)
    return to_dtype(x.reshape(shape), dtype), to_dtype(dy, dtype), gamma, beta


def spellings(axes, rank):
    """The axes counted from the start, and from the end."""
    return axes, tuple(a - rank for a in axes)


class Count:
    """Every value that was computed and compared, and what was wrong with it."""

    def __init__(self):
        self.forward = self.backward = 0
        self.wrong = []
        self.largest = dict.fromkeys(ulps.ULP, 0.0)

    def run(self, wanted, arguments, **keywords):
        came = ulps.run(*arguments, **keywords)
        errors = ulps.errors(came, wanted)
        for dtype, off in errors.values():
            self.largest[dtype] = max(self.largest[dtype], off)
        faults = ulps.beyond(errors)
        self.forward += came[0] is not None
        self.backward += came[1] is not None
        if faults:
            self.wrong.append((arguments[0].dtype.name, arguments[0].shape, keywords, faults))

    @property
    def cases(self):
        return self.forward + self.backward

    def report(self, capsys, what):
        with capsys.disabled():
            print(f"\n{what}: {self.cases:,} cases, {len(self.wrong)} wrong")
            largest = ", ".join(f"{dtype} {off:.2f}" for dtype, off in self.largest.items())
            print(f"the largest errors in ulps: {largest}")
        assert not self.wrong, "\n".join(map(str, self.wrong[:10]))


def test_the_grid(engine, capsys):
    count = Count()
    for (rank, axes), dtype in itertools.product(SUBSETS, ulps.ULP):
        x, dy, gamma, beta = arrays(LENGTHS[-rank:], axes, dtype)
        for center, scale, epsilon in itertools.product((False, True), (False, True), EPSILONS):
            arguments = (x, dy, gamma if scale else None, beta if center else None)
            wanted = ulps.expected(*arguments, axis=axes, epsilon=epsilon)
            for axis in spellings(axes, rank):
                count.run(wanted, arguments, axis=axis, epsilon=epsilon)
    count.report(capsys, f"the grid, {engine} engine")
    assert len(SUBSETS) == 57
    # oneDNN's CI has 3,648; here that many for each dtype.
    assert count.cases == 57 * 2 * len(ulps.ULP) * 2 * 2 * 4 * 2 > 3648


def test_the_grid_of_param_axis(engine, capsys):
    """Every pair of subsets of ranks 1 to 4; the dtypes of rank 4, and the epsilons, in turn."""
    count = Count()
    small = [subset for subset in SUBSETS if subset[0] <= 4]
    pairs = [(r, a, p) for (r, a), (rank, p) in itertools.product(small, small) if r == rank]
    for number, (rank, axes, param_axes) in enumerate(pairs):
        for dtype in ulps.ULP if rank < 4 else [list(ulps.ULP)[number % 4]]:
            arguments = arrays(LENGTHS[-rank:], param_axes, dtype)
            epsilon = EPSILONS[number // 4 % 4]
            wanted = ulps.expected(*arguments, axis=axes, param_axis=param_axes, epsilon=epsilon)
            axis = spellings(axes, rank)[number % 2]
            param_axis = spellings(param_axes, rank)[number // 2 % 2]
            count.run(wanted, arguments, axis=axis, param_axis=param_axis, epsilon=epsilon)
    count.report(capsys, f"the grid of param_axis, {engine} engine")
    assert count.cases == ((1 + 3**2 + 7**2) * len(ulps.ULP) + 15**2) * 2


def test_the_layer_is_the_function(engine):
    """Bit for bit, with the weights that the layer keeps: float32 ones under a mixed policy."""
    policies = ("mixed_float16", "mixed_bfloat16", "float32", "float64")
    for number, (rank, axes) in enumerate(SUBSETS):
        dtype, policy = list(zip(ulps.ULP, policies, strict=True))[number % 4]
        x, _, gamma, beta = arrays(LENGTHS[-rank:], axes, dtype)
        center, scale = number % 3 != 0, number % 5 != 0
        epsilon = EPSILONS[number % 4 - number % 3]
        weights = gamma if scale else None, beta if center else None
        for axis in spellings(axes, rank):
            layer = py_layernorm.LayerNormalization(axis, epsilon, center, scale, dtype=policy)
            layer.build(x.shape)
            layer.set_weights([weight for weight in weights if weight is not None])
            y = py_layernorm.layer_norm(x, *weights, axis=axis, epsilon=epsilon)
            np.testing.assert_array_equal(layer(x), y)
