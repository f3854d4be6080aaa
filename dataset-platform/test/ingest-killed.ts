// Ingests and kills itself at the given write: node --import tsx ingest-killed.ts <folder> <write>
import path from "node:path";
import { Registry } from "../src/registry/registry.ts";
import { ingest } from "../src/store/ingest.ts";
import { storageLayout } from "../src/store/layout.ts";

const [root = "", at = "0"] = process.argv.slice(2);
const storage = storageLayout(path.join(root, "storage"));
const registry = await Registry.open(storage.registry);
let writes = 0;
const beforeWrite = () => {
  if (++writes === Number(at)) process.kill(process.pid, "SIGKILL");
};
await ingest({ incoming: path.join(root, "incoming"), storage, registry, sourceId: "cam", beforeWrite });
