// Holds a training folder until it is killed.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { holdTrainingFolder } from "../train/hold-folder.ts";

const [parent, run] = process.argv.slice(2) as [string, string];
const { folder } = await holdTrainingFolder(parent, JSON.parse(run) as never);
await writeFile(path.join(folder, "begun"), "");
process.send!("held");
