// Builds @tensorflow/tfjs-node's native binding against the TensorFlow in PyPI's wheel: the download that its own
// install script makes is gone. The result is kept in .airloom, so that `npm ci` does not build it again. With an NVIDIA GPU
// it is built against TensorFlow's CUDA wheel, with NVIDIA's libraries beside it.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { root, run, SetupError, step } from "./run.mjs";

const flavours = {
  cpu: { name: "TensorFlow binding", lock: "scripts/python/tensorflow.lock", kept: ".airloom/tfjs-node" },
  cuda: { name: "TensorFlow binding for NVIDIA GPUs", lock: "scripts/python/tensorflow-cuda.lock", kept: ".airloom/tfjs-node-cuda" },
};

/** @typedef {keyof typeof flavours} Flavour */

const libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];

// A wheel is a zip; Python is the unzipper that every machine with this project has.
const extract = `
import sys, zipfile, glob
out = sys.argv[1]
for wheel in glob.glob(out + "/*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            if name in ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2"):
                z.extract(name, out)
            elif name.startswith("tensorflow/include/") and name.endswith(".h") and ("/tensorflow/c/" in name or "/tsl/c/" in name or "ctstring" in name):
                z.extract(name, out)
            elif name.startswith("nvidia/") and ".so" in name:
                z.extract(name, out)
`;

/**
 * Which TensorFlow this machine gets: the CUDA one where the NVIDIA driver lists a GPU.
 * AIRLOOM_TENSORFLOW=cpu or =cuda decides it by hand.
 * @returns {Flavour}
 */
export function tensorflowFlavour() {
  const asked = process.env["AIRLOOM_TENSORFLOW"];
  if (asked === "cpu" || asked === "cuda") return asked;
  if (asked) throw new SetupError(`AIRLOOM_TENSORFLOW is "${asked}": it may be cpu or cuda, or be left out.`);
  const listed = spawnSync("nvidia-smi", ["-L"], { encoding: "utf8" });
  return listed.status === 0 && /^GPU \d/m.test(listed.stdout) ? "cuda" : "cpu";
}

/** The C++ compiler to call, as an argument list; zig's from PyPI where the machine has none. */
async function findCompiler() {
  for (const name of [process.env["CXX"], "g++", "clang++"]) if (name && spawnSync(name, ["--version"]).status === 0) return [name];
  const python = path.join(root, ".venv/bin/python");
  await run(python, ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", "scripts/python/zig.lock"]);
  return [python, "-m", "ziglang", "c++"];
}

/** @param {Flavour} flavour */
async function build(flavour) {
  const kept = path.join(root, flavours[flavour].kept);
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
      flavours[flavour].lock,
      "-d",
      work,
    ]);
    await run(path.join(root, ".venv/bin/python"), ["-c", extract, work]);
    const out = path.join(work, "out");
    mkdirSync(path.join(out, "deps/lib"), { recursive: true });
    mkdirSync(path.join(out, "lib/napi-v8"), { recursive: true });
    for (const name of libraries) cpSync(path.join(work, "tensorflow", name), path.join(out, "deps/lib", name));
    // TensorFlow's libraries look for NVIDIA's in ../nvidia.
    if (existsSync(path.join(work, "nvidia"))) cpSync(path.join(work, "nvidia"), path.join(out, "deps/nvidia"), { recursive: true });
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

/**
 * Hard links what was built into the package: the libraries' space is taken once, however often npm reinstalls.
 * @param {string} folder relative to the root
 * @param {string} to relative to the package
 */
function place(folder, to) {
  const kept = path.join(root, folder);
  const target = path.join(root, "node_modules/@tensorflow/tfjs-node", to);
  for (const file of readdirSync(kept, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const from = path.join(file.parentPath, file.name);
    const place = path.join(target, path.relative(kept, from));
    if (existsSync(place) && statSync(place).ino === statSync(from).ino) continue;
    mkdirSync(path.dirname(place), { recursive: true });
    rmSync(place, { force: true });
    try {
      linkSync(from, place);
    } catch {
      cpSync(from, place);
    }
  }
}

/** Guarantees that `import "@tensorflow/tfjs-node"` works on Linux x64; does nothing elsewhere. */
export async function tfjsBinding() {
  if (process.platform !== "linux" || process.arch !== "x64") return;
  if (!existsSync(path.join(root, "node_modules/@tensorflow/tfjs-node"))) throw new SetupError("@tensorflow/tfjs-node is not installed: run npm ci.");
  // Someone who has the package with its own binding keeps it: the two packages differ in nothing else.
  const own = "node_modules/@tensorflow/tfjs-node-gpu";
  if (existsSync(path.join(root, own, "lib/napi-v8/tfjs_binding.node"))) {
    for (const folder of ["lib", "deps"]) place(path.join(own, folder), folder);
    console.log("  ✓ TensorFlow binding: the one of @tensorflow/tfjs-node-gpu, which is installed here");
    return;
  }
  const flavour = tensorflowFlavour();
  const { name, lock, kept } = flavours[flavour];
  const inputs = [lock, "node_modules/@tensorflow/tfjs-node/package.json"];
  await step({ name, inputs, makes: `${kept}/lib/napi-v8/tfjs_binding.node` }, () => build(flavour));
  place(kept, "");
}
