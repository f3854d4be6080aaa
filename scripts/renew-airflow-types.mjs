// Writes sdk/src/airflow/schema.d.ts from a running Airflow's own OpenAPI document: `npm start -- --only airflow`, then
//   node scripts/renew-airflow-types.mjs [http://localhost:8081]
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const url = process.argv[2] ?? "http://localhost:8081";
const target = fileURLToPath(new URL("../sdk/src/airflow/schema.d.ts", import.meta.url));
const folder = await mkdtemp(path.join(tmpdir(), "airloom-openapi-"));
try {
  const response = await fetch(`${url}/openapi.json`);
  if (!response.ok) throw new Error(`${url}/openapi.json answered ${response.status}: is Airflow running there?`);
  const document = /** @type {{ info: { version: string } }} */ (await response.json());
  const spec = path.join(folder, "openapi.json");
  writeFileSync(spec, JSON.stringify(document));
  // openapi-typescript needs TypeScript 5, and this project uses 7: so it runs from npm's cache, not from node_modules.
  execFileSync("npm", ["exec", "--yes", "--package=openapi-typescript@7.13.0", "--package=typescript@5.9.3", "--", "openapi-typescript", spec, "-o", target], {
    cwd: folder,
    stdio: "inherit",
  });
  console.log(`${target}: Airflow's API ${document.info.version}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
