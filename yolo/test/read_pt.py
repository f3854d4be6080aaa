"""Reads a torch checkpoint without torch, and prints a weighted sum of each tensor as JSON."""

import collections
import json
import pickle
import sys
import zipfile

import numpy as np

archive = zipfile.ZipFile(sys.argv[1])


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: np.lib.stride_tricks.as_strided(
                storage[offset:], size, [4 * s for s in stride]
            ),
            ("torch", "FloatStorage"): "float",
            ("collections", "OrderedDict"): collections.OrderedDict,
        }
        return allowed[(module, name)]

    def persistent_load(self, pid):
        kind, storage, key, device, count = pid
        assert (kind, storage, device) == ("storage", "float", "cpu"), pid
        values = np.frombuffer(archive.read(f"best/data/{key}"), "<f4")
        assert len(values) == count, pid
        return values


checkpoint = Reader(archive.open("best/data.pkl")).load()
sums = {}
for name, tensor in checkpoint["model"].items():
    flat = tensor.astype("f8").ravel()
    sums[name] = float((flat * (np.arange(flat.size) % 7 + 1)).sum())
print(json.dumps({"sums": sums, "names": checkpoint["names"], "shape": list(checkpoint["model"]["backbone.stem.conv.weight"].shape)}))
