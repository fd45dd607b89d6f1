#!/usr/bin/env python3
"""The sections of section_bench in PyTorch, in four forms: see README.md beside this file.

  section_bench --export DIR
  section_torch.py DIR [--device cpu|cuda] [--threads N]      answers requests as exported.py says

loop     one grid point after the other: theta0 + a1 d1 + a2 d2 into torch.func.functional_call
vmap     the same in chunks of points by torch.func.vmap, the chunk tuned
compile  torch.compile of that
by hand  what lossatlas plans by itself, section_torch_hand.py

`fast` is TF32 or half precision, whichever is faster and within the tolerance.
"""

import argparse
import functools
import pathlib

import torch
import torch.nn.functional as F

import exported as peer
import section_torch_hand
from torch_rates import rates

# Name → (storage and products, TF32 products)
MODES = {
    "f64": {"f64": (torch.float64, False)},
    "f32": {"f32": (torch.float32, False)},
    "fast": {"tf32": (torch.float32, True), "fp16": (torch.float16, False)},
}
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
CHUNKS = {"cpu": (1, 4, 16), "cuda": (8, 64, 256)}
CHUNK_BYTES = 8 << 30


@functools.cache
def network(widths, activation):
    layers = []
    for fan_in, out in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(fan_in, out, device="meta"), ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*layers[:-1])


def head_losses(outputs, labels, targets, heads):
    """Losses (H) of outputs (N, H·C); cross entropy where there are labels."""
    chunks = outputs.chunk(heads, 1)
    if labels is not None:
        return torch.stack([F.cross_entropy(chunk, labels) for chunk in chunks])
    return torch.stack([(chunk - targets).square().sum(1).mean() for chunk in chunks])


def network_losses(model, heads, parameters, inputs, labels, targets):
    outputs = torch.func.functional_call(model, parameters, (inputs,))
    return head_losses(outputs.to(targets.dtype), labels, targets, heads)


@functools.cache
def batched(model, heads, compiled):
    """network_losses() of parameters with a leading axis of points."""
    function = torch.func.vmap(functools.partial(network_losses, model, heads), in_dims=(0, None, None, None))
    return torch.compile(function, dynamic=False) if compiled else function


class Tensors:
    """A case in one way of computing. Sums over samples and the parameters of a point are formed in `wide`."""

    def __init__(self, exported, dtype, tf32, device):
        self.exported, self.dtype, self.tf32, self.device = exported, dtype, tf32, device
        self.wide = torch.float32 if dtype == torch.float16 else dtype

        def load(array):
            return torch.from_numpy(array).to(device, self.wide)

        self.theta, self.directions, self.targets = map(load, (exported.theta, exported.directions, exported.targets))
        self.inputs = load(exported.inputs).to(dtype)
        self.labels = None
        if exported.loss == "ce":
            self.labels = torch.from_numpy(exported.labels).to(device)
        self.parts = exported.layers(torch.cat([self.theta[None], self.directions]))
        self.model = network(tuple(exported.widths), exported.activation)

    def mode(self):
        torch.backends.cuda.matmul.allow_tf32 = self.tf32

    def parameters(self, points):
        """Of each of `points` (G, z)."""
        named = {}
        for index, (weight, bias) in enumerate(self.exported.layers(self.theta + points @ self.directions)):
            named[f"{2 * index}.weight"], named[f"{2 * index}.bias"] = weight.to(self.dtype), bias.to(self.dtype)
        return named

    def loop(self, points):
        self.mode()
        heads, rest = self.exported.heads, (self.inputs, self.labels, self.targets)
        return torch.stack([network_losses(self.model, heads, self.parameters(point), *rest) for point in points])

    def in_chunks(self, function, chunk, points):
        self.mode()
        result = []
        for part in points.split(chunk):
            padded = torch.cat([part, part[-1:].expand(chunk - len(part), -1)])
            result.append(function(self.parameters(padded), self.inputs, self.labels, self.targets)[: len(part)])
        return torch.cat(result)


class Problem:
    def __init__(self, device, exported, precision):
        self.device, self.exported, self.precision = device, exported, precision
        self.modes = {name: Tensors(exported, *mode, device) for name, mode in MODES[precision].items()}
        self.wide = next(iter(self.modes.values())).wide

    def chunked(self, tensors, name, chunk, compiled):
        function = batched(tensors.model, self.exported.heads, compiled)
        evaluate = functools.partial(tensors.in_chunks, function, chunk)
        return peer.Variant(evaluate, chunk=chunk, form=f"{name} in chunks of {chunk}")

    def chunks(self):
        pair_bytes = 4 * 8 * max(self.exported.widths[1:])
        most = max(1, CHUNK_BYTES // (pair_bytes * len(self.exported.inputs)))
        return sorted({min(chunk, most, len(self.exported.points)) for chunk in CHUNKS[self.device]})

    def compiled(self, chosen):
        if "vmap" not in chosen:
            raise NotImplementedError("vmap does not run either")
        vmap = chosen["vmap"]
        name = vmap.form.split()[0]
        return [self.chunked(self.modes[name], name, vmap.chunk, True)]

    def variants(self):
        modes = self.modes.items()
        return {
            "loop": [peer.Variant(tensors.loop, form=name) for name, tensors in modes],
            "vmap": [self.chunked(tensors, name, chunk, False) for name, tensors in modes for chunk in self.chunks()],
            "compile": self.compiled,
            "by hand": [
                peer.Variant(evaluate, whole=True, chunk=size, form=f"{name} {text}")
                for name, tensors in modes
                for text, (evaluate, size) in section_torch_hand.forms(tensors).items()
            ],
        }

    def points(self, array):
        return torch.from_numpy(array).to(self.device, self.wide)

    def host(self, losses):
        return losses.double().cpu().numpy()

    def synchronise(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def release(self):
        if self.device == "cuda":
            torch.cuda.empty_cache()


def about(device):
    result = {"library": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads()}
    if device == "cuda":
        return result | {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return result | {"device": f"cpu, {torch.backends.cpu.get_cpu_capability()}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what section_bench --export wrote")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="default: PyTorch's own choice")
    parser.add_argument("--least", type=float, default=0.2, help="seconds of each timing at least")
    options = parser.parse_args()
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    torch.zeros(1, device=options.device)
    torch._dynamo.config.recompile_limit = 64  # one for each shape of each case
    with torch.inference_mode():
        server = peer.Server(options.folder, functools.partial(Problem, options.device), options.least)
        peer.serve(server, about(options.device), functools.partial(rates, options.device))


if __name__ == "__main__":
    main()
