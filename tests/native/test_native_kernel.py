"""The native kernel alone, compared with the reference."""

import itertools
import os
import shutil
import threading
import time

import numpy as np
import pytest
from native_kernel import (
    BFLOAT16,
    data,
    error,
    expected,
    library,
    numpy_dtype,
    run,
    same,
)

from py_layernorm.engines.kernel import DTYPES, ISAS, Kernel

# Of the largest value; half precision: its own rounding of the output.
TOLERANCE = {"float32": 5e-7, "float64": 1e-14, "bfloat16": 4e-3, "float16": 5e-4}

try:
    LIBRARY, MISSING = library(), ""
except FileNotFoundError as missing:
    LIBRARY, MISSING = None, str(missing)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=MISSING)


@pytest.fixture(scope="module", params=ISAS)
def kernel(request, tmp_path_factory):
    """A copy of the library that took the instruction set it was asked for."""
    path = tmp_path_factory.mktemp("kernel") / f"{request.param}.so"
    shutil.copy(LIBRARY, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PY_LAYERNORM_ISA", request.param)
        kernel = Kernel(path)
        if kernel.isa != request.param:
            pytest.skip(f"this processor has no {request.param}")
    return kernel


@pytest.fixture(autouse=True)
def two_threads(kernel):
    kernel.threads = 2


GEOMETRIES = [
    *((rows, n, 1) for rows in (1, 3, 17) for n in (1, 2, 15, 16, 17, 64, 100, 768, 1030)),
    (300, 64, 1), (200, 768, 1), (2, 8192, 1), (2, 8193, 1), (5, 20001, 1), (9, 65536, 1),
    (1, 5, 2), (2, 7, 3), (3, 33, 17), (2, 64, 196), (1, 3000, 64), (2, 3, 401), (1, 40, 112),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", GEOMETRIES, ids=str)
def test_agrees_with_the_reference(kernel, shape, dtype):
    x, dy, gamma, beta = data(shape, dtype, offset=2)
    for weights in ((gamma, beta), (gamma, None), (None, beta), (None, None)):
        values = run(kernel, x, dy, *weights)
        references = expected(x, dy, *weights)
        names = ("y", "mean", "rstd", "dx", "dgamma", "dbeta")
        for name, value, reference in zip(names, values, references, strict=True):
            limit = TOLERANCE[dtype if name in ("y", "dx") else value.dtype.name]
            if name in ("mean", "rstd") and dtype != "float64":
                limit = 1e-6
            if shape[1] <= 2:
                # xhat is 0 or +-1 and dx all but 0, out of terms of the size of rstd.
                size = 10 * max(1, references[2].max())
                assert np.abs(value.astype(reference.dtype) - reference).max() <= limit * size
                continue
            assert error(value, reference) <= limit, name


@pytest.mark.parametrize("n", [64, 768, 65536])
@pytest.mark.parametrize(
    ("offset", "scale", "epsilon"),
    [(0, 1, 1e-3), (1e2, 1, 1e-3), (1e4, 1, 1e-3), (1e6, 1, 1e-3), (0, 1e20, 1e-3),
     (0, 1e30, 1e-3), (0, 1e-20, 0), (0, 1e-30, 0), (0, 1e-36, 0), (3e37, 1e37, 1e-3)],
)  # fmt: skip
@pytest.mark.parametrize("strided", [False, True])
def test_keeps_its_digits_at_any_offset_and_scale(kernel, n, offset, scale, epsilon, strided):
    shape = (2, n, 24) if strided else (48, n, 1)
    x, dy, gamma, beta = data(shape, offset=offset, scale=scale)
    y, mean, rstd, dx, dgamma, dbeta = run(kernel, x, dy, gamma, beta, epsilon)
    references = expected(x, dy, gamma, beta, epsilon)
    assert error(y, references[0]) <= 1e-6
    assert np.abs(mean - references[1]).max() <= 1e-7 * scale
    assert error(rstd, references[2]) <= 2e-7
    if np.abs(references[3]).max() < 3e38:  # else dx is beyond float32
        assert error(dx, references[3]) <= 5e-7
    assert error(dgamma, references[4]) <= 5e-7
    assert error(dbeta, references[5]) <= 5e-7


@pytest.mark.parametrize("n", [5, 18, 37, 64, 100])
def test_rows_that_float_cannot_hold_change_no_other_and_are_right_beside_them(kernel, n):
    x, dy, gamma, beta = data((37, n, 1))
    usual = run(kernel, x, dy, gamma, beta)
    large = [2, 3, 19, 36]
    x[large] *= np.float32(1e25)
    y, mean, rstd, dx, dgamma, _ = run(kernel, x, dy, gamma, beta)
    references = expected(x, dy, gamma, beta)
    assert error(y[large], references[0][large]) <= 1e-6
    assert error(dx[large], references[3][large]) <= 5e-7
    assert error(dgamma, references[4]) <= 5e-7
    others = np.setdiff1d(np.arange(37), large)
    for value, before in zip((y, mean, rstd, dx), usual, strict=False):
        np.testing.assert_array_equal(value[others], before[others])


@pytest.mark.parametrize("scale", [1e300, 1e200, 1e-150, 1e-200, 1e-300])
def test_float64_rows_whose_squares_float64_cannot_hold(kernel, scale):
    x, dy, gamma, beta = data((5, 100, 1), "float64")
    y, _, rstd = kernel.forward(x * scale, gamma, beta, 0.0)
    reference = expected(x, dy, gamma, beta, 0.0)
    assert error(y, reference[0]) <= 1e-14
    assert error(rstd * scale, reference[2]) <= 1e-14


@pytest.mark.parametrize("n", [5, 100, 20000])
def test_float64_rows_at_the_end_of_float64(kernel, n):
    """Their sums overflow; epsilon is not lost beside them."""
    x, dy, gamma, beta = data((2, n, 1), "float64")
    signs = np.sign(x) * 1.7e308
    y, mean, rstd = kernel.forward(signs, gamma, beta)
    wanted = expected(np.sign(x), dy, gamma, beta, 0.0)
    assert error(y, wanted[0]) <= 1e-14
    assert error(rstd * 1.7e308, wanted[2]) <= 1e-14
    constant = np.full_like(x, np.finfo("float64").max)
    y, mean, rstd = kernel.forward(constant, gamma, beta, 0.25)
    assert (y == beta[:, None]).all()
    assert (mean == constant[0, 0, 0]).all()
    assert (rstd == 2).all()


@pytest.mark.parametrize("offset", [0, 1e2])
def test_bfloat16_is_rounded_correctly(kernel, offset):
    x, dy, _, _ = data((1024, 768, 1), "bfloat16", offset=offset)
    y, mean, rstd = kernel.forward(x)
    dx = kernel.backward(dy, x, None, mean, rstd)[0]
    reference = expected(x, dy)
    assert (y != reference[0].astype(BFLOAT16)).mean() <= 1e-4
    assert (dx != reference[3].astype(BFLOAT16)).mean() <= 1e-4


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_half_precision_number_survives(kernel, dtype):
    """Read and written as the formula y = (x - 0) * 1 reads, with mean 0 and variance 1."""
    numbers = np.arange(1 << 16, dtype="uint16").view(numpy_dtype(dtype))
    finite = numbers[np.isfinite(numbers)].astype("float64")
    # Backward with one column a row: dx = 0, dbeta = the sum of dy, hence dy itself.
    dy = finite.astype(numpy_dtype(dtype)).reshape(1, -1, 1)
    zeros = np.zeros(1)
    dbeta = kernel.backward(dy, np.zeros_like(dy), None, zeros, zeros)[2]
    np.testing.assert_array_equal(dbeta, finite.astype("float32"))
    # Forward, a constant row: y = beta, rounded to nearest even, infinities and NaN included.
    random = np.random.default_rng(0)
    beta = np.concatenate(
        [
            random.integers(0, 1 << 32, 100_000, dtype="uint32").view("float32"),
            (finite[:-1] / 2 + finite[1:] / 2).astype("float32"),
            np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], "float32"),
        ]
    )
    x = np.zeros((1, beta.size, 1), numpy_dtype(dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = (beta + np.float32(0)).astype(numpy_dtype(dtype))
    y = kernel.forward(x, None, beta)[0].ravel()
    np.testing.assert_array_equal(y.astype("float32"), wanted.astype("float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 768, 1), (3, 65, 1), (2, 30000, 1), (2, 77, 30)], ids=str)
def test_constant_rows_give_exactly_beta(kernel, shape, dtype):
    x, dy, gamma, beta = data(shape, dtype)
    random = np.random.default_rng(1)
    rows = (1e3 * random.normal(size=(shape[0], 1, shape[2]))).astype(x.dtype)
    x = np.ascontiguousarray(np.broadcast_to(rows, shape))
    y, mean, _, _, dgamma, _ = run(kernel, x, dy, gamma, beta)
    wanted = np.broadcast_to(beta.astype(x.dtype)[:, None], shape)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(mean, rows.ravel().astype("float64"))
    assert not dgamma.any()


@pytest.mark.parametrize("shape", [(37, 100, 1), (5, 20000, 1), (3, 20, 50)], ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_row_changes_no_other(kernel, shape, bad):
    x, dy, gamma, beta = data(shape)
    clean = run(kernel, x, dy, gamma, beta)
    spoilt = x.copy()
    spoilt[1, 3, -1] = bad
    y, _, _, dx, _, _ = run(kernel, spoilt, dy, gamma, beta)
    others = np.ones((shape[0], shape[2]), bool)
    others[1, -1] = False
    for one, other in ((clean[0], y), (clean[3], dx)):
        np.testing.assert_array_equal(
            one.transpose(0, 2, 1)[others], other.transpose(0, 2, 1)[others]
        )
    assert np.isnan(y[1, :, -1]).all() == (bad != 1e30)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("n", [64, 100, 768, 5000, 40000])
def test_rows_do_not_depend_on_where_the_batch_is_cut(kernel, n, dtype):
    x, dy, gamma, beta = data((23, n, 1), dtype)
    y, mean, rstd, dx, _, _ = run(kernel, x, dy, gamma, beta)
    for begin, end in itertools.pairwise((0, 1, 3, 10, 23)):
        parts = run(kernel, x[begin:end], dy[begin:end], gamma, beta)
        whole = (y[begin:end], mean[begin:end], rstd[begin:end], dx[begin:end])
        assert same(parts[:4], whole)


@pytest.mark.parametrize(
    "shape", [(4096, 64, 1), (500, 768, 1), (7, 65536, 1), (1, 200_001, 1), (8, 64, 784)], ids=str
)
def test_the_same_bits_for_any_number_of_threads(kernel, shape):
    x, dy, gamma, beta = data(shape)
    kernel.threads = 1
    alone = run(kernel, x, dy, gamma, beta)
    for threads in (2, 3, 8):
        kernel.threads = threads
        for _ in range(3):
            assert same(alone, run(kernel, x, dy, gamma, beta))


@pytest.mark.parametrize("scale", [1, 1e30])
@pytest.mark.parametrize("shape", [(300, 768, 1), (5, 33, 1), (3, 70000, 1), (4, 50, 99)], ids=str)
def test_in_place(kernel, shape, scale):
    x, dy, gamma, beta = data(shape)
    x[1, :, 0] *= np.float32(scale)  # one row by way of double
    apart = run(kernel, x, dy, gamma, beta)
    _, mean, rstd = apart[:3]
    assert same(kernel.backward(dy.copy(), x, gamma, mean, rstd, in_place=True), apart[3:])
    assert same(kernel.forward(x, gamma, beta, in_place=True), apart[:3])


@pytest.mark.parametrize("shape", [(0, 5, 1), (3, 0, 1), (2, 5, 0)], ids=str)
def test_empty_input(kernel, shape):
    x, dy, gamma, beta = data(shape)
    _, _, _, _, dgamma, dbeta = run(kernel, x, dy, gamma, beta)
    assert not dgamma.any()
    assert not dbeta.any()


def test_calls_from_several_threads_at_once(kernel):
    x, dy, gamma, beta = data((400, 768, 1))
    wanted = run(kernel, x, dy, gamma, beta)
    outcomes = []
    threads = [
        threading.Thread(
            target=lambda: outcomes.extend(
                same(wanted, run(kernel, x, dy, gamma, beta)) for _ in range(20)
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 80


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_forked_child_has_threads_of_its_own(kernel):
    x, dy, gamma, beta = data((400, 768, 1))
    wanted = run(kernel, x, dy, gamma, beta)
    child = os.fork()
    if child == 0:
        good = same(wanted, run(kernel, x, dy, gamma, beta))
        os._exit(0 if good and len(os.listdir("/proc/self/task")) > 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert same(wanted, run(kernel, x, dy, gamma, beta))


def test_idle_threads_use_no_processor(kernel):
    x, dy, gamma, beta = data((400, 768, 1))
    run(kernel, x, dy, gamma, beta)
    time.sleep(0.05)
    begin = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - begin < 0.05
