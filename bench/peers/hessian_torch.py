#!/usr/bin/env python3
"""The Hessians of hessian_bench in PyTorch, by its own functions.

  hessian_bench --export DIR
  hessian_torch.py DIR [--cases 2_100_1] [--forms functional,vmap] [--rows 512] [--threads N] [--device cpu|cuda]

Every form reads the same data, in f64, and its matrix is compared with the one that lossatlas wrote before it is timed:
  functional   torch.autograd.functional.hessian: one backward pass for each row. For some of the rows only,
               torch.autograd.functional.jacobian of those entries of the gradient: the same passes
  vectorized   the same function with vectorize=True: all rows at once
  func         torch.func.hessian: vmap over all columns at once
  vmap         torch.func: vmap over columns in chunks, the fastest of several sizes
and eigenvalues by torch.linalg.eigvalsh where the case has them: on a GPU cuSOLVER's, of a matrix that is there.
Prints JSON.
"""

import functools
import sys

import hessian_peer
import torch
import torch_rates
from hessian_peer import Form
from torch.autograd.functional import hessian, jacobian

CHUNKS = (8, 16, 32, 64, 128)
FORMS = ("functional", "vectorized", "func", "vmap")


def device_memory():
    return torch.cuda.mem_get_info()[0]


class Problem:
    """One exported case on one device. Every timed function waits for it."""

    def __init__(self, exported, device, free):
        self.device = torch.device(device)
        self.exported, self.free = exported, free
        self.theta, self.inputs, self.targets = map(self.load, (exported.theta, exported.inputs, exported.targets))

    def load(self, array):
        return torch.tensor(array, device=self.device)

    def loss(self, theta):
        return self.exported.loss(theta, self.inputs, self.targets, torch.tanh)

    def forms(self):
        return {
            "functional": Form(self.functional),
            "vectorized": Form(lambda _: self.waits(lambda: hessian(self.loss, self.theta, vectorize=True)), True),
            "func": Form(lambda _: self.waits(lambda: torch.func.hessian(self.loss)(self.theta)), True),
            "vmap": Form(self.vmap),
        }

    def waits(self, function):
        def call():
            result = function()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return Matrix(result)

        return call

    def functional(self, rows):
        if len(rows) == len(self.theta):
            return self.waits(lambda: hessian(self.loss, self.theta))
        chosen = self.load(rows)

        def entries(theta):
            with torch.enable_grad():
                return torch.autograd.grad(self.loss(theta), theta, create_graph=True)[0][chosen]

        return self.waits(lambda: jacobian(entries, self.theta))

    def vmap(self, rows):
        columns = torch.zeros(len(rows), len(self.theta), dtype=self.theta.dtype, device=self.device)
        columns[torch.arange(len(rows)), self.load(rows)] = 1

        def column(vector):
            return torch.func.jvp(torch.func.grad(self.loss), (self.theta,), (vector,))[1]

        def chunked(size):
            return torch.func.vmap(column, chunk_size=size)(columns)

        return hessian_peer.fastest([self.waits(functools.partial(chunked, size)) for size in self.exported.fitting(CHUNKS, self.free)])

    def eigenvalues(self):
        matrix = self.load(self.exported.hessian)
        return self.waits(lambda: torch.linalg.eigvalsh(matrix))


class Matrix:
    """A tensor that goes to the host only where its entries are asked for."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __array__(self, dtype=None, copy=None):
        return self.tensor.detach().cpu().numpy()


def product_rate(device):
    """FLOP/s of square products in f64."""
    return torch_rates.product_rate(device, torch.float64, False)


def about(options):
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    on_gpu = options.device == "cuda"
    return {
        "framework": "PyTorch",
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.backends.cpu.get_cpu_capability()}",
    }


if __name__ == "__main__":
    hessian_peer.run(sys.modules[__name__], hessian_peer.parse_arguments(__doc__, FORMS))
