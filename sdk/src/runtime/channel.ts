import { Socket } from "node:net";
import type { RunInfo } from "../authoring/context.ts";
import type { Json } from "../authoring/json.ts";

/** A message from the operator that starts the task. */
export interface StartMessage {
  readonly type: "start";
  readonly taskId: string;
  readonly kind: "task" | "sensor" | "branch" | "shortCircuit" | "callback";
  /** A callback's is what it is told, and the index of its function. */
  readonly input: Json;
  readonly run: RunInfo;
}

/** How a task ended. */
export type Outcome =
  | { readonly type: "succeeded"; readonly value: Json }
  | { readonly type: "pending"; readonly message: string }
  | { readonly type: "skipped"; readonly message: string }
  | { readonly type: "failed"; readonly terminal: boolean; readonly message: string; readonly stack: string | undefined };

/** What the runtime needs of whoever started it; the spawning operator's socket is one, the coordinator will be another. */
export interface Channel {
  readonly start: Promise<StartMessage>;
  log(level: "debug" | "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>): void;
  request(name: string, args: Readonly<Record<string, Json>>): Promise<Json | undefined>;
  /** Sends the outcome; nothing may be sent after it. */
  end(outcome: Outcome): Promise<void>;
  /** Called when the other side has gone away before the end. */
  onLost(listener: () => void): void;
}

/** A request that is not answered in this time fails: Airflow's own API client gives up long before. */
const requestTimeoutMs = 120_000;

/** The channel over an inherited socket: one JSON message a line. */
export function socketChannel(fd: number): Channel {
  const socket = new Socket({ fd, readable: true, writable: true });
  const waiting = new Map<number, { resolve: (value: Json | undefined) => void; reject: (error: Error) => void }>();
  const lost: (() => void)[] = [];
  let nextId = 1;
  let ended = false;
  let begin!: (message: StartMessage) => void;
  const start = new Promise<StartMessage>((resolve) => (begin = resolve));

  const onLine = (line: string) => {
    const message = JSON.parse(line) as StartMessage | { id: number; value?: Json; error?: string };
    if ("type" in message) return begin(message);
    const request = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error !== undefined) request?.reject(new Error(message.error));
    else request?.resolve(message.value);
  };

  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(onLine);
  });
  const onEnd = () => {
    for (const { reject } of waiting.values()) reject(new Error("Airflow closed the connection to the task"));
    waiting.clear();
    if (!ended) for (const listener of lost) listener();
  };
  socket.on("close", onEnd);
  socket.on("end", onEnd);
  socket.on("error", onEnd);

  const send = (message: object) => {
    if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
  };
  return {
    start,
    log: (level, message, fields) => send({ type: "log", level, message, fields }),
    request: (name, args) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new Error(`Airflow did not answer ${name} within ${requestTimeoutMs / 1000} s`));
        }, requestTimeoutMs);
        const done =
          <T>(settle: (value: T) => void) =>
          (value: T) => {
            clearTimeout(timer);
            settle(value);
          };
        waiting.set(id, { resolve: done(resolve), reject: done(reject) });
        send({ type: "request", id, name, args });
      }),
    end: async (outcome) => {
      ended = true;
      await new Promise<void>((resolve) => socket.end(`${JSON.stringify(outcome)}\n`, resolve));
    },
    onLost: (listener) => void lost.push(listener),
  };
}
