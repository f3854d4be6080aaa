"""Talks to the service as Triton's own client does, and prints what it got as JSON."""
import json
import sys

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(sys.argv[1])
side = int(sys.argv[2])
images = np.linspace(0, 1, 2 * 3 * side * side, dtype=np.float32).reshape(2, 3, side, side)
result = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model_ready": client.is_model_ready("m"),
    "version_ready": client.is_model_ready("m", "1"),
    "server": client.get_server_metadata(),
    "metadata": client.get_model_metadata("m"),
}


def infer(binary_in, binary_out, name="m", version="", shape=None, datatype="FP32"):
    given = http.InferInput("images", shape or list(images.shape), datatype)
    given.set_data_from_numpy(images if shape is None else np.zeros(shape, np.float32), binary_data=binary_in)
    wanted = [http.InferRequestedOutput("output0", binary_data=binary_out)]
    answer = client.infer(name, [given], model_version=version, outputs=wanted, request_id="r1")
    return answer.as_numpy("output0"), answer.get_response()


outputs = {f"{i}{o}": infer(i, o)[0] for i in (True, False) for o in (True, False)}
first = outputs["TrueTrue"]
result["shape"] = list(first.shape)
result["alike"] = [bool(np.allclose(first, each, rtol=1e-6, atol=1e-6)) for each in outputs.values()]
result["finite"] = bool(np.isfinite(first).all())
result["id"] = infer(True, True, version="1")[1]["id"]
errors = []
for name, version, shape in (("nope", "", None), ("m", "9", None), ("m", "", [1, 3, 33, 32])):
    try:
        infer(True, True, name, version, shape)
        errors.append("none")
    except InferenceServerException as error:
        errors.append(f"{error.status()}: {error.message()}")
result["errors"] = errors
print(json.dumps(result))
