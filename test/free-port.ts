import { createServer, type AddressInfo } from "node:net";

/**
 * Ports of 127.0.0.1 that nobody listens on, all different, for programs that cannot take port 0. Another program can take
 * one before it is used: start such a program with `onFreePorts`.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** What programs say whose port another has taken: Node, Python and its servers, and our own stack. */
const portIsTaken = /EADDRINUSE|address already in use|is held by/i;

/** Starts something on free ports, and again on others where one of them was taken in between. */
export async function onFreePorts<T>(count: number, start: (ports: readonly number[]) => Promise<T>): Promise<T> {
  for (let left = 4; ; left--)
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (left === 0 || !portIsTaken.test(String(error))) throw error;
    }
}
