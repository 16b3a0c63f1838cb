"""How many threads a kernel call uses: the number set here, else the framework's setting.

The kernel starts with PY_LAYERNORM_THREADS, or else with as many threads as the process may use
processors.
"""

import os

from py_layernorm.engines import kernel

_asked = False  # by set_threads


def set_threads(threads: int) -> None:
    """Set the maximum number of threads for a call of the fused engine, including the caller's.

    The default is the environment variable PY_LAYERNORM_THREADS, then TensorFlow's setting
    (`tf.config.threading.set_intra_op_parallelism_threads` or TF_NUM_INTRAOP_THREADS), then
    the number of processors available to the process. Results do not depend on the number.

    Args:
        threads: An int from 1 to 256. Applies to the process from the next call on.

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
    """Use the framework's number of threads, if any (0: not set), unless a user chose one here."""
    if told > 0 and not _asked and not os.environ.get(kernel.THREADS):
        kernel.Kernel().threads = min(told, kernel.MOST_THREADS)
