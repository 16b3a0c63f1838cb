"""The one table of cases, used for every engine, the layer and the function."""

from dataclasses import dataclass

import numpy as np
import reference

import py_layernorm

# Of the largest value. float32: a few roundings of 6e-8 each, in x - mean and in the two products,
# with sums of up to thousands of terms. Half precision: the output's own rounding, half an ulp of
# 2^-10 and 2^-7. float64 like float32, with roundings of 1e-16.
TOLERANCE = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-14}


def engines():
    """The engines available here; the portable one always is."""
    available = ["portable"]
    if py_layernorm.engines.fused_unavailable() is None:
        available.append("fused")
    return available


@dataclass(frozen=True)
class Case:
    """An input's shape and the arguments of the layer."""

    shape: tuple
    axis: int | tuple = -1
    param_axis: int | tuple | None = None
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    dtype: str = "float32"
    offset: float = 0.0

    def __str__(self):
        parts = ["x".join(map(str, self.shape)), f"axis={self.axis}"]
        for name, default in (
            ("param_axis", None),
            ("epsilon", 1e-3),
            ("center", True),
            ("scale", True),
            ("dtype", "float32"),
            ("offset", 0.0),
        ):
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value}")
        return ",".join(parts).replace(" ", "")

    def arrays(self, seed=0):
        """x, gamma, beta and dy: NumPy arrays, x and dy rounded to the case's dtype."""
        random = np.random.default_rng(seed)
        axes = self.axis if self.param_axis is None else self.param_axis
        weights = tuple(self.shape[a] for a in reference.resolve(axes, len(self.shape)))
        x = to_dtype(random.normal(size=self.shape) + self.offset, self.dtype)
        gamma = random.normal(size=weights).astype("float32") if self.scale else None
        beta = random.normal(size=weights).astype("float32") if self.center else None
        return x, gamma, beta, to_dtype(random.normal(size=self.shape), self.dtype)

    @property
    def layer_arguments(self):
        names = ("axis", "param_axis", "epsilon", "center", "scale", "dtype")
        return {name: getattr(self, name) for name in names}

    @property
    def function_arguments(self):
        return {name: getattr(self, name) for name in ("axis", "param_axis", "epsilon")}

    def expected(self):
        x, gamma, beta, _ = self.arrays()
        return reference.layer_norm(x, gamma, beta, **self.function_arguments)


def to_dtype(x, dtype):
    """`x` rounded to `dtype`; NumPy has bfloat16 from ml_dtypes, which Keras brings."""
    if dtype == "bfloat16":
        import ml_dtypes

        return x.astype(ml_dtypes.bfloat16)
    return x.astype(dtype)


def relative_error(y, expected):
    """max |y - expected| over max |expected|; 0 for empty arrays."""
    y, expected = np.asarray(y).astype("float64"), np.asarray(expected)
    if expected.size == 0:
        assert y.shape == expected.shape
        return 0.0
    return np.abs(y - expected).max() / max(np.abs(expected).max(), np.finfo("float64").tiny)


CASES = [
    # Ranks 1 to 9, one axis. TensorFlow slices no more than 8 axes.
    Case((7,), axis=0),
    Case((5, 2), axis=1),
    Case((4, 768)),
    Case((3, 4, 5)),
    Case((2, 3, 4, 5)),
    Case((2, 3, 2, 3, 4)),
    Case((2, 1, 3, 2, 2, 5)),
    Case((2, 1, 2, 1, 2, 2, 3)),
    Case((2, 1, 2, 1, 2, 1, 2, 3)),
    Case((2, 1, 2, 1, 2, 1, 1, 2, 3)),
    # Axes that are not last, several, in any order and spelling.
    Case((3, 4, 5), axis=0),
    Case((3, 4, 5), axis=1),
    Case((3, 4, 5), axis=(1, 2)),
    Case((3, 4, 5), axis=(-1, 1)),
    Case((3, 4, 5), axis=(2, 0)),
    Case((3, 4, 5), axis=(0, 1, 2)),
    Case((2, 3, 4, 5), axis=(1, 2, 3)),
    Case((2, 3, 4, 5), axis=(1, 3)),
    Case((2, 3, 4, 5), axis=(-2, -4)),
    Case((2, 1, 2, 3, 2, 1, 1, 2, 3), axis=(0, 3, 8)),
    # Weights that span other axes than those normalised over.
    Case((2, 3, 4, 5), axis=(1, 2, 3), param_axis=-1),
    Case((2, 3, 4, 5), axis=-1, param_axis=(1, 2)),
    Case((2, 3, 4, 5), axis=(1, 3), param_axis=(-1, 1)),
    Case((2, 3, 4), axis=2, param_axis=1),
    Case((2, 3, 4), axis=(1, 2), param_axis=(2, 0)),
    # With and without weights.
    *(
        Case((6, 8), center=center, scale=scale)
        for center, scale in ((True, False), (False, True), (False, False))
    ),
    Case((2, 3, 4), axis=1, center=False, scale=False),
    # epsilon
    *(Case((6, 8), epsilon=epsilon) for epsilon in (0.0, 1e-12, 1e-14, 0.5)),
    # dtypes
    *(Case((6, 33), dtype=dtype) for dtype in ("float16", "bfloat16", "float64")),
    *(Case((3, 4, 5), axis=1, dtype=dtype) for dtype in ("float16", "bfloat16", "float64")),
    Case((2, 3, 4, 5), axis=(1, 2, 3), param_axis=-1, dtype="float64"),
    # Offsets: Keras's formula and PyTorch's lose 1 to 5 digits of these rows.
    *(Case((8, 768), offset=offset) for offset in (1e2, 1e4, 1e6)),
    Case((4, 64), offset=1e4),
    Case((4, 5, 64), axis=1, offset=1e4),
    # Nothing to do.
    Case((0, 5)),
    Case((5, 0)),
    Case((0, 3, 4), axis=(1, 2)),
    Case((3, 1)),
    Case((3, 1, 2), axis=1),
]
