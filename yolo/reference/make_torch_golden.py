"""Writes yolo/test/golden/torch-step.json: loss and gradients of every size in torch 2.13, for yolo/test/torch.test.ts.

    python make_torch_golden.py        (needs torch and numpy)

Weights come from a hash of their place, so that both sides make the same ones. Of each gradient its length and its product
with a vector of such hashes are kept.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from yolov8_torch import STRIDES, Yolov8, loss

CLASSES, SIDE, BATCH = 3, 64, 2


def hashed(count: int, salt: int) -> np.ndarray:
    """Numbers in -1 … 1 from their index, by multiplication and shifts modulo 2^32."""
    mask = np.uint64(0xFFFFFFFF)
    x = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(salt * 40503 + 1)) & mask
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & mask
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(3266489917)) & mask
    x ^= x >> np.uint64(16)
    return (x / 2**32 * 2 - 1).astype(np.float32)


def fill(model: Yolov8) -> None:
    for salt, (name, parameter) in enumerate(sorted(model.named_parameters())):
        u = hashed(parameter.numel(), salt).reshape(parameter.shape)
        if parameter.ndim == 4:
            values = u / math.sqrt(parameter[0].numel())
        elif name.endswith("bn.weight"):
            values = 1 + 0.2 * u
        elif name.endswith("box.out.bias"):
            values = 1 + 0.1 * u
        elif name.endswith("cls.out.bias"):
            # Less sure than untrained weights are: the assignment then depends on the scores, too.
            values = -2 + 0.5 * u
        else:
            values = 0.1 * u
        parameter.data = torch.from_numpy(np.asarray(values, dtype=np.float32))


# Two objects, one of them at the border and one larger than what a side can say; then a picture without any.
TRUTH = [
    (torch.tensor([[4.0, 6.0, 30.0, 40.0], [0.0, 20.0, 64.0, 60.0], [50.0, 2.0, 55.5, 6.25]]), torch.tensor([0, 2, 1])),
    (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)),
]

golden = {"torch": torch.__version__, "sizes": {}}
for size in "nsmlx":
    torch.manual_seed(0)
    model = Yolov8(size, CLASSES)
    fill(model)
    images = torch.from_numpy((hashed(BATCH * 3 * SIDE * SIDE, 999).reshape(BATCH, SIDE, SIDE, 3) + 1) / 2).permute(0, 3, 1, 2)
    total, parts = loss(model, images.contiguous(), TRUTH)
    total.backward()
    gradients = {}
    for salt, (name, parameter) in enumerate(sorted(model.named_parameters())):
        g = parameter.grad.flatten().double()
        gradients[name] = [float(g.norm()), float(g @ torch.from_numpy(hashed(g.numel(), salt + 5000)).double())]
    golden["sizes"][size] = {"parts": [float(part) for part in parts], "gradients": gradients}
    print(size, sum(p.numel() for p in model.parameters()), golden["sizes"][size]["parts"])
compact = json.loads(json.dumps(golden), parse_float=lambda text: float(f"{float(text):.7g}"))
(Path(__file__).parent.parent / "test/golden/torch-step.json").write_text(json.dumps(compact) + "\n")
