"""What only some versions of Keras do, for the tests of what ours does beside them."""

import keras

KERAS = tuple(int(number) for number in keras.__version__.split(".")[:2])

# From 3.7 on a file brings back a registered function that is an initializer.
BRINGS_FUNCTIONS_BACK = KERAS >= (3, 7)

# From 3.15 on any callable may be a regularizer or a constraint.
TAKES_FUNCTIONS = KERAS >= (3, 15)

# From 3.6 on there are complex dtypes.
KNOWS_COMPLEX = KERAS >= (3, 6)


def in_order(axis):
    """Whether Keras orders gamma and beta of a layer for three axes by the input's axes.

    Up to 3.13 it takes the axes as listed; up to 3.15 it sorts the numbers as they are.
    """
    listed = [a % 3 for a in axis]
    if KERAS < (3, 14):
        return listed == sorted(listed)
    return KERAS > (3, 15) or [a % 3 for a in sorted(axis)] == sorted(listed)
