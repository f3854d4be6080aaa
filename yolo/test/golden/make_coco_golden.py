"""Writes coco-metrics.json: random and adversarial detections, and what pycocotools says of them.

    .venv-test/bin/python yolo/test/golden/make_coco_golden.py
"""

import contextlib
import io
import json
import random
from pathlib import Path

import numpy as np
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


def whole(rng, size=12):
    """Whole numbers, of which overlaps are exact: many are just at a threshold."""
    x, y, w, h = rng.randrange(20), rng.randrange(20), rng.randint(1, size), rng.randint(1, size)
    return [x, y, x + w, y + h]


def adversarial():
    """Where implementations differ: ties, duplicates, exact thresholds, crowds, nothing at all, sizes from one pixel."""
    rng = random.Random(99)
    pick = lambda boxes: {"objects": boxes, "detections": []}
    found = lambda b, score, cls=0: {"box": b, "score": score, "cls": cls}
    obj = lambda b, cls=0: {"box": b, "cls": cls}
    # Overlaps of exactly 0.5, 0.75 and 0.95, and one step below each.
    exact = [(20, 10), (19, 10), (20, 15), (20, 19), (100, 95), (100, 94), (40, 30), (40, 29)]
    yield [{"objects": [obj([0, 0, n, 1])], "detections": [found([0, 0, m, 1], 0.9 - i / 100)]} for i, (n, m) in enumerate(exact)], 1
    # Every score the same: the order of pictures, and of detections in them, decides.
    yield [{"objects": [obj(whole(rng)) for _ in range(4)], "detections": [found(whole(rng), 0.5) for _ in range(8)]} for _ in range(4)], 1
    # Few scores, two classes.
    yield [
        {
            "objects": [obj(whole(rng), rng.randrange(2)) for _ in range(6)],
            "detections": [found(whole(rng), rng.choice([0.2, 0.4, 0.6]), rng.randrange(2)) for _ in range(20)],
        }
        for _ in range(5)
    ], 2
    # The same object labelled twice, the same box found three times.
    yield [{"objects": [obj([5, 5, 15, 15]), obj([5, 5, 15, 15])], "detections": [found([5, 5, 15, 15], s) for s in (0.9, 0.9, 0.8)]}], 1
    # One detection between two objects that it overlaps alike.
    yield [{"objects": [obj([0, 0, 10, 10]), obj([10, 0, 20, 10])], "detections": [found([5, 0, 15, 10], 0.9), found([0, 0, 10, 10], 0.8)]}], 1
    # The surer detection takes the object that only the other one would reach.
    yield [{"objects": [obj([0, 0, 10, 10]), obj([2, 0, 12, 10])], "detections": [found([1, 0, 11, 10], 0.9), found([0, 0, 9, 10], 0.8)]}], 1
    # A crowd in one picture, and pictures with nothing, without objects, without detections.
    crowd = [whole(rng, 5) for _ in range(120)]
    yield [
        {"objects": [obj(b) for b in crowd], "detections": [found([b[0], b[1], b[2] + rng.randrange(2), b[3]], rng.random()) for b in crowd + crowd]},
        pick([]),
        {"objects": [], "detections": [found(whole(rng), 0.99) for _ in range(5)]},
        pick([obj(whole(rng))]),
    ], 1
    # Detections of a class that has no object, and a class that nothing finds.
    yield [{"objects": [obj(whole(rng), 1)], "detections": [found(whole(rng), 0.7, 0), found(whole(rng), 0.6, 2)]}], 3
    # All right, and all wrong.
    boxes = [[i * 30, 0, i * 30 + 20, 20] for i in range(9)]
    yield [{"objects": [obj(b) for b in boxes], "detections": [found(b, 0.1 + i / 20) for i, b in enumerate(boxes)]}], 1
    yield [{"objects": [obj(b) for b in boxes], "detections": [found([v + 500 for v in b], 0.9) for b in boxes]}], 1
    # Each recall is one of the 101 points that precision is read at: a hundred objects, of which every other is found.
    many = [[i % 10 * 20, i // 10 * 20, i % 10 * 20 + 10, i // 10 * 20 + 10] for i in range(100)]
    yield [{"objects": [obj(b) for b in many], "detections": [found(b if i % 2 else [v + 900 for v in b], 1 - i / 200) for i, b in enumerate(many)]}], 1


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
        return {"ap": 0.0, "ap50": 0.0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
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
    best = [at_best_f1(evaluation, c, len(pictures)) for c in range(classes)]
    best = np.array([each for each in best if each])
    return {"ap": mean(precision), "ap50": mean(precision[0]), **dict(zip(("precision", "recall", "f1"), map(float, best.mean(0))))}


def at_best_f1(evaluation, cls, pictures):
    """Precision, recall and F1 of a class at the confidence with the best F1, from pycocotools' matches at IoU 0.5."""
    areas = len(evaluation.params.areaRng)
    entries = [e for e in evaluation.evalImgs[cls * areas * pictures :][:pictures] if e]
    objects = sum(len(e["gtIds"]) for e in entries)
    if objects == 0:
        return None
    scores = np.concatenate([e["dtScores"] for e in entries])
    hits = np.concatenate([e["dtMatches"][0] > 0 for e in entries])[np.argsort(-scores, kind="mergesort")]
    if not hits.any():
        return (0.0, 0.0, 0.0)
    found = hits.cumsum()
    precision, recall = found / np.arange(1, len(hits) + 1), found / objects
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    at = f1.argmax()
    return precision[at], recall[at], f1[at]


cases = [{"pictures": p, "classes": c, **figures(p, c)} for p, c in [*map(case, range(30)), *adversarial()]]
Path(__file__).with_name("coco-metrics.json").write_text(json.dumps(cases))
