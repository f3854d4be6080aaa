import { type Server, STATUS_CODES } from "node:http";

const answers: Readonly<Record<string, readonly [status: number, code: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, "headers_too_large", "the address and the headers of the request are larger than 16 KiB"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "too_large", "the chunks' extensions are larger than 16 KiB"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "too_slow", "the request was not sent whole in the time that it may take"],
};

/** Says what is wrong with requests that are no HTTP, or come too slowly: Node's own answer has no words. */
export function answerClientErrors(server: Server): void {
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const [status, code, message] = answers[error.code ?? ""] ?? [400, "bad_request", `this is not HTTP: ${error.message}`];
    const body = JSON.stringify({ error: { code, message } });
    const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}\r\n\r\n${body}`);
  });
}
