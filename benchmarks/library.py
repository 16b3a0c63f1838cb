"""The native kernel and its peers as calls without arguments, on buffers allocated beforehand."""

import ctypes
import functools
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import torch

from py_layernorm.engines.kernel import DTYPES, ISA, KERNEL, Kernel, find

THREADS = 2
FOLDER = os.environ.get("PY_LAYERNORM_NATIVE")
LIBRARY = Path(FOLDER, KERNEL) if FOLDER else find(KERNEL)
NUMBERS = {getattr(torch, name): number for number, name in enumerate(DTYPES)}

# The clock is read again after calls that process about this many bytes.
BATCH_BYTES = 64 << 20


class Pair:
    """One shape [outer, n, inner], with buffers for every call that is measured."""

    def __init__(self, kernel: Kernel, outer: int, n: int, inner=1, dtype=torch.float32):
        self.library = kernel.library
        self.shape = (outer, n, inner)
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(self.shape, generator=generator).to(dtype)
        self.dy = torch.randn(self.shape, generator=generator).to(dtype)
        self.y = torch.empty_like(self.x)
        self.gamma = torch.randn(n, generator=generator)
        self.beta = torch.randn(n, generator=generator)
        self.dgamma, self.dbeta = torch.empty(2, n)
        self.mean, self.rstd = torch.empty(2, outer * inner, dtype=torch.float64)
        self.calls = max(1, BATCH_BYTES // (self.x.numel() * self.x.element_size()))

    def ours_forward(self) -> Callable[[], object]:
        return self._bind(
            self.library.py_layernorm_forward, self.x, self.gamma, self.beta, 1e-3,
            self.y, self.mean, self.rstd,
        )  # fmt: skip

    def ours_backward(self) -> Callable[[], object]:
        self.ours_forward()()
        return self._bind(
            self.library.py_layernorm_backward, self.dy, self.x, self.gamma, self.mean,
            self.rstd, self.y, self.dgamma, self.dbeta,
        )  # fmt: skip

    def _bind(self, function, *arguments) -> Callable[[], object]:
        converted = [
            ctypes.c_double(a) if isinstance(a, float) else ctypes.c_void_p(a.data_ptr())
            for a in arguments
        ]
        sizes = [ctypes.c_int64(length) for length in self.shape]
        return functools.partial(function, NUMBERS[self.x.dtype], *sizes, *converted)

    def torch_forward(self) -> Callable[[], object]:
        x = self.x.squeeze(-1)
        gamma, beta = self.gamma.to(x.dtype), self.beta.to(x.dtype)
        return lambda: torch.nn.functional.layer_norm(x, x.shape[1:], gamma, beta, 1e-3)

    def torch_permuted(self) -> Callable[[], object]:
        """The axis moved last and back, contiguous both times."""

        def call():
            moved = self.x.permute(0, 2, 1).contiguous()
            y = torch.nn.functional.layer_norm(moved, moved.shape[-1:], self.gamma, self.beta, 1e-3)
            return y.permute(0, 2, 1).contiguous()

        return call

    def torch_backward(self) -> Callable[[], object]:
        """PyTorch's backward as it is called: by autograd, the graph made beforehand."""
        x, gamma, beta = (
            t.detach().clone().requires_grad_() for t in (self.x.squeeze(-1), self.gamma, self.beta)
        )
        with torch.enable_grad():
            y = torch.nn.functional.layer_norm(x, x.shape[1:], gamma, beta, 1e-3)
        dy = self.dy.squeeze(-1)
        return lambda: torch.autograd.grad(y, (x, gamma, beta), dy, retain_graph=True)

    def copy(self) -> Callable[[], object]:
        return lambda: self.y.copy_(self.x)


COPIES = itertools.count()


def load(isa: str | None = None) -> Kernel:
    """The kernel; with `isa`, a copy of its own that uses that set ("": the best one).

    A copy has its own threads, and its own setting of how many.
    """
    path = LIBRARY
    if isa is not None:
        name = f"py_layernorm_{isa}_{next(COPIES)}_{os.getpid()}.so"
        path = Path(torch.hub.get_dir()).parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LIBRARY.read_bytes())
        os.environ[ISA] = isa
    kernel = Kernel(path)
    kernel.threads = THREADS
    if isa is not None:
        del os.environ[ISA]
        path.unlink()
    return kernel
