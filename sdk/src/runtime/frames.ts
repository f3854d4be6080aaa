import { connect, type Socket } from "node:net";
import { decode, encode } from "@msgpack/msgpack";

/** A message of Airflow's supervisor protocol: its type and what belongs to it. */
export type Message = { readonly type: string } & Readonly<Record<string, unknown>>;

/** A request that Airflow answered with an error; `kind` is Airflow's word for it. */
export class SupervisorError extends Error {
  override readonly name = "SupervisorError";
  readonly kind: string;
  readonly detail: unknown;
  constructor(kind: string, detail: unknown) {
    super(`Airflow answered ${kind}${detail === undefined || detail === null ? "" : `: ${JSON.stringify(detail)}`}`);
    this.kind = kind;
    this.detail = detail;
  }
}

/** The conversation with the supervisor: frames of a four-byte length and msgpack (schema 2026-06-16). */
export interface Supervisor {
  /** The first message: what to run, or from Airflow 3.4 the question which DAGs are in the bundle. */
  readonly startup: Promise<Message>;
  /** Sends a request and gives its answer, undefined for an empty one. */
  ask(message: Message): Promise<Message | undefined>;
  onLost(listener: () => void): void;
}

/** A message that cannot be decoded gets no answer at all. */
const answerTimeoutMs = 120_000;
const maxFrameBytes = 256 * 1024 * 1024;

/** Speaks over a connected socket. */
export function speak(socket: Socket): Supervisor {
  const waiting = new Map<number, { resolve: (message: Message | undefined) => void; reject: (error: Error) => void }>();
  const lost: (() => void)[] = [];
  let nextId = 1;
  let begin!: (message: Message) => void;
  const startup = new Promise<Message>((resolve) => (begin = resolve));
  const onFrame = (frame: Uint8Array) => {
    const [id, body, error] = decode(frame) as [number, Message | null | undefined, Message | null | undefined];
    if (body?.type === "StartupDetails" || body?.type === "DagFileParseRequest") return begin(body);
    const request = waiting.get(id);
    waiting.delete(id);
    const failure = error ?? (body?.type === "ErrorResponse" ? body : undefined);
    if (failure) request?.reject(new SupervisorError(failure["error"] as string, failure["detail"]));
    else request?.resolve(body ?? undefined);
  };
  let buffer: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4) {
      const length = buffer.readUInt32BE(0);
      if (length > maxFrameBytes) socket.destroy(new Error(`a frame of ${length} bytes`));
      if (socket.destroyed || buffer.length < 4 + length) return;
      onFrame(buffer.subarray(4, 4 + length));
      buffer = buffer.subarray(4 + length);
    }
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("Airflow closed the connection to the task"));
    waiting.clear();
    for (const listener of lost) listener();
  });
  return {
    startup,
    ask: (message) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new Error(`Airflow did not answer ${message.type} within ${answerTimeoutMs / 1000} s`));
        }, answerTimeoutMs);
        const settle =
          <T>(end: (value: T) => void) =>
          (value: T) => {
            clearTimeout(timer);
            end(value);
          };
        waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
        const body = encode([id, message, null]);
        const head = Buffer.alloc(4);
        head.writeUInt32BE(body.byteLength, 0);
        socket.write(Buffer.concat([head, body]));
      }),
    onLost: (listener) => void lost.push(listener),
  };
}

/** Connects to "127.0.0.1:4711". */
export function connectTo(address: string): Promise<Socket> {
  const [host, port] = [address.slice(0, address.lastIndexOf(":")), Number(address.slice(address.lastIndexOf(":") + 1))];
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    socket.once("connect", () => resolve(socket));
    socket.once("error", (cause) => reject(new Error(`Airflow's supervisor at ${address} could not be reached`, { cause })));
  });
}
