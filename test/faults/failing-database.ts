// A PostgreSQL that ends and starts again, and connections to it that are cut.
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { databaseUrl, type DatabaseServer } from "../../scripts/stack/database-url.ts";
import { answers, withConnection } from "../../scripts/stack/databases.ts";
import { preparePostgres } from "../../scripts/stack/postgres.ts";
import { freePorts } from "../free-port.ts";
import { waitFor } from "../patience.ts";

/** A database of its own, and the way to it that can be made to fail. */
export interface FailingDatabase {
  /** For those who are disturbed. */
  readonly url: string;
  /** For whoever looks afterwards. */
  readonly safeUrl: string;
  /** Ends the server, gracefully or not, and starts it again. */
  restart(): Promise<void>;
  /** Cuts all connections, in the middle of whatever is on its way. */
  cut(): void;
  stop(): Promise<void>;
}

const venv = fileURLToPath(new URL("../../.venv", import.meta.url));

/** PostgreSQL's "fast" and "immediate" shutdown, as of a service that is stopped and of a machine that goes down. */
const ways = ["SIGINT", "SIGQUIT"] as const;

export async function startFailingDatabase(): Promise<FailingDatabase> {
  const folder = await mkdtemp(path.join(tmpdir(), "failing-"));
  // The server's own user has to get in; what matters beneath is closed.
  await chmod(folder, 0o711);
  const port = (await freePorts(1))[0]!;
  const server: DatabaseServer = { host: "127.0.0.1", port, user: "airloom", password: randomBytes(12).toString("hex"), first: "postgres", sslmode: undefined };
  const { command, args, env } = await preparePostgres(venv, { ...server, data: path.join(folder, "data"), settings: {} });
  let running: ChildProcess | undefined;
  const start = async () => {
    const child = spawn(command, [...args], { env, cwd: "/", stdio: "ignore" });
    running = child;
    await waitFor(async () => child.exitCode !== null || answers(server), { what: "PostgreSQL to start", quietMs: 30_000 });
    if (child.exitCode !== null) throw new Error(`PostgreSQL ended with ${child.exitCode}`);
  };
  const end = async (signal: NodeJS.Signals) => {
    const ended = new Promise((resolve) => running!.once("exit", resolve));
    running!.kill(signal);
    await ended;
  };
  process.once("exit", () => running?.kill("SIGQUIT"));
  await start();
  await withConnection(databaseUrl(server, "postgres"), (client) => client.query("create database faults template template0 encoding 'UTF8'"));
  const proxy = await startProxy(port);
  let restarts = 0;
  return {
    url: databaseUrl({ ...server, port: proxy.port }, "faults"),
    safeUrl: databaseUrl(server, "faults"),
    async restart() {
      await end(ways[restarts++ % ways.length]!);
      await start();
    },
    cut: proxy.cut,
    async stop() {
      proxy.server.close();
      proxy.cut();
      await end("SIGINT");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Hands on what comes, both ways, until it is told to cut. */
async function startProxy(to: number): Promise<{ server: Server; port: number; cut: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const inner = connect(to, "127.0.0.1");
    for (const [socket, other] of [
      [client, inner],
      [inner, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return { server, port: (server.address() as AddressInfo).port, cut };
}
