import { execa } from "execa";
import { waitFor } from "../patience.ts";
import { type StackSettings, urlOf } from "../../scripts/stack/settings.ts";

const unzip =
  "import io, json, sys, zipfile\nz = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\nprint(json.dumps({n: z.read(n).decode() for n in z.namelist() if n.endswith('.txt')}))";

/** The text files of a task's export in the labeler, by their path in the zip. */
export async function exportTask(settings: StackSettings, taskId: number, format: string): Promise<Record<string, string>> {
  const credentials = `${settings.env["LABELER_USER"] || "admin"}:${settings.env["LABELER_PASSWORD"]}`;
  const headers = { Authorization: `Basic ${Buffer.from(credentials).toString("base64")}` };
  const call = async (method: string, path: string) => {
    const response = await fetch(`${urlOf(settings, "labeler")}${path}`, { method, headers });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
    return response;
  };
  const { rq_id } = (await (await call("POST", `/api/tasks/${taskId}/dataset/export?format=${encodeURIComponent(format)}&save_images=false`)).json()) as {
    rq_id: string;
  };
  const isFinished = async () => {
    const { status } = (await (await call("GET", `/api/requests/${encodeURIComponent(rq_id)}`)).json()) as { status: string };
    if (status === "failed") throw new Error(`the export of task ${taskId} failed`);
    return status === "finished";
  };
  await waitFor(isFinished, { what: `the export of task ${taskId}` });
  const zip = Buffer.from(await (await call("GET", `/api/tasks/${taskId}/dataset/download?rq_id=${encodeURIComponent(rq_id)}`)).arrayBuffer());
  const { stdout } = await execa("python3", ["-c", unzip], { input: zip });
  return JSON.parse(stdout) as Record<string, string>;
}
