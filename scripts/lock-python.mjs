// Renews scripts/python/*.lock from the .in files beside them: node scripts/lock-python.mjs [requirements requirements-mlflow …]
import { execFileSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("python/", import.meta.url));
const uv = fileURLToPath(new URL("../.venv/bin/uv", import.meta.url));
const common = ["pip", "compile", "--universal", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "--quiet"];
const locks = {
  requirements: ["--python-version", "3.10"],
  "requirements-mlflow": ["--python-version", "3.10", "--constraint", "requirements.lock"],
  "requirements-test": ["--python-version", "3.10"],
  "airflow-providers": ["--python-version", "3.11"],
  // No Python above 3.12: that Airflow refuses it.
  "airflow-2.11": ["--python-version", "3.10", "--exclude-newer", "2025-06-30T00:00:00Z"],
  "airflow-3.4": ["--python-version", "3.11", "--prerelease", "allow"],
  bootstrap: ["--no-deps"],
  // Only for bench/serve.ts.
  "bench-serving": ["--python-version", "3.11"],
  zig: ["--no-deps"],
  // Unpacked, never installed: only its shared libraries are used.
  tensorflow: ["--no-deps", "--python-version", "3.11"],
  "tensorflow-cuda": ["--no-deps", "--python-version", "3.11"],
};
const asked = process.argv.slice(2);
for (const [name, args] of Object.entries(locks)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  execFileSync(uv, [...common, ...args, `${name}.in`, "-o", `${name}.lock`], { cwd: folder, stdio: "inherit" });
  console.log(path.join(folder, `${name}.lock`));
}
