"""Values made of the fuzzer's bytes."""

import numpy as np

DTYPES = ("float32", "float64", "bfloat16", "float16", "int32", "bool", "complex64", "uint8")
NOT_COMPLEX = tuple(name for name in DTYPES if name != "complex64")


class Source:
    """Values made of the fuzzer's bytes."""

    def __init__(self, provider):
        self.provider = provider

    def integer(self, low, high):
        return self.provider.ConsumeIntInRange(low, high)

    def one_of(self, values):
        return values[self.integer(0, len(values) - 1)]

    def flag(self):
        return self.provider.ConsumeBool()

    def shape(self, most_rank=5):
        # Lengths around those of vectors; rarely such as no memory holds.
        lengths = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33)
        return [self.one_of(lengths) for _ in range(self.integer(0, most_rank))]

    def array(self, dtype=None, shape=None):
        import ml_dtypes

        name = dtype or self.one_of(DTYPES)
        shape = self.shape(4) if shape is None else shape
        values = np.random.default_rng(self.integer(0, 9)).normal(size=shape)
        values = values * self.one_of((1.0, 1e6, 1e30, 1e-30, np.inf, np.nan))
        with np.errstate(all="ignore"):
            return values.astype(ml_dtypes.bfloat16 if name == "bfloat16" else name)

    def anything(self, depth=0):
        import keras
        import tensorflow as tf

        text = self.provider.ConsumeUnicodeNoSurrogates
        # Keras 3.5 has no complex dtypes.
        symbolic = NOT_COMPLEX if keras.__version__.startswith("3.5.") else DTYPES
        makers = (
            lambda: None,
            self.flag,
            lambda: self.integer(-6, 6),
            lambda: self.integer(-(2**70), 2**70),
            self.provider.ConsumeFloat,
            lambda: text(5),
            lambda: self.one_of(("zeros", "ones", "l2", "non_neg", "normal", "auto", "float16")),
            lambda: self.provider.ConsumeBytes(4),
            lambda: np.int64(self.integer(-4, 4)),
            lambda: np.float32(self.provider.ConsumeFloat()),
            self.array,
            lambda: tf.constant(self.array()),
            lambda: keras.KerasTensor(self.shape(), dtype=self.one_of(symbolic)),
            lambda: keras.KerasTensor([None, *self.shape(3)]),
            lambda: keras.Sequential([keras.Input(self.shape(3))]),
            lambda: keras.layers.Dense(2),
            lambda: int,
            object,
            lambda: [self.anything(depth + 1) for _ in range(self.integer(0, 3))],
            lambda: tuple(self.anything(depth + 1) for _ in range(self.integer(0, 3))),
            lambda: {text(3): self.anything(depth + 1)},
        )
        return makers[self.integer(0, len(makers) - (4 if depth > 2 else 1))]()

    def axes(self):
        """An axis argument that is often right."""
        numbers = [self.integer(-5, 5) for _ in range(self.integer(0, 3))]
        plain = (self.integer(-3, 3), numbers, tuple(numbers))
        return self.anything() if self.integer(0, 5) == 0 else self.one_of(plain)
