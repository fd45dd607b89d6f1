"""What a device can do, as PyTorch reaches it: the ceilings that floors on a GPU are made of.

Products of square matrices in each precision, copies of an array that no cache holds, and tanh in registers: 64 of them
one after another on each value, by a kernel that PyTorch compiles with NVRTC, or, where that fails, one pass over an
array, which memory may bound.
"""

import torch

from exported import PRODUCT_SIZE, clock

COPY_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}
VALUES = {"cpu": 1 << 20, "cuda": 1 << 24}
CHAIN = 64
ACCURATE = "template <typename T> T chain(T x) { for (int k = 0; k < 64; ++k) x = tanh(x); return x; }"
APPROXIMATE = """template <typename T> T chain(T x) {
  float y = x;
  for (int k = 0; k < 64; ++k) asm volatile("tanh.approx.f32 %0, %0;" : "+f"(y));
  return y;
}"""


def seconds(function, device):
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    function()
    return clock(function, 0.1, synchronise)["seconds"]


def product_rate(device, dtype, tf32):
    size = PRODUCT_SIZE[device]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return 2 * size**3 / seconds(lambda: torch.mm(a, b, out=out), device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def copy_rate(device):
    source = torch.ones(COPY_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source), device)


def tanh_rate(device, dtype, code):
    """Values a second, and how they were computed."""
    values = torch.randn(VALUES[device], device=device, dtype=dtype)
    if device == "cuda":
        try:
            chain = torch.cuda.jiterator._create_jit_fn(code)
            expected = values.clone()
            for _ in range(CHAIN):
                expected.tanh_()
            if not torch.allclose(chain(values), expected, atol=5e-2):
                raise RuntimeError("the chain of tanh is wrong")
            return CHAIN * values.numel() / seconds(lambda: chain(values), device), f"{CHAIN} in registers"
        except RuntimeError:
            pass
    out = torch.empty_like(values)
    return values.numel() / seconds(lambda: torch.tanh(values, out=out), device), "one pass"


def rates(device):
    """FLOP/s of products, bytes/s of copies read and written, tanh/s, each by precision where it has one."""
    products = {"f64": (torch.float64, False), "f32": (torch.float32, False)}
    tanhs = {"f64": (torch.float64, ACCURATE), "f32": (torch.float32, ACCURATE)}
    if device == "cuda":
        products |= {"tf32": (torch.float32, True), "fp16": (torch.float16, False)}
        tanhs["fast"] = (torch.float32, APPROXIMATE)
    result = {"products": {name: product_rate(device, *mode) for name, mode in products.items()}}
    result["copy"] = copy_rate(device)
    measured = {name: tanh_rate(device, *how) for name, how in tanhs.items()}
    result["tanh"] = {name: rate for name, (rate, _) in measured.items()}
    result["tanh_how"] = {name: how for name, (_, how) in measured.items()}
    return result
