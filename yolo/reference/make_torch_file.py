"""Writes yolo/test/golden/small.pt with torch: what yolo/test/weights-in.test.ts reads. Values are 0, 1, 2 … in each tensor."""

from pathlib import Path

import torch

count = lambda *shape, dtype=torch.float32: torch.arange(torch.Size(shape).numel(), dtype=dtype).reshape(shape)
model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
state = model.state_dict()
state["0.weight"].copy_(count(2, 3))
torch.save(
    {
        "epoch": 7,
        "model": state,
        "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
        "note": "not a tensor",
    },
    Path(__file__).parent.parent / "test/golden/small.pt",
)
torch.save(
    {
        "half": count(2, 2, dtype=torch.float16) / 4,
        "brain": count(3, dtype=torch.bfloat16),
        "double": count(2, dtype=torch.float64),
        "turned": count(2, 3).T,
        "part": count(10)[4:7],
        "parameter": torch.nn.Parameter(count(2)),
    },
    Path(__file__).parent.parent / "test/golden/kinds.pt",
)
