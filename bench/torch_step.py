"""Times a whole training step of the same network in torch: what bench/train-step.ts is compared with.

    torch_step.py SIDE BATCH STEPS SIZE [bf16]
"""

import resource
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "yolo/reference"))
from yolov8_torch import Yolov8, loss

side, batch, steps = map(int, sys.argv[1:4])
size, bf16 = sys.argv[4], sys.argv[5:] == ["bf16"]
torch.manual_seed(0)
model = Yolov8(size, 3)
if bf16:
    model = model.to(memory_format=torch.channels_last)
average = [p.detach().clone() for p in model.parameters()]
decay = [p for p in model.parameters() if p.ndim > 1]
rest = [p for p in model.parameters() if p.ndim <= 1]
optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 5e-4}, {"params": rest, "weight_decay": 0}], lr=1e-3, betas=(0.9, 0.999))
images = torch.rand(batch, 3, side, side)
low = torch.rand(batch, 16, 2) * side * 0.5
truth = [(torch.cat([low[i], torch.tensor([[side * 0.7, side * 0.8]]).expand(16, 2)], -1), torch.randint(0, 3, (16,))) for i in range(batch)]
times = []
for _ in range(steps + 2):
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        total, _ = loss(model, images.to(memory_format=torch.channels_last) if bf16 else images, truth)
    optimizer.zero_grad()
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
    optimizer.step()
    with torch.no_grad():
        torch._foreach_lerp_(average, [p.detach() for p in model.parameters()], 0.01)
    times.append(time.perf_counter() - started)
median = statistics.median(times[2:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"torch {'bf16' if bf16 else 'fp32'}, yolov8{size}, side {side}, batch {batch}: median {median * 1000:.0f} ms, {batch / median:.1f} images/s, peak memory {peak:.0f} MB")
