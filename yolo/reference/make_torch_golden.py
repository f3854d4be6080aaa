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
from yolov8_torch import STRIDES, Yolov8, loss, loss_parts

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
    golden["sizes"][size] = {"parts": [part.item() for part in parts], "gradients": gradients}
    print(size, sum(p.numel() for p in model.parameters()), golden["sizes"][size]["parts"])


def box_of(u, smallest, largest):
    """A box within 64 px from four hashes in -1 … 1."""
    w, h = (smallest + (largest - smallest) * (abs(float(u[i])) ** 2) for i in (2, 3))
    x, y = ((float(u[i]) + 1) / 2 * (SIDE - s) for i, s in ((0, w), (1, h)))
    return [x, y, x + w, y + h]


def boxes(count, salt, smallest=6, largest=50):
    u = hashed(4 * count, salt).reshape(count, 4)
    # Rounded to a quarter of a pixel, so that JSON says them exactly.
    made = [[round(v * 4) / 4 for v in box_of(row, smallest, largest)] for row in u]
    return [[x1, y1, max(x2, x1 + 0.25), max(y2, y1 + 0.25)] for x1, y1, x2, y2 in made]


none = ([], [])
CASES = {
    "no box in the batch": [none, none],
    "no box in one picture": [none, (boxes(5, 1), [0, 1, 2, 0, 1])],
    "tiny boxes": [(boxes(12, 2, 0.25, 3), [i % 3 for i in range(12)]), (boxes(3, 3, 1, 2), [0, 1, 2])],
    "hundreds of boxes": [(boxes(300, 4), [i % 3 for i in range(300)]), (boxes(150, 5, 2, 20), [i % 2 for i in range(150)])],
    "boxes that are the same, and of two classes": [(boxes(2, 6) * 2, [0, 1, 0, 2]), (boxes(1, 7) * 3, [1, 1, 1])],
    "boxes at the border": [([[0, 0, 64, 64], [0, 0, 8, 8], [56, 0, 64, 64], [0, 63.75, 64, 64]], [0, 1, 2, 0]), ([[32, 32, 64, 64]], [2])],
}
golden["loss"] = {}
for salt, (name, case) in enumerate(CASES.items()):
    anchors = sum((SIDE // s) ** 2 for s in STRIDES)
    box = torch.from_numpy(hashed(BATCH * anchors * 64, 100 + salt).reshape(BATCH, anchors, 64) * 3).requires_grad_()
    cls = torch.from_numpy(hashed(BATCH * anchors * CLASSES, 200 + salt).reshape(BATCH, anchors, CLASSES) * 3 - 1).requires_grad_()
    truth = [(torch.tensor(b, dtype=torch.float32).reshape(-1, 4), torch.tensor(c, dtype=torch.long)) for b, c in case]
    parts = loss_parts(box, cls, truth, SIDE, SIDE)
    ((7.5 * parts[0] + 0.5 * parts[1] + 1.5 * parts[2]) * BATCH).backward()
    product = lambda tensor, s: [float(tensor.grad.norm()), float(tensor.grad.flatten().double() @ torch.from_numpy(hashed(tensor.numel(), s)).double())]
    golden["loss"][name] = {
        "truth": case,
        "parts": [part.item() for part in parts],
        "box": product(box, 300 + salt),
        "cls": product(cls, 400 + salt),
    }
    print(name, golden["loss"][name]["parts"])
compact = json.loads(json.dumps(golden), parse_float=lambda text: float(f"{float(text):.7g}"))
(Path(__file__).parent.parent / "test/golden/torch-step.json").write_text(json.dumps(compact) + "\n")
