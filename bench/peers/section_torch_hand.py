"""Sections in PyTorch by hand, with the algebra that lossatlas plans by itself, in place and without temporaries.

Layers below the first one that moves are computed once, and that layer's affine terms; Theorem 1 of [C19] needs no
samples and Theorem 2 splits a pre-activation into A(x) + B(alpha); a last layer with squared error is a quadratic form.
Every form takes points (G, z) and returns losses (G, H).
"""

import functools

import torch
import torch.nn.functional as F

ACTIVATE = {"tanh": torch.Tensor.tanh_, "relu": torch.Tensor.relu_}
BATCHES = {"cpu": (2, 4, 8, 16), "cuda": (16, 64, 256)}
BATCH_BYTES = 8 << 30


def factors_of(t, points):
    """(G, 1 + z): the factors of theta0 and of the directions."""
    return torch.cat([torch.ones_like(points[:, :1]), points], 1).to(t.dtype)


def typed(t, layer):
    weight, bias = t.parts[layer]
    return weight.to(t.dtype), bias.to(t.dtype)


def moved(t, layer):
    weight, bias = t.parts[layer]
    return bool(weight[1:].any() or bias[1:].any())


def cached(t, layers):
    """Activations (N, m) after the first `layers` layers, which do not move."""
    hidden = t.inputs
    for layer in range(layers):
        weight, bias = typed(t, layer)
        hidden = ACTIVATE[t.exported.activation](torch.addmm(bias[0], hidden, weight[0].t()))
    return hidden


def affine_terms(t, hidden, layer):
    """(1 + z, N, out): the pre-activation of a layer is their sum with the factors of a point."""
    return torch.stack([torch.addmm(b, hidden, w.t()) for w, b in zip(*typed(t, layer))])


def point_losses(t, outputs):
    """Losses (n, H) of outputs (n, N, H·C). F.cross_entropy takes four times as long on a CPU."""
    split = outputs.to(t.wide).unflatten(2, (t.exported.heads, -1))
    if t.labels is None:
        return split.sub_(t.targets[:, None, :]).square_().sum(3).mean(1)
    chosen = torch.einsum("gnhc,nc->gh", split, t.targets) / len(t.targets)
    return torch.logsumexp(split, 3).mean(1) - chosen


def later_layers(t, hidden, factors, layers):
    """Pre-activations (n, N, ·) through layers with weights of their own at every point, or with shared ones."""
    activate = ACTIVATE[t.exported.activation]
    for weight, bias, shared in layers:
        hidden = activate(hidden)
        if shared:
            hidden = F.linear(hidden, weight[0], bias[0])
            continue
        w = torch.mm(factors, weight.flatten(1)).unflatten(1, weight.shape[1:])
        b = torch.mm(factors, bias).unsqueeze(1)
        hidden = torch.baddbmm(b, hidden, w.transpose(1, 2))
    return hidden


def rest(t, first):
    return [(*typed(t, layer), not moved(t, layer)) for layer in range(first, len(t.parts))]


def affine_batches(t, size, points):
    """`size` points at a time: one batched product for each later layer."""
    t.mode()
    first = next(layer for layer in range(len(t.parts)) if moved(t, layer))
    terms, layers = affine_terms(t, cached(t, first), first), rest(t, first + 1)
    result = []
    for factors in factors_of(t, points).split(size):
        hidden = torch.mm(factors, terms.flatten(1)).view(len(factors), *terms.shape[1:])
        result.append(point_losses(t, later_layers(t, hidden, factors, layers)))
    return torch.cat(result)


def affine_singles(t, fused, points):
    """One point at a time in buffers; `fused`: oneDNN's product with bias and activation in one pass."""
    first = next(layer for layer in range(len(t.parts)) if moved(t, layer))
    terms = affine_terms(t, cached(t, first), first)
    activate, name = ACTIVATE[t.exported.activation], t.exported.activation
    hidden, later = torch.empty_like(terms[0]), t.parts[first + 1 :]
    buffers = [hidden.new_empty(len(hidden), bias.shape[1]) for _, bias in later]
    result = []
    for factors, alpha in zip(factors_of(t, points), points.tolist()):
        torch.add(terms[0], terms[1], alpha=alpha[0], out=hidden)
        for term, a in zip(terms[2:], alpha[1:]):
            hidden.add_(term, alpha=a)
        x = activate(hidden) if later else hidden
        for index, ((weight, bias), buffer) in enumerate(zip(later, buffers)):
            w, b = torch.mv(weight.flatten(1).t(), factors).view(weight.shape[1:]), torch.mv(bias.t(), factors)
            last = index + 1 == len(later)
            if fused:
                x = torch.ops.mkldnn._linear_pointwise(x, w, b, "none" if last else name, [], None)
                continue
            x = torch.addmm(b, x, w.t(), out=buffer)
            if not last:
                activate(x)
        result.append(point_losses(t, x[None]))
    return torch.cat(result)


def theorem1(t, size, points):
    """One forward pass for each point, the label frequencies once."""
    t.mode()
    frequencies = t.targets.mean(0)
    layers, (_, first_bias) = rest(t, 1), typed(t, 0)
    result = []
    for factors in factors_of(t, points).split(size):
        hidden = torch.mm(factors, first_bias)
        for weight, bias, _ in layers:
            hidden = torch.addmm(bias[0], ACTIVATE[t.exported.activation](hidden), weight[0].t())
        outputs = hidden.to(t.wide).unflatten(1, (t.exported.heads, t.exported.classes))
        result.append(torch.logsumexp(outputs, 2) - outputs @ frequencies)
    return torch.cat(result)


def silent_units(t):
    """First-layer units without weights."""
    return ~t.parts[0][0].any(2).any(0)


def theorem2(t, size, points):
    """Silent first-layer units carry alpha: the second pre-activation is A(x) + B(alpha)."""
    t.mode()
    activate, silent = ACTIVATE[t.exported.activation], silent_units(t)
    (weight, bias), (second, second_bias) = typed(t, 0), typed(t, 1)
    sample_units = activate(torch.addmm(bias[0, ~silent], t.inputs, weight[0, ~silent].t()))
    a = sample_units @ second[0][:, ~silent].t()
    layers = rest(t, 2)
    result = []
    for factors in factors_of(t, points).split(size):
        point_units = activate(factors @ bias[:, silent])
        b = torch.addmm(second_bias[0], point_units, second[0][:, silent].t())
        result.append(point_losses(t, later_layers(t, a + b[:, None], factors, layers)))
    return torch.cat(result)


def quadratic(t, points):
    """The factors' quadratic form of a small Gram matrix."""
    t.mode()
    last = len(t.parts) - 1
    terms = affine_terms(t, cached(t, last), last)
    terms[0] -= t.targets
    flat = terms.flatten(1)
    gram, factors = flat @ flat.t() / len(t.inputs), factors_of(t, points)
    return ((factors @ gram) * factors).sum(1, keepdim=True)


def last_cross_entropy(t, size, points):
    """The last layer alone moves: the label's output is affine in alpha, also on average; classes before samples."""
    t.mode()
    last, heads = len(t.parts) - 1, t.exported.heads
    terms = affine_terms(t, cached(t, last), last).transpose(1, 2).contiguous()
    count, _, samples = terms.shape
    chosen = (terms.to(t.wide).unflatten(1, (heads, -1)) * t.targets.t()).sum(2).mean(2)
    result = []
    for factors in factors_of(t, points).split(size):
        outputs = torch.mm(factors, terms.view(count, -1)).view(len(factors), heads, -1, samples)
        losses = torch.logsumexp(outputs.to(t.wide), 2).mean(2)
        result.append(losses - factors.to(t.wide) @ chosen)
    return torch.cat(result)


def batch_sizes(t, pair_width, times=1):
    most = max(1, BATCH_BYTES // (4 * 8 * pair_width * len(t.inputs)))
    return sorted({min(times * size, most) for size in BATCHES[t.device]})


def forms(t):
    """Name → (function, points at a time) for every way to evaluate the case by hand."""

    def sized(function, sizes, text):
        return {f"{text}{size} points": (functools.partial(function, t, size), size) for size in sizes}

    silent, first = silent_units(t), t.parts[0]
    if silent.all():
        sizes = (128, 512, 1024, 4096) if t.device == "cpu" else (1 << 14, 1 << 17, 1 << 20)
        return sized(theorem1, sizes, "theorem 1, ")
    only_last_moves = not any(moved(t, layer) for layer in range(len(t.parts) - 1))
    if only_last_moves and t.labels is None:
        return {"gram": (functools.partial(quadratic, t), len(t.exported.points))}
    if only_last_moves:
        return sized(last_cross_entropy, batch_sizes(t, t.exported.widths[-1], 16), "last layer, ")
    sizes = batch_sizes(t, max(t.exported.widths[1:]))
    only_silent_moves = not first[0][1:].any() and not first[1][1:, ~silent].any() and moved(t, 0)
    if only_silent_moves and not any(moved(t, layer) for layer in range(1, len(t.parts))):
        return sized(theorem2, sizes, "theorem 2, ")
    result = sized(affine_batches, sizes, "")
    if t.device == "cpu":
        result["single"] = (functools.partial(affine_singles, t, False), 1)
        if t.dtype == torch.float32 and torch.backends.mkldnn.is_available():
            result["oneDNN"] = (functools.partial(affine_singles, t, True), 1)
    return result
