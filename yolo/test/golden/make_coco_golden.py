"""Writes coco-metrics.json: random detections and what pycocotools says of them.

    .venv-test/bin/python yolo/test/golden/make_coco_golden.py
"""

import contextlib
import io
import json
import random
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def box(rng):
    x, y, w, h = rng.uniform(0, 80), rng.uniform(0, 80), rng.uniform(3, 60), rng.uniform(3, 60)
    return [round(v, 2) for v in (x, y, x + w, y + h)]


def jitter(rng, b):
    x1, y1, x2, y2 = (round(v + rng.gauss(0, 2.5), 2) for v in b)
    # pycocotools ignores detections of negative area, which no model gives.
    return [x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)]


def case(seed):
    rng = random.Random(seed)
    classes = rng.randint(1, 4)
    pictures = []
    for _ in range(rng.randint(1, 8)):
        objects = [{"box": box(rng), "cls": rng.randrange(classes)} for _ in range(rng.randint(0, 7))]
        # Scores are all different: the order of equal ones is left to the implementation.
        near = [{"box": jitter(rng, o["box"]), "cls": o["cls"], "score": rng.random()} for o in objects for _ in range(rng.randint(0, 2))]
        stray = [{"box": box(rng), "cls": rng.randrange(classes), "score": rng.random()} for _ in range(rng.randint(0, 4))]
        pictures.append({"objects": objects, "detections": near + stray})
    return pictures, classes


def xywh(b):
    return [b[0], b[1], b[2] - b[0], b[3] - b[1]]


def figures(pictures, classes):
    images = [{"id": i + 1, "width": 200, "height": 200} for i in range(len(pictures))]
    annotations, results = [], []
    for i, picture in enumerate(pictures):
        for o in picture["objects"]:
            w = xywh(o["box"])
            annotations.append({"id": len(annotations) + 1, "image_id": i + 1, "category_id": o["cls"] + 1, "bbox": w, "area": w[2] * w[3], "iscrowd": 0})
        for d in picture["detections"]:
            results.append({"image_id": i + 1, "category_id": d["cls"] + 1, "bbox": xywh(d["box"]), "score": d["score"]})
    if not annotations or not results:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": images, "annotations": annotations, "categories": [{"id": c + 1} for c in range(classes)]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.maxDets = [1, 10, 300]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    mean = lambda part: float(part[part > -1].mean()) if (part > -1).any() else 0.0
    return mean(precision), mean(precision[0])


cases = []
for seed in range(30):
    pictures, classes = case(seed)
    ap, ap50 = figures(pictures, classes)
    cases.append({"pictures": pictures, "classes": classes, "ap": ap, "ap50": ap50})
Path(__file__).with_name("coco-metrics.json").write_text(json.dumps(cases))
