"""Writes yolo/test/golden/nms.json with torchvision: random and adversarial boxes, and which of them NMS keeps, in order.

    python make_nms_golden.py        (needs torch and torchvision)
"""

import json
import random
from pathlib import Path

import torch
from torchvision.ops import batched_nms


def boxes_of(rng, count, side, grid):
    """Boxes on a grid, of whose overlaps many are equal and some just at a threshold; or anywhere."""
    for _ in range(count):
        if grid:
            x, y, w, h = (rng.randrange(n) for n in (side, side, 8, 8))
        else:
            x, y, w, h = (round(rng.uniform(0, n), 2) for n in (side, side, side / 2, side / 2))
        yield [x, y, x + w, y + h]


cases = []
for seed in range(24):
    rng = random.Random(seed)
    boxes = list(boxes_of(rng, rng.randint(0, 40), rng.choice([6, 20, 100]), seed % 2))
    scores = [i / 64 for i in rng.sample(range(1, 64), len(boxes))]  # exact in float32, and all different
    classes = [rng.randrange(1 + seed % 3) for _ in boxes]
    threshold = rng.choice([0.25, 0.5, 0.75])
    kept = batched_nms(
        torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4), torch.tensor(scores, dtype=torch.float64), torch.tensor(classes, dtype=torch.int64), threshold
    )
    cases.append({"boxes": boxes, "scores": scores, "classes": classes, "threshold": threshold, "kept": kept.tolist()})
Path(__file__).parent.parent.joinpath("test/golden/nms.json").write_text(json.dumps(cases))
