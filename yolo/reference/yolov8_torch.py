"""YOLOv8's network and loss in torch: what Airloom's TypeScript is held to. Written from the papers and keras-cv's YOLOV8
(Apache-2.0), apart from the TypeScript and in another manner: modules, autograd, gather instead of masks.

The network: CSPNet (arXiv 1911.11929), ELAN (2211.04800), PAN (1803.01534), decoupled anchor-free head (FCOS, 1904.01355).
The loss: TOOD's task-aligned assignment (2108.07755), complete IoU (1911.08287), distribution focal loss (2006.04388).
Parameter names are those of Airloom's checkpoints.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

SIZES = {"n": (0.33, 0.25, 1024), "s": (0.33, 0.50, 1024), "m": (0.67, 0.75, 768), "l": (1.0, 1.0, 512), "x": (1.0, 1.25, 512)}
BINS = 16
STRIDES = (8, 16, 32)


class ConvNormAct(nn.Module):
    def __init__(self, inside: int, out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.silu(self.bn(self.conv(x)))


class Pair(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.a = ConvNormAct(channels, channels, 3)
        self.b = ConvNormAct(channels, channels, 3)

    def forward(self, x):
        return self.b(self.a(x))


class C2f(nn.Module):
    def __init__(self, inside: int, out: int, repeats: int, residual: bool):
        super().__init__()
        self.split = ConvNormAct(inside, out, 1)
        self.merge = ConvNormAct(out // 2 * (2 + repeats), out, 1)
        self.blocks = repeats
        self.residual = residual
        for i in range(repeats):
            self.add_module(f"block{i}", Pair(out // 2))

    def forward(self, x):
        parts = list(self.split(x).chunk(2, 1))
        for i in range(self.blocks):
            y = getattr(self, f"block{i}")(parts[-1])
            parts.append(parts[-1] + y if self.residual else y)
        return self.merge(torch.cat(parts, 1))


class Sppf(nn.Module):
    def __init__(self, inside: int, out: int):
        super().__init__()
        self.reduce = ConvNormAct(inside, out // 2, 1)
        self.merge = ConvNormAct(out * 2, out, 1)

    def forward(self, x):
        parts = [self.reduce(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.merge(torch.cat(parts, 1))


class Branch(nn.Module):
    def __init__(self, inside: int, channels: int, out: int):
        super().__init__()
        self.a = ConvNormAct(inside, channels, 3)
        self.b = ConvNormAct(channels, channels, 3)
        self.out = nn.Conv2d(channels, out, 1)

    def forward(self, x):
        return self.out(self.b(self.a(x)))


class Yolov8(nn.Module):
    def __init__(self, size: str, classes: int):
        super().__init__()
        depth, width, widest = SIZES[size]
        ch = lambda channels: math.ceil(min(channels, widest) * width / 8) * 8
        n = lambda repeats: max(1, round(repeats * depth))
        c2, c3, c4, c5 = ch(128), ch(256), ch(512), ch(1024)
        self.backbone = nn.ModuleDict({
            "stem": ConvNormAct(3, ch(64), 3, 2),
            "down2": ConvNormAct(ch(64), c2, 3, 2), "c2": C2f(c2, c2, n(3), True),
            "down3": ConvNormAct(c2, c3, 3, 2), "c3": C2f(c3, c3, n(6), True),
            "down4": ConvNormAct(c3, c4, 3, 2), "c4": C2f(c4, c4, n(6), True),
            "down5": ConvNormAct(c4, c5, 3, 2), "c5": C2f(c5, c5, n(3), True),
            "sppf": Sppf(c5, c5),
        })
        self.neck = nn.ModuleDict({
            "up4": C2f(c5 + c4, c4, n(3), False), "up3": C2f(c4 + c3, c3, n(3), False),
            "to4": ConvNormAct(c3, c3, 3, 2), "down4": C2f(c3 + c4, c4, n(3), False),
            "to5": ConvNormAct(c4, c4, 3, 2), "down5": C2f(c4 + c5, c5, n(3), False),
        })
        box, cls = max(16, c3 // 4, 4 * BINS), max(c3, min(classes, 100))
        self.head = nn.ModuleDict({
            f"p{i + 3}": nn.ModuleDict({"box": Branch(c, box, 4 * BINS), "cls": Branch(c, cls, classes)}) for i, c in enumerate((c3, c4, c5))
        })

    def forward(self, x):
        """Raw boxes [batch, anchors, 64] and class logits [batch, anchors, classes] of a picture [batch, 3, h, w]."""
        b, k = self.backbone, self.neck
        p3 = b["c3"](b["down3"](b["c2"](b["down2"](b["stem"](x)))))
        p4 = b["c4"](b["down4"](p3))
        p5 = b["sppf"](b["c5"](b["down5"](p4)))
        up = lambda y: F.interpolate(y, scale_factor=2, mode="nearest")
        n4 = k["up4"](torch.cat([up(p5), p4], 1))
        out3 = k["up3"](torch.cat([up(n4), p3], 1))
        out4 = k["down4"](torch.cat([k["to4"](out3), n4], 1))
        out5 = k["down5"](torch.cat([k["to5"](out4), p5], 1))
        flat = lambda kind: torch.cat([self.head[f"p{i + 3}"][kind](y).flatten(2).transpose(1, 2) for i, y in enumerate((out3, out4, out5))], 1)
        return flat("box"), flat("cls")


def anchors(height: int, width: int):
    """Centres [anchors, 2] and strides [anchors, 1] in pixels."""
    centres, strides = [], []
    for s in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // s) + 0.5, torch.arange(width // s) + 0.5, indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2) * s)
        strides.append(torch.full((centres[-1].shape[0], 1), float(s)))
    return torch.cat(centres), torch.cat(strides)


def complete_iou(a, b, eps=1e-7):
    """CIoU of boxes xyxy; the trade-off weight of the aspect term is a constant when differentiating, as its authors say."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0).prod(-1)
    wa, ha = a[..., 2] - a[..., 0], a[..., 3] - a[..., 1] + eps
    wb, hb = b[..., 2] - b[..., 0], b[..., 3] - b[..., 1] + eps
    iou = inter / (wa * ha + wb * hb - inter + eps)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    distance = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    v = 4 / math.pi**2 * (torch.atan(wb / hb) - torch.atan(wa / ha)) ** 2
    with torch.no_grad():
        alpha = v / (v - iou + 1 + eps)
    return iou - distance / ((hull**2).sum(-1) + eps) - alpha * v


def decode(box, centres, strides):
    sides = (box.unflatten(-1, (4, BINS)).softmax(-1) @ torch.arange(BINS, dtype=box.dtype)) * strides
    return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], -1)


@torch.no_grad()
def assign(scores, boxes, centres, truth_boxes, truth_classes, top=10):
    """Target boxes and scores of one picture's anchors; `truth_boxes` [objects, 4], `truth_classes` [objects]."""
    count, classes = scores.shape
    target_boxes, target_scores = torch.zeros(count, 4), torch.zeros(count, classes)
    if len(truth_boxes) == 0:
        return target_boxes, target_scores
    inside = (torch.cat([centres[None] - truth_boxes[:, None, :2], truth_boxes[:, None, 2:] - centres[None]], -1).amin(-1) > 1e-9).float()
    overlap = complete_iou(truth_boxes[:, None], boxes[None]).clamp(0) * inside
    fit = scores[:, truth_classes].T.sqrt() * overlap**6
    wanted = torch.zeros_like(fit)
    for j in range(len(truth_boxes)):
        best = fit[j].topk(min(top, count)).indices
        wanted[j, best] = (fit[j, best] > 0).float()
    owner = (overlap * wanted).argmax(0)
    taken = wanted.sum(0) > 0
    owned = torch.zeros_like(fit)
    owned[owner[taken], taken.nonzero()[:, 0]] = 1
    fit, overlap = fit * owned, overlap * owned
    strength = fit * overlap.amax(1, keepdim=True) / (fit.amax(1, keepdim=True) + 1e-9)
    target_boxes[taken] = truth_boxes[owner[taken]]
    at = taken.nonzero()[:, 0]
    target_scores[at, truth_classes[owner[at]]] = strength[owner[at], at]
    return target_boxes, target_scores


def loss_parts(box, cls, truth, height, width):
    """Means of box, class and distribution loss; `truth` is a list of (boxes [n, 4], classes [n]) by picture."""
    centres, strides = anchors(height, width)
    predicted = decode(box, centres, strides)
    made = [assign(cls[i].detach().sigmoid(), predicted[i].detach(), centres, *truth[i]) for i in range(len(truth))]
    target_boxes, target_scores = (torch.stack([m[k] for m in made]) for k in (0, 1))
    total = target_scores.sum().clamp(1)
    weight = target_scores.sum(-1)
    cls_loss = F.binary_cross_entropy_with_logits(cls, target_scores, reduction="sum") / total
    fg = weight > 0
    if not fg.any():
        return predicted.sum() * 0, cls_loss, box.sum() * 0
    box_loss = ((1 - complete_iou(predicted[fg], target_boxes[fg])) * weight[fg]).sum() / total
    c, s = centres.expand(len(truth), -1, -1)[fg], strides.expand(len(truth), -1, -1)[fg]
    sides = (torch.cat([c - target_boxes[fg][:, :2], target_boxes[fg][:, 2:] - c], -1) / s).clamp(0, BINS - 1 - 0.01)
    low = sides.long()
    logits = box[fg].reshape(-1, 4, BINS).flatten(0, 1)
    entropy = lambda bins: F.cross_entropy(logits, bins.flatten(), reduction="none").reshape(low.shape)
    dfl = entropy(low) * (low + 1 - sides) + entropy(low + 1) * (sides - low)
    return box_loss, cls_loss, (dfl.mean(-1) * weight[fg]).sum() / total


def loss(model, images, truth):
    """7.5 CIoU + 0.5 BCE + 1.5 DFL, times the batch size, and its parts."""
    box, cls = model(images)
    parts = loss_parts(box, cls, truth, *images.shape[2:])
    return (7.5 * parts[0] + 0.5 * parts[1] + 1.5 * parts[2]) * len(truth), parts
