"""The usual way to serve YOLOv8 in Python: FastAPI, ONNX Runtime and OpenCV. What bench/serve.ts measures Airloom against.

MODEL names the ONNX file, SIDE its input, THREADS those of one worker. uvicorn brings the workers.
"""
import os

import cv2
import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, File, HTTPException, UploadFile

side = int(os.environ.get("SIDE", "640"))
threads = int(os.environ.get("THREADS", "1"))
cv2.setNumThreads(1)
options = ort.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
session.run(None, {"images": np.zeros((1, 3, side, side), np.float32)})
app = FastAPI()


def letterbox(image):
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    w, h = round(width * scale), round(height * scale)
    canvas = np.full((side, side, 3), 114, np.uint8)
    left, top = (side - w) // 2, (side - h) // 2
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    return canvas, scale, left, top


@app.get("/healthz")
def healthz():
    return {"status": "ok"}


# A plain function: FastAPI runs it in a thread, so that the event loop stays free.
@app.post("/predict")
def predict(file: UploadFile = File(...), conf: float = 0.25, iou: float = 0.7):
    image = cv2.imdecode(np.frombuffer(file.file.read(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise HTTPException(415, "not a picture")
    canvas, scale, left, top = letterbox(image)
    images = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
    output = session.run(None, {"images": images})[0][0].T
    scores = output[:, 4:].max(1)
    keep = scores > conf
    boxes, classes, scores = output[keep, :4], output[keep, 4:].argmax(1), scores[keep]
    boxes[:, :2] -= boxes[:, 2:] / 2
    chosen = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), conf, iou) if len(boxes) else []
    results = [
        {
            "class": int(classes[i]),
            "confidence": float(scores[i]),
            "box": [float((boxes[i, 0] - left) / scale), float((boxes[i, 1] - top) / scale), float(boxes[i, 2] / scale), float(boxes[i, 3] / scale)],
        }
        for i in chosen
    ]
    return {"images": [{"shape": list(image.shape[:2]), "results": results}]}
