import { dag, Skip, task, TerminalError } from "airloom";

const call = task(
  "call",
  { retries: 4, retryDelay: "10s", retryBackoff: true, maxRetryDelay: "5m", timeout: "1m" },
  async (input: { url: string }, { signal }) => {
    if (!input.url.startsWith("https:")) throw new TerminalError("only https");
    const response = await fetch(input.url, { signal });
    if (response.status === 404) throw new Skip("nothing there today");
    return response.status;
  },
);

export default dag("retries", { schedule: null }, () => {
  call({ url: "https://example.org" });
});
