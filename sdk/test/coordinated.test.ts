import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { decode, encode } from "@msgpack/msgpack";
import { dag, task } from "../src/index.ts";
import { serveCoordinated } from "../src/runtime/coordinated.ts";
import type { Message } from "../src/runtime/frames.ts";

/** What the supervisor of Airflow 3.3.2 answers for a run; the second is an error. */
const answers: Record<string, readonly [object | null, object | null]> = {
  alive: [{ type: "DagRunStateResult", state: "running" }, null],
  dead: [{ type: "DagRunStateResult", state: "failed" }, null],
  deleted: serverError(404, { detail: { reason: "not_found", message: "Dag run with dag_id 'd' and run_id 'deleted' was not found" } }),
  later: [null, { type: "ErrorResponse", error: "DAGRUN_NOT_FOUND", detail: null }],
  noRoute: serverError(404, { detail: "Not Found" }),
  noServer: serverError(503, null),
  unknown: [null, { type: "ErrorResponse", error: "GENERIC_ERROR", detail: null }],
};

function serverError(status_code: number, detail: unknown): readonly [null, object] {
  return [null, { type: "ErrorResponse", error: "API_SERVER_ERROR", detail: { status_code, message: "", detail } }];
}

const dagRun = {
  logical_date: null,
  data_interval_start: null,
  data_interval_end: null,
  run_after: "2026-01-02T03:04:05.678901Z",
  start_date: new Date("2026-01-02T03:04:06.789Z"),
  clear_number: 2,
  run_type: "manual",
  conf: null,
};

const startup = {
  type: "StartupDetails",
  ti: { id: "t", dag_id: "d", task_id: "ask", run_id: "own", try_number: 1, map_index: -1 },
  ti_context: { dag_run: dagRun, task_reschedule_count: 0, xcom_keys_to_clear: [], should_retry: false },
};

/** Plays Airflow's supervisor for one task and gives the XCom that the task returned. */
async function resultUnderCoordinator(body: Parameters<typeof task>[2]): Promise<unknown> {
  let pushed: unknown;
  const onRequest = (message: Message): readonly [object | null, object | null] => {
    if (message.type === "GetDagRunState") return answers[message["run_id"] as string]!;
    if (message.type === "SetXCom" && message["key"] === "return_value") pushed = message["value"];
    return [null, null];
  };
  const comm = await listening((socket) => {
    const send = (frame: unknown) => {
      const bytes = encode(frame);
      const head = Buffer.alloc(4);
      head.writeUInt32BE(bytes.byteLength);
      socket.write(Buffer.concat([head, bytes]));
    };
    send([0, startup, null]);
    let buffer = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      buffer = Buffer.concat([buffer, chunk]);
      while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
        const end = 4 + buffer.readUInt32BE(0);
        const [id, message] = decode(buffer.subarray(4, end)) as [number, Message];
        buffer = buffer.subarray(end);
        send([id, ...onRequest(message)]);
      }
    });
  });
  const logs = await listening((socket) => void socket.resume());
  const built = dag("d", { schedule: null }, () => void task("ask", {}, body)({} as never));
  try {
    await serveCoordinated(built, {}, {}, addressOf(comm), addressOf(logs), new AbortController().signal);
  } finally {
    comm.close();
    logs.close();
  }
  return pushed;
}

const listening = (onSocket: (socket: Socket) => void): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer({ allowHalfOpen: false }, onSocket).listen(0, "127.0.0.1", () => resolve(server));
  });

const addressOf = (server: Server) => `127.0.0.1:${(server.address() as { port: number }).port}`;

describe("a task under the coordinator", () => {
  it("is told how runs stand; only Airflow's own word makes one missing, and any other failure throws", async () => {
    const result = await resultUnderCoordinator(async (_, { getRunState }) => {
      const states: Record<string, string> = {};
      for (const id of Object.keys(answers)) states[id] = await getRunState("d", id).then(String, (error: Error) => error.name);
      return states;
    });
    assert.deepEqual(result, {
      alive: "running",
      dead: "failed",
      deleted: "undefined",
      later: "undefined",
      noRoute: "SupervisorError",
      noServer: "SupervisorError",
      unknown: "SupervisorError",
    });
  });

  it("knows since when its run runs and how often it was cleared", async () => {
    const result = await resultUnderCoordinator(async (_, { run: { runAfter, startedAt, clearNumber } }) => ({ runAfter, startedAt, clearNumber }));
    assert.deepEqual(result, { runAfter: "2026-01-02T03:04:05.678+00:00", startedAt: "2026-01-02T03:04:06.789+00:00", clearNumber: 2 });
  });
});
