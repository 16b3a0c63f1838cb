"""How many threads one call of the kernel uses: as many as it was told, else as the framework was.

The kernel itself begins with PY_LAYERNORM_THREADS, else the processors that the process may use.
"""

import os

from py_layernorm.engines import kernel

_asked = False  # by set_threads


def set_threads(threads: int) -> None:
    """Set how many threads one call of the fused engine uses at most, the caller's own included.

    Without it, the environment variable PY_LAYERNORM_THREADS decides, then what TensorFlow was
    told (`tf.config.threading.set_intra_op_parallelism_threads` or TF_NUM_INTRAOP_THREADS), then
    the processors that the process may use. Results do not depend on the number.

    Args:
        threads: An int from 1 to 256. Applies to the whole process from the next call on.

    Raises:
        ValueError: if `threads` is anything else.
        FileNotFoundError, OSError: if the native library is missing or damaged.

    Example:

    >>> import py_layernorm
    >>> py_layernorm.set_threads(2)
    """
    global _asked
    kernel.Kernel().threads = threads
    _asked = True


def follow(told: int) -> None:
    """Use as many threads as the framework was told to, 0 for no wish, unless users said more."""
    if told > 0 and not _asked and not os.environ.get(kernel.THREADS):
        kernel.Kernel().threads = min(told, kernel.MOST_THREADS)
