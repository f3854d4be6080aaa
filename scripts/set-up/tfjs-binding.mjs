// Builds @tensorflow/tfjs-node's native binding against the TensorFlow in PyPI's wheel: the download that its own
// install script makes is gone. The result is kept in .airloom/tfjs-node, so that `npm ci` does not build it again.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { root, run, SetupError, step } from "./run.mjs";

const kept = path.join(root, ".airloom/tfjs-node");
const libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];

// A wheel is a zip; Python is the unzipper that every machine with this project has.
const extract = `
import sys, zipfile, glob
out, wheel = sys.argv[1], glob.glob(sys.argv[2] + "/*.whl")[0]
with zipfile.ZipFile(wheel) as z:
    for name in z.namelist():
        if name in ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2"):
            z.extract(name, out)
        elif name.startswith("tensorflow/include/") and name.endswith(".h") and ("/tensorflow/c/" in name or "/tsl/c/" in name or "ctstring" in name):
            z.extract(name, out)
`;

/** The C++ compiler to call, as an argument list; zig's from PyPI where the machine has none. */
async function findCompiler() {
  for (const name of [process.env["CXX"], "g++", "clang++"]) if (name && spawnSync(name, ["--version"]).status === 0) return [name];
  const python = path.join(root, ".venv/bin/python");
  await run(python, ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", "scripts/python/zig.lock"]);
  return [python, "-m", "ziglang", "c++"];
}

async function build() {
  const work = mkdtempSync(path.join(tmpdir(), "airloom-tf-"));
  try {
    // Any CPython's wheel holds the same libraries, so the interpreter that downloads it does not matter.
    await run(path.join(root, ".venv/bin/python"), [
      "-m",
      "pip",
      "download",
      "-q",
      "--disable-pip-version-check",
      "--no-deps",
      "--only-binary=:all:",
      "--implementation",
      "cp",
      "--python-version",
      "3.11",
      "--abi",
      "cp311",
      "--platform",
      "manylinux_2_17_x86_64",
      "--platform",
      "manylinux2014_x86_64",
      "--require-hashes",
      "-r",
      "scripts/python/tensorflow.lock",
      "-d",
      work,
    ]);
    await run(path.join(root, ".venv/bin/python"), ["-c", extract, work, work]);
    const out = path.join(work, "out");
    mkdirSync(path.join(out, "deps/lib"), { recursive: true });
    mkdirSync(path.join(out, "lib/napi-v8"), { recursive: true });
    for (const name of libraries) cpSync(path.join(work, "tensorflow", name), path.join(out, "deps/lib", name));
    const source = path.join(root, "node_modules/@tensorflow/tfjs-node/binding");
    const [compiler = "g++", ...first] = await findCompiler();
    await run(compiler, [
      ...first,
      "-O2",
      "-std=c++17",
      "-fPIC",
      "-shared",
      "-DNAPI_VERSION=8",
      `-I${path.join(root, "node_modules/node-api-headers/include")}`,
      `-I${path.join(work, "tensorflow/include")}`,
      path.join(source, "tfjs_backend.cc"),
      path.join(source, "tfjs_binding.cc"),
      ...libraries.map((name) => path.join(out, "deps/lib", name)),
      "-Wl,-rpath,$ORIGIN/../../deps/lib",
      "-o",
      path.join(out, "lib/napi-v8/tfjs_binding.node"),
    ]);
    rmSync(kept, { recursive: true, force: true });
    mkdirSync(path.dirname(kept), { recursive: true });
    cpSync(out, kept, { recursive: true });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Hard links what was built into the package: 645 MB once, however often npm reinstalls. */
function place() {
  const target = path.join(root, "node_modules/@tensorflow/tfjs-node");
  for (const folder of ["deps/lib", "lib/napi-v8"]) {
    mkdirSync(path.join(target, folder), { recursive: true });
    for (const name of readdirSync(path.join(kept, folder))) {
      const to = path.join(target, folder, name);
      if (existsSync(to)) continue;
      try {
        linkSync(path.join(kept, folder, name), to);
      } catch {
        cpSync(path.join(kept, folder, name), to);
      }
    }
  }
}

/** Guarantees that `import "@tensorflow/tfjs-node"` works on Linux x64; does nothing elsewhere. */
export async function tfjsBinding() {
  if (process.platform !== "linux" || process.arch !== "x64") return;
  if (!existsSync(path.join(root, "node_modules/@tensorflow/tfjs-node"))) throw new SetupError("@tensorflow/tfjs-node is not installed: run npm ci.");
  const inputs = ["scripts/python/tensorflow.lock", "node_modules/@tensorflow/tfjs-node/package.json"];
  await step({ name: "TensorFlow binding", inputs, makes: ".airloom/tfjs-node/lib/napi-v8/tfjs_binding.node" }, build);
  place();
}
